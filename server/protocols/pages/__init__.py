"""The pages for people: each one file that needs nothing from elsewhere."""

from __future__ import annotations

import functools
from importlib import resources


@functools.cache
def page(name: str) -> bytes:
    """The bytes of ``name`` (``status.html``, ``docs.html``)."""
    return resources.files(__name__).joinpath(name).read_bytes()
