"""What is to be converted: from what somebody names to a file or folder here, and the source that opens it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapide.converters.errors import ConversionError
from rapide.converters.limits import Limits
from rapide.converters.sources.mlflow_model.address import mlflow_address
from rapide.converters.sources.table import Source, source_of

_FETCH = "rapide.converters.sources.mlflow_model.fetch"
_FLAVOURS = "rapide.converters.sources.mlflow_model.flavours"
_MARKER = "MLmodel"


@dataclass(frozen=True, slots=True)
class Subject:
    """``origin``: where the file came from, for the lineage; empty for one that lay here."""

    path: Path
    source: Source
    origin: Mapping[str, Any] = field(default_factory=dict)


def subject_of(model: Path, folder: Path, limits: Limits) -> Subject:
    """What ``model`` names, fetched into ``folder`` if need be. Raises ConversionError."""
    address = mlflow_address(str(model))
    origin: dict[str, Any] = {}
    if address:
        model, origin = _fetched(address, folder, limits)
    if not model.exists():
        raise ConversionError(f"the model file {model} does not exist")
    if (model / _MARKER).is_file():
        _need("MLflow", "mlflow", ("yaml",))
        model = importlib.import_module(_FLAVOURS).model_file(model)
    source = source_of(model)
    _need(source.name, source.extra, source.imports)
    return Subject(model, source, {"mlflow": origin} if origin else {})


def _need(name: str, extra: str, modules: tuple[str, ...]) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ConversionError(
            f"converting {name} models needs {', '.join(missing)}, not installed here",
            hint=f'Install them with: pip install "rapide[{extra}]"',
        )


def _fetched(address: str, folder: Path, limits: Limits) -> tuple[Path, dict[str, Any]]:
    _need("MLflow", "mlflow", ("mlflow",))
    target = folder / "fetched"
    target.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", _FETCH, address, str(target)],
            capture_output=True,
            text=True,
            timeout=limits.time_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConversionError(
            f"fetching {address} took longer than {limits.time_s:g} s", hint="If it is only big, raise --timeout."
        ) from None
    answer = _last_object(done.stdout)
    if "path" not in answer:
        reason = answer.get("error") or done.stderr.strip()[-500:] or f"ended with status {done.returncode}"
        raise ConversionError(
            f"{address} cannot be fetched: {reason}",
            hint="MLFLOW_TRACKING_URI says which server is asked, for example http://127.0.0.1:5000.",
        )
    return Path(answer["path"]), answer["origin"]


def _last_object(printed: str) -> dict[str, Any]:
    """The last line, which is ours: libraries print before."""
    lines = printed.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
