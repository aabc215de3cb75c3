"""A stand-in for the sandbox that runs a child's module on a thread of this process: the same conversation,
without a second's worth of imports for every model. What only a real process can show is in test_sandbox.py."""

from __future__ import annotations

import importlib
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rapide.converters.convert import EXAMINE
from rapide.converters.errors import ConversionError
from rapide.converters.limits import Limits
from rapide.converters.sandbox import Listener
from rapide.server.model import SessionOptions, load_model
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.trials import TrialLimits, TrialReport

Tamper = Callable[[Path], None]
"""Changes the graph at a path, as a faulty converter would have made it."""


class InProcess:
    """``tamper`` is called on every graph before it is examined."""

    def __init__(self, tamper: Tamper | None = None) -> None:
        self._tamper = tamper

    def __call__(
        self, module: str, job: dict[str, Any], *, folder: Path, limits: Limits, listener: Listener
    ) -> _Conversation:
        if module == EXAMINE and self._tamper is not None:
            self._tamper(Path(job["graph"]))
        return _Conversation(module, job, listener)


class _Conversation:
    """Both ends: ``ask`` for the parent; ``step`` … ``receive`` for the module, as in ``channel.Channel``."""

    def __init__(self, module: str, job: dict[str, Any], listener: Listener) -> None:
        self._module = module
        self._job = job
        self._listener = listener
        self._questions: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._questions.put(None)
        self._thread.join()

    def ask(self, question: dict[str, Any] | None = None) -> Any:
        if question is not None:
            self._questions.put(question)
        kind, value = self._answers.get()
        if kind == "error":
            raise value
        return value

    def step(self, text: str) -> None:
        self._listener("step", text)

    def note(self, text: str) -> None:
        self._listener("note", text)

    def answer(self, value: Any) -> None:
        self._answers.put(("answer", value))

    def receive(self) -> dict[str, Any] | None:
        return self._questions.get()

    def _work(self) -> None:
        try:
            importlib.import_module(self._module).main(self._job, self)
        except ConversionError as error:
            self._answers.put(("error", error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other thread waits for an answer
            self._answers.put(("error", ConversionError(f"unexpected {type(error).__name__}: {error}")))


def trial_in_process(
    entry: VersionEntry, limits: TrialLimits, options: Mapping[str, Any], variant: str
) -> TrialReport:
    """A stand-in for ``try_version``: the server's loader, here."""
    load_model(entry, SessionOptions(**options), variant)
    return TrialReport(seconds=0.0, peak_bytes=0)
