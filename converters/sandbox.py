"""Runs a module in a process of its own and turns whatever happens to it into an answer or an
error.

The child speaks through a pipe of its own (``channel.py``); what foreign code prints goes to a file in the work
folder. Of the environment it sees only what is listed here: tokens and passwords of the user's shell are not among
it. It is the leader of its own session, so that one signal ends it with everything that it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.limits import GIB, Limits
from rapide.converters.watch import Watch
from rapide.converters.work_folder import no_room

_MAX_MESSAGE_BYTES = 256 * 1024 * 1024
"""Far above what a thousand features need; foreign code could write for ever."""
_LOG_TAIL_BYTES = 2000
_MEMORY_SIGNS = ("bad_alloc", "bad allocation", "MemoryError", "Cannot allocate memory", "failed to map segment")
"""How Python, libraries and the dynamic linker say that there is none left."""
_PASSED_ON = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
)
_FIXED = {
    "OMP_NUM_THREADS": "2",  # each thread maps memory, and a conversion has little to share out
    "OPENBLAS_NUM_THREADS": "2",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}

Listener = Callable[[str, str], None]
"""Called with ``"step"``, ``"note"``, ``"confinement"`` or ``"caution"`` and its text."""


class Dialogue(Protocol):
    """A running child: a context manager that is asked questions."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def ask(self, question: dict[str, Any] | None = None) -> Any: ...


class SandboxMaker(Protocol):
    """What makes a child: ``Sandbox``, or a stand-in."""

    def __call__(
        self, module: str, job: dict[str, Any], *, folder: Path, limits: Limits, listener: Listener
    ) -> Dialogue: ...


class Sandbox:
    """One child process; use as a context manager, which ends it and all that it started.

    ``ask`` raises ConversionError for an error that the child told, for its death, and when time is up.
    """

    def __init__(
        self,
        module: str,
        job: dict[str, Any],
        *,
        folder: Path,
        limits: Limits,
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._module = module
        self._name = module.rpartition(".")[2]
        self._job = {**job, "limits": limits.to_json()}
        self._folder = folder
        self._limits = limits
        self._listener = listener
        self._clock = clock
        self._log_path = folder / f"{self._name}.log"
        self._step = "starting"
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        job_path = self._folder / f"{self._name}.json"
        job_path.write_text(json.dumps(self._job), encoding="utf-8")
        self._deadline_s = self._clock() + self._limits.time_s
        self._reader, writer = os.pipe()
        with contextlib.ExitStack() as undo, self._log_path.open("wb") as log:
            undo.callback(os.close, self._reader)
            with _told_later():
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-P", "-m", "rapide.converters.child"),
                        *(self._module, str(job_path), str(writer)),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writer,),
                    cwd=self._folder,
                    env=_environment(),
                    start_new_session=True,
                )
                undo.callback(self._end)
            os.close(writer)
            os.set_blocking(self._reader, False)
            self._watch = Watch(self._process.pid, self._limits.memory_bytes)
            self._watch.start()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.stop()
        self._end()
        os.close(self._reader)

    def ask(self, question: dict[str, Any] | None = None) -> Any:
        """Sends ``question`` (None: the child answers unasked) and returns the answer."""
        if question is not None:
            self._write(json.dumps(question).encode() + b"\n")
        while True:
            message = self._next()
            if message is None:
                raise self._died()
            for kind in ("step", "note", "confinement"):
                if kind in message:
                    self._step = _printable(str(message[kind])) if kind == "step" else self._step
                    self._listener(kind, _printable(str(message[kind])))
            if "error" in message:
                raise self._told(message["error"])
            if "answer" in message:
                return message["answer"]

    def _write(self, line: bytes) -> None:
        stdin = self._process.stdin
        if stdin is None:
            raise AssertionError("the child was started with a pipe")
        try:
            stdin.write(line)
            stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _next(self) -> dict[str, Any] | None:
        """The next message, or None when the child has closed its end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            while (end := self._buffer.find(b"\n")) < 0:
                left_s = self._deadline_s - self._clock()
                if left_s <= 0 or not selector.select(left_s):
                    raise self._out_of_time()
                chunk = os.read(self._reader, 1 << 16)
                if not chunk:
                    return None
                self._buffer += chunk
                if len(self._buffer) > _MAX_MESSAGE_BYTES:
                    raise ConversionError(f"the child process floods its channel while {self._step}")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise ConversionError(f"the child process sent garbage while {self._step}")
        return message

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _told(self, error: dict[str, Any]) -> ConversionError:
        if "gate" in error:
            return GateRefused(str(error["gate"]), _text(error, "message"), hint=_text(error, "hint"))
        if "message" in error:
            return ConversionError(_text(error, "message"), hint=_text(error, "hint"))
        if error.get("memory") or _is_about_memory(_text(error, "unexpected")):
            return self._out_of_memory()
        told = no_room(_text(error, "unexpected"), self._folder)
        return told or ConversionError(
            f"{self._step} failed: {_text(error, 'unexpected') or 'no reason given'}", hint=self._log_hint()
        )

    def _died(self) -> ConversionError:
        left_s = max(0.1, self._deadline_s - self._clock())
        try:
            status = self._process.wait(min(left_s, 5.0))
        except subprocess.TimeoutExpired:
            return ConversionError(f"the child process closed its channel while {self._step}")
        if self._watch.reason:
            return ConversionError(f"{self._step} {self._watch.reason}, and was stopped")
        if status == -signal.SIGXCPU:
            return self._out_of_time()
        tail = self._log_tail()
        if _is_about_memory(tail):
            return self._out_of_memory()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        if status == -signal.SIGKILL:
            return ConversionError(
                f"the child process {how} while {self._step}",
                hint="The system may have run out of memory, or it used up its time: see --memory-gib, --timeout.",
            )
        return ConversionError(
            f"the child process {how} while {self._step}, without giving an answer", hint=self._log_hint()
        )

    def _out_of_time(self) -> ConversionError:
        return ConversionError(
            f"{self._step} took longer than {self._limits.time_s:g} s and was stopped",
            hint="If the model is only big, raise --timeout.",
        )

    def _out_of_memory(self) -> ConversionError:
        return ConversionError(
            f"{self._step} needed more than {self._limits.memory_bytes / GIB:g} GiB of memory",
            hint="If the model is only big, raise --memory-gib.",
        )

    def _log_hint(self) -> str:
        tail = self._log_tail().strip()
        return f"It printed:\n{tail}" if tail else ""

    def _log_tail(self) -> str:
        with self._log_path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES))
            return _printable(log.read().decode("utf-8", "replace"))


def _is_about_memory(text: str) -> bool:
    return any(sign in text for sign in _MEMORY_SIGNS)


def _text(error: dict[str, Any], name: str) -> str:
    return _printable(str(error.get(name, "")))


def _printable(text: str) -> str:
    """``text`` without control characters: foreign code wrote it, and terminals obey them."""
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)


@contextlib.contextmanager
def _told_later() -> Iterator[None]:
    """Within it nobody is told to end, but afterwards: a process that was started and of which nobody knew yet
    would be left behind. Signals are not blocked for that: another thread would hear them for all."""
    if threading.current_thread() is not threading.main_thread():  # only that one is told
        yield
        return
    told: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    heard = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in heard:
        signal.signal(number, lambda number, _frame: told.append(number))
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        for each in told:
            signal.raise_signal(each)


def _environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed, **_FIXED}
