"""What is imported is declared: an installation from pyproject.toml has everything that its parts need."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"demo", "rapide", "tests"}
COMES_WITH = {
    "gevent": "locust",
    "joblib": "scikit-learn",
    "mlflow": "mlflow-skinny",
    "scipy": "scikit-learn",
    "yaml": "mlflow-skinny",
}
"""What a declared dependency cannot be without."""
BY_HAND = {"atheris"}
"""Tools of what nobody runs but by hand."""

HEAVY = ("convert", "xgboost", "lightgbm", "catboost", "torch", "transformers", "keras", "mlflow")
"""Of the sources of models: imported only for a model of theirs."""
EXTRAS = {
    "server": ("otel",),  # imported only where an endpoint is set
    "rapide/cli": ("convert", "reports"),  # imported only by commands that convert
    "proto": ("test",),  # grpcio-tools, to generate
    "converters": HEAVY,
    "demo": ("convert",),
    "loadtests": ("loadtest", "convert"),
    "profiles": (),
    "reports": ("reports",),
    "tests": ("test", "convert", "otel", "loadtest", "reports"),
}
"""The folder's extras, beside the dependencies that every installation has."""


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]).lower()


def _declared(extras: tuple[str, ...]) -> set[str]:
    requirements = list(PROJECT["dependencies"])
    for extra in extras:
        requirements += PROJECT["optional-dependencies"][extra]
    return {_name(requirement) for requirement in requirements}


def _imports(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            yield from ((path.relative_to(ROOT), name) for name in names)


@pytest.mark.parametrize("folder", EXTRAS)
def test_imports_are_declared(folder: str) -> None:
    declared = _declared(EXTRAS[folder])
    providers = metadata.packages_distributions()
    missing = set()
    for path, name in _imports(ROOT / folder):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names | OURS | BY_HAND:
            continue
        if _name(top) not in declared and declared.isdisjoint(  # the name counts where it is not installed
            {COMES_WITH.get(top, ""), *(_name(provider) for provider in providers.get(top, ()))}
        ):
            missing.add(f"{path}: {top} (of {', '.join(providers.get(top, ['?']))})")
    assert not missing, f"not in pyproject.toml for {folder}:\n" + "\n".join(sorted(missing))
