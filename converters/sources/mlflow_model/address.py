"""Which texts name an MLflow model in a registry or a run."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?:models|runs|mlflow-artifacts):/+[^/].*")


def mlflow_address(text: str) -> str:
    """``text`` as MLflow writes it, or empty for what is no address.

    For example ``models:/name/3``, ``models:/name@champion``, ``runs:/0123…/model``.
    """
    if _ADDRESS.fullmatch(text) is None:
        return ""
    scheme, _, rest = text.partition(":")
    return f"{scheme}:/{rest.lstrip('/')}"
