"""Real child processes that misbehave: every end of theirs is an answer or an error in words, in bounded time."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rapide.cli.stopping import cleared_away
from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.limits import GIB, Limits
from rapide.converters.sandbox import Sandbox
from tests.alive import is_alive, still_alive

LIMITS = Limits(memory_bytes=GIB, time_s=20.0, file_bytes=1_000_000)
MODULE = "tests.converters.child_tasks"
Make = Callable[..., Sandbox]


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a sandbox around one function of ``child_tasks``; what it said is in ``heard``."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def make(do: str, limits: Limits = LIMITS, heard: list[tuple[str, str]] | None = None, **job: Any) -> Sandbox:
        listener = (heard if heard is not None else []).append
        return Sandbox(
            MODULE,
            {"do": do, **job},
            folder=tmp_path,
            limits=limits,
            listener=lambda kind, text: listener((kind, text)),
        )

    return make


def ended_badly(sandbox: Sandbox) -> str:
    """What asking says."""
    with sandbox, pytest.raises(ConversionError) as error:
        sandbox.ask()
    return str(error.value)


def test_a_full_disk_is_told_by_its_folder(child: Make, tmp_path: Path) -> None:
    assert f"no space left in {tmp_path.parent}, where" in ended_badly(child("meet_a_full_disk"))


def test_a_file_that_became_too_large_is_told(child: Make, tmp_path: Path) -> None:
    told = ended_badly(child("write_too_much", to=str(tmp_path / "large")))
    assert "became larger than is allowed here" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_is_told_to_end_while_it_starts_a_child_leaves_none(
    child: Make, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Told(subprocess.Popen[bytes]):
        """The signal comes when the process is there, and nobody knows of it yet."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), number)
            time.sleep(0.05)  # so that another thread, if it is given the signal, has told the first one

    monkeypatch.setattr(subprocess, "Popen", Told)
    ends = threading.Event()
    beside = threading.Thread(target=ends.wait)  # to which the system may give a signal of the process
    beside.start()
    request.addfinalizer(ends.set)
    with pytest.raises((SystemExit, KeyboardInterrupt)), cleared_away(), child("answer"):
        pytest.fail("it goes on as if nothing had been said")
    assert not is_alive(started[0].pid)


def test_a_child_hears_signals(child: Make) -> None:
    with child("blocked_signals") as started:
        assert started.ask() == []


def test_a_conversation(child: Make) -> None:
    heard: list[tuple[str, str]] = []
    with child("answer", heard=heard) as sandbox:
        assert sandbox.ask() == {"first": True}
        assert [sandbox.ask({"number": number}) for number in (1, 21)] == [2, 42]
    said = [(kind, text) for kind, text in heard if kind != "confinement"]
    assert said == [("step", "misbehaving"), ("note", "hello  [31mred [0m")], "no escape reaches the terminal"


@pytest.mark.parametrize(
    ("do", "says"),
    [
        pytest.param("tell", ["the sample is empty", "Fill it."], id="an error that it told"),
        pytest.param("fail", ["misbehaving failed: ZeroDivisionError: by zero", "a last word"], id="an exception"),
        pytest.param("leave", ["ended with status 0 while misbehaving, without giving an answer"], id="_exit(0)"),
        pytest.param("leave_politely", ["misbehaving failed: SystemExit"], id="sys.exit(0)"),
        pytest.param("crash", ["was ended by SIGSEGV while misbehaving"], id="a crash"),
        pytest.param("chatter", ["sent garbage while misbehaving"], id="garbage on the channel"),
    ],
)
def test_every_end_has_words(child: Make, do: str, says: list[str]) -> None:
    message = ended_badly(child(do))
    assert all(part in message for part in says), message


def test_a_gate_stays_a_gate(child: Make) -> None:
    with child("refuse") as sandbox, pytest.raises(GateRefused) as error:
        sandbox.ask()
    assert error.value.gate == "graph"


@pytest.mark.parametrize("do", ["sleep", "spin"])
def test_time_is_limited(child: Make, do: str) -> None:
    started = time.monotonic()
    message = ended_badly(child(do, Limits(GIB, time_s=1.5)))
    assert "misbehaving took longer than 1.5 s and was stopped" in message
    assert "--timeout" in message
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("do", ["hoard", "hoard_natively"])
def test_memory_is_limited(child: Make, do: str) -> None:
    message = ended_badly(child(do, bytes=2 * GIB))
    assert "misbehaving needed more than 1 GiB of memory" in message
    assert "--memory-gib" in message


def test_memory_within_the_limit_is_given(child: Make) -> None:
    with child("hoard", bytes=GIB // 4) as sandbox:
        assert sandbox.ask() == GIB // 4


def test_files_are_limited(child: Make) -> None:
    assert "SIGXFSZ" in ended_badly(child("fill_the_disk", bytes=2_000_000))


def test_the_network_is_cut_off_or_said_not_to_be(child: Make) -> None:
    heard: list[tuple[str, str]] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        child("connect", heard=heard, port=server.getsockname()[1]) as sandbox,
    ):
        answer = sandbox.ask()
    warned = any(kind == "confinement" and "network could not be cut off" in text for kind, text in heard)
    assert (answer == "connected") is warned, "either it is off, or the user was told"


def test_local_sockets_are_refused_too(child: Make, tmp_path: Path) -> None:
    path = str(tmp_path / "daemon")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with child("connect_locally", path=path) as sandbox:
            assert sandbox.ask() == "refused: Permission denied"


@pytest.mark.parametrize("do", ["fork", "run_a_program"])
def test_processes_are_started_only_where_that_is_allowed(child: Make, do: str) -> None:
    with child(do) as sandbox:
        assert sandbox.ask() in ("forked", "ran")
    with child(do, may_start_processes=False) as sandbox:
        assert sandbox.ask() == "refused: Operation not permitted"


def test_threads_are_always_allowed(child: Make) -> None:
    with child("use_threads", may_start_processes=False) as sandbox:
        assert sandbox.ask() == 4


def test_limits_stay_where_they_are(child: Make) -> None:
    heard: list[tuple[str, str]] = []
    with child("raise_limits", heard=heard) as sandbox:
        answer = sandbox.ask()
    if os.getuid() == 0 and any(kind == "confinement" for kind, _ in heard):
        pytest.skip("root keeps its powers where user namespaces are forbidden; the user is told")
    assert answer == "kept"


def test_secrets_of_the_shell_stay_there(child: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLOUD_TOKEN", "secret")
    with child("look_around") as sandbox:
        seen = sandbox.ask()
    assert "CLOUD_TOKEN" not in seen["environment"]
    assert seen["environment"]["ORT_DISABLE_TELEMETRY"] == "1"
    assert seen["folder"] == str(tmp_path)
    assert seen["user"] == os.getuid()


def test_grandchildren_end_with_it(child: Make) -> None:
    with child("breed") as sandbox:
        grandchild = sandbox.ask()
        assert is_alive(grandchild)
    assert still_alive([grandchild], within_s=5) == []


def test_nobody_escapes_the_end(child: Make, tmp_path: Path) -> None:
    with child("escape") as sandbox:
        sandbox.ask()
        give_up_s = time.monotonic() + 5
        told = tmp_path / "escaped"
        while not (told.exists() and told.read_text()) and time.monotonic() < give_up_s:
            pass
        escaped = int(told.read_text())
        assert is_alive(escaped)
    assert still_alive([escaped], within_s=5) == []


def test_processes_are_counted(child: Make) -> None:
    begun_s = time.monotonic()
    assert "misbehaving started more than 64 processes, and was stopped" in ended_badly(child("multiply"))
    assert time.monotonic() - begun_s < LIMITS.time_s / 2


def test_memory_is_counted_together(child: Make) -> None:
    message = ended_badly(child("hoard_together", bytes=GIB // 4))
    assert re.search(r"misbehaving held more than 1 GiB of memory, in \d processes, and was stopped", message)


def test_a_question_to_a_dead_child(child: Make) -> None:
    with child("breed") as sandbox:
        sandbox.ask()
        with pytest.raises(ConversionError, match="without giving an answer"):
            sandbox.ask({"number": 1})
