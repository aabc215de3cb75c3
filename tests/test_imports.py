"""Imports point one way: what docs/architecture.md promises, asserted on the syntax trees of all that ships."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCAL = "rapide"


@dataclass(frozen=True, slots=True)
class Rule:
    """What the modules of ``room`` may import. ``only`` speaks of our own modules and allows the room itself."""

    room: str
    because: str
    only: tuple[str, ...] | None = None
    never: tuple[str, ...] = ()

    def breaks(self, name: str) -> bool:
        if name == LOCAL:  # the version number
            return False
        if self.only is not None and _within(name, LOCAL) and not _within(name, self.room, *self.only):
            return True
        return _within(name, *self.never)


SERVER = "rapide.server"
VALUES = tuple(f"{SERVER}.{room}" for room in ("errors", "signature", "tensors", "context", "settings"))
HEAVY = ("numpy", "onnxruntime", "onnx", "grpc", "starlette", "uvicorn", "google.protobuf", "ml_dtypes")
TRANSPORTS = ("grpc", "starlette", "uvicorn", "httptools", "hpack")

RULES = (
    Rule(
        SERVER, "the server knows no converter, load test or command", only=("rapide.proto", "rapide.__version__")
    ),
    Rule("rapide.proto", "the wire contracts stand alone", only=()),
    Rule(
        "rapide.loadtests",
        "a load test is a client like any other",
        only=("rapide.proto", "rapide.profiles", "rapide.reports"),
    ),
    Rule("rapide.reports", "a page is a page, whatever it tells of", only=()),
    Rule(
        "rapide.tuning",
        "a tuner knows the server's values and policy, and otherwise asks a real one",
        never=(
            "rapide.cli",
            "rapide.converters",
            *(f"{SERVER}.{room}" for room in ("engine", "service", "protocols", "supervisor", "worker", "app")),
        ),
    ),
    Rule(
        "rapide.profiles",
        "a profile is read where no server runs",
        only=(f"{SERVER}.errors", f"{SERVER}.telemetry.bins", f"{SERVER}.telemetry.drift"),
        never=HEAVY[1:],
    ),
    Rule(
        "rapide.converters",
        "converters and server meet in the model folder",
        never=(
            "rapide.loadtests",
            "rapide.cli",
            *(
                f"{SERVER}.{room}"
                for room in ("engine", "service", "protocols", "telemetry", "supervisor", "worker")
            ),
        ),
    ),
    Rule(f"{SERVER}.errors", "errors know nobody", only=()),
    Rule(f"{SERVER}.signature", "value types know errors alone", only=VALUES),
    Rule(f"{SERVER}.tensors", "value types know errors alone", only=VALUES),
    Rule(f"{SERVER}.repository", "the lean supervisor reads repositories", only=VALUES, never=HEAVY),
    Rule(f"{SERVER}.batching", "policy is free of I/O and clocks", never=("asyncio", "time", *HEAVY)),
    Rule(f"{SERVER}.routing", "policy is free of I/O and clocks", never=("asyncio", "time", "random", *HEAVY)),
    Rule(
        f"{SERVER}.codecs",
        "codecs are pure functions on value types",
        only=(*VALUES, f"{SERVER}.repository.manifest", "rapide.proto"),
        never=("asyncio", "socket", *TRANSPORTS),
    ),
    Rule(
        f"{SERVER}.engine",
        "nothing calls back upward",
        never=(f"{SERVER}.service", f"{SERVER}.protocols", f"{SERVER}.catalogue", f"{SERVER}.app"),
    ),
    Rule(
        f"{SERVER}.service",
        "both doors share one meaning, so it knows neither",
        never=(f"{SERVER}.protocols", f"{SERVER}.app", f"{SERVER}.supervisor", *TRANSPORTS),
    ),
    Rule(
        f"{SERVER}.protocols",
        "a door talks to the service, never to a model",
        never=(f"{SERVER}.app", f"{SERVER}.worker", f"{SERVER}.supervisor", f"{SERVER}.model", f"{SERVER}.engine"),
    ),
)

SOLE_IMPORTERS = {
    "onnxruntime": (f"{SERVER}.model", "rapide.converters", "rapide.loadtests"),
    "matplotlib": ("rapide.reports",),
    "grpc": (f"{SERVER}.protocols", "rapide.loadtests", "rapide.cli", "rapide.proto"),
    "starlette": (f"{SERVER}.protocols", "rapide.loadtests"),
    "uvicorn": (f"{SERVER}.protocols", f"{SERVER}.app", "rapide.loadtests"),
}
"""Only these may import what stands left, anywhere: the price of changing an engine is one room."""

LEAN = {
    f"{SERVER}.supervisor": "it starts in milliseconds and weighs little beside its workers",
    f"{SERVER}.repository": "`rapide models`, `label` and `which` answer at once",
    "rapide.cli.main": "`rapide --help` answers at once",
}
"""Nothing HEAVY is imported, however indirectly, when these are."""


@dataclass(slots=True)
class Module:
    """What one module imports, by full names; imports for type checkers alone are left out."""

    now: set[str] = field(default_factory=set)
    """While it is imported itself."""
    later: set[str] = field(default_factory=set)
    """Inside functions, when they are called."""


def _modules() -> dict[str, Module]:
    paths = {_name(path): path for path in _python_files(ROOT / LOCAL)}
    modules = {}
    for name, path in paths.items():
        modules[name] = Module()
        _read(ast.parse(path.read_text()), modules[name], paths.keys())
    return modules


def _python_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):  # Path.rglob would not follow the links in rapide/
        if path.is_dir() and path.name not in ("__pycache__", "generated"):
            yield from _python_files(path)
        elif path.suffix == ".py":
            yield path


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(node: ast.AST, module: Module, known: Collection[str], inside: bool = False) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            (module.later if inside else module.now).update(_imported(child, known))
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            _read(child, module, known, inside or function)


def _imported(statement: ast.Import | ast.ImportFrom, known: Collection[str]) -> set[str]:
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names}
    source = statement.module or ""
    inner = {f"{source}.{alias.name}" for alias in statement.names}
    return {name if name in known else source for name in inner}


def _within(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


MODULES = _modules()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.room)
def test_a_room_imports_only_what_it_may(rule: Rule) -> None:
    members = [name for name in MODULES if _within(name, rule.room)]
    assert members, f"{rule.room} is gone: mend this table and docs/architecture.md"
    broken = [
        f"{name} imports {imported}"
        for name in members
        for imported in sorted(MODULES[name].now | MODULES[name].later)
        if rule.breaks(imported)
    ]
    assert not broken, f"{rule.because}:\n" + "\n".join(broken)


@pytest.mark.parametrize("library", SOLE_IMPORTERS)
def test_a_library_has_few_importers(library: str) -> None:
    importers = {
        name
        for name, module in MODULES.items()
        if any(_within(imported, library) for imported in module.now | module.later)
    }
    assert importers, f"nobody imports {library}: mend this table"
    assert {name for name in importers if not _within(name, *SOLE_IMPORTERS[library])} == set()


@pytest.mark.parametrize("room", LEAN)
def test_what_starts_fast_imports_nothing_heavy(room: str) -> None:
    assert room in MODULES, f"{room} is gone: mend this table"
    reached: dict[str, str] = {}
    waiting = [(name, name) for name in MODULES if _within(name, room)]
    while waiting:
        name, path = waiting.pop()
        if name in reached:
            continue
        reached[name] = path
        parents = {name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)}
        known = MODULES.get(name, Module())
        waiting += [(found, f"{path} → {found}") for found in sorted(known.now | parents)]
    heavy = [path for name, path in reached.items() if _within(name, *HEAVY)]
    assert not heavy, f"{LEAN[room]}:\n" + "\n".join(heavy)


def test_no_module_imports_itself_in_a_circle() -> None:
    circles: list[str] = []
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circles.append(" → ".join((*path[path.index(name) :], name)))
        elif name not in finished:
            for imported in sorted(MODULES[name].now & MODULES.keys()):
                visit(imported, (*path, name))
            finished.add(name)

    for name in MODULES:
        visit(name, ())
    assert not circles, "\n".join(circles)


def test_the_reader_of_imports_sees_what_it_should() -> None:
    """The rules above are only as good as this reading."""
    source = """
from __future__ import annotations
import numpy.linalg
from typing import TYPE_CHECKING
from a import b, c
if TYPE_CHECKING:
    import onnxruntime
class C:
    from d import e
    def f(self):
        import grpc
"""
    module = Module()
    _read(ast.parse(source), module, {"a.b"})
    assert module.now == {"__future__", "numpy.linalg", "typing", "a.b", "a", "d"}
    assert module.later == {"grpc"}
