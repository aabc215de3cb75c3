"""Which libraries a conversion was made with."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

_DISTRIBUTIONS = {
    "catboost": ("catboost",),
    "joblib": ("joblib",),
    "keras": ("keras",),
    "lightgbm": ("lightgbm",),
    "mlflow": ("mlflow", "mlflow-skinny"),
    "numpy": ("numpy",),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime",),
    "onnxscript": ("onnxscript",),
    "pandas": ("pandas",),
    "skl2onnx": ("skl2onnx",),
    "sklearn": ("scikit-learn",),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "xgboost": ("xgboost", "xgboost-cpu"),
}
"""By module: the packages that it may come from."""


def library_versions() -> dict[str, str]:
    """Of Python and of every library that was imported in this process and can change a graph, by package."""
    found = {"python": platform.python_version()}
    for module, packages in _DISTRIBUTIONS.items():
        if module in sys.modules:
            found.update(_installed(packages))
    return found


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    for package in packages:
        try:
            return {package: version(package)}
        except PackageNotFoundError:
            continue
    return {}
