"""The command line as a whole: errors in words, exit codes, tracebacks for developers only, quick starts."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from rapide.cli import main as module
from rapide.cli.main import COMMANDS, main
from rapide.server.errors import NotFound


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], int]], None]:
    """Puts a command ``try`` in place of all others, which does what the test says."""

    def put(does: Callable[[], int]) -> None:
        def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
            subparsers.add_parser("try", help="tries").set_defaults(run=lambda args: does())

        stand_in = types.ModuleType("rapide.cli.try")
        stand_in.register = register  # type: ignore[attr-defined] # a module made by hand
        monkeypatch.setitem(sys.modules, "rapide.cli.try", stand_in)
        monkeypatch.setattr(module, "COMMANDS", {"try": "tries"})

    return put


def _with_json(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], error: BaseException) -> None:
    parser = subparsers.add_parser("try", help="tries")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=lambda args: failing(error)())


def failing(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            NotFound("there is no model 'a'.", hint="Models here: b."),
            1,
            "rapide: there is no model 'a'.\n  Models here: b.\n",
        ),
        (FileNotFoundError(2, "No such file or directory", "x.json"), 1, "rapide: [Errno 2] No such file"),
        (KeyError("oops"), 70, "rapide: unexpected KeyError: 'oops'\n  This is a mistake of rapide's"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_words_and_codes(
    error: BaseException,
    code: int,
    said: str,
    command: Callable[[Callable[[], int]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(failing(error))
    assert main(["try"]) == code
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (NotFound("no 'ä'.", hint="Models here: b."), 1, {"error": "no 'ä'.", "hint": "Models here: b."}),
        (FileNotFoundError("x.json"), 1, {"error": "x.json", "hint": ""}),
        (KeyError("oops"), 70, {"error": "unexpected KeyError: 'oops'"}),
    ],
)
def test_errors_are_objects_for_scripts(
    error: BaseException,
    code: int,
    expected: dict[str, str],
    command: Callable[[Callable[[], int]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(failing(error))
    sys.modules["rapide.cli.try"].register = lambda subparsers: _with_json(subparsers, error)  # type: ignore[attr-defined]
    assert main(["try", "--json"]) == code
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said.keys() == {"error", "hint"}
    assert said.items() >= expected.items()
    assert err.startswith(f"rapide: {expected['error']}\n")


def test_developers_get_tracebacks(
    command: Callable[[Callable[[], int]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPIDE_DEBUG", "1")
    command(failing(NotFound("there is no model 'a'.")))
    with pytest.raises(NotFound):
        main(["try"])


def test_the_codes_of_commands_are_ours(command: Callable[[Callable[[], int]], None]) -> None:
    command(lambda: 3)
    assert main(["try"]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "examples:\n  rapide serve models/"),
        (["sevre"], "there is no command 'sevre'; did you mean serve?"),
        (["xyz"], "there is no command 'xyz'; choose one of serve, convert"),
        (["foo"], "usage: rapide [-h] [--version] COMMAND ...\n"),
        (["serve", "--wokers", "2"], "unrecognized arguments: --wokers; did you mean --workers?"),
        (["serve", "--wokers=2"], "unrecognized arguments: --wokers=2; did you mean --workers?"),
        (["serve", "--wokers", "2"], "usage: rapide serve [-h] [--config FILE] "),
        (["check", "--xyz"], "rapide check: error: unrecognized arguments: --xyz\n"),
        (["--xyz", "check"], "rapide: error: unrecognized arguments: --xyz\n"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_announced_as_it_announces_itself(name: str) -> None:
    subparsers = argparse.ArgumentParser().add_subparsers()
    importlib.import_module(f"rapide.cli.{name}").register(subparsers)
    assert [action.help for action in subparsers._choices_actions] == [COMMANDS[name]]


def test_nothing_heavy_is_imported_for_help() -> None:
    """What makes `rapide --help` answer at once; a clock would only tell how busy the machine is."""
    program = "import sys; from rapide.cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.splitlines()[-1].split())
    heavy = {"numpy", "onnxruntime", "grpc", "asyncio", "starlette", "uvicorn", "pandas", "rich", "onnx", "google"}
    assert not loaded & heavy


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    run = subprocess.run(
        f"{sys.executable} -m rapide check | head -1", shell=True, capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    assert run.stdout.count("\n") == 1
