"""What the engine works with: a request on its way (Ticket), a run of the model (Run), its part of it (Answer)."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from rapide.server.batching import FINISHED, Batch, Entry, Reason
from rapide.server.errors import Internal, RapideError
from rapide.server.merging import Inputs, Joiner, check_rows
from rapide.server.signature import Signature
from rapide.server.tensors import Array


class RunnableModel(Protocol):
    """What the engine needs of a model (``model.Model``)."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def run_us(self) -> float:
        """Time of a run of one row."""
        ...

    @property
    def row_us(self) -> float:
        """Time that each further row adds."""
        ...

    def run(self, arrays: list[Array]) -> list[Array]:
        """The outputs, in the signature's order. Blocking, thread-safe. Raises RapideError."""
        ...


class BatchRecorder(Protocol):
    """What the engine tells telemetry (``telemetry.recorder.Recorder``)."""

    def arrival(self, now_s: float, rows: int) -> None: ...

    def batch(
        self,
        requests: int,
        rows: int,
        queue_s: Sequence[float],
        compute_s: float,
        reason: str,
        input_s: float = 0.0,
    ) -> None: ...

    def answered(self, rows: int, took_s: float) -> None: ...

    def waiting(self, requests: int, rows: int) -> None: ...


class Run:
    """One run of the model, for one request or several. ``outputs`` holds nothing where ``error`` is set.

    From ``started_s`` on, ``input_s`` went into joining the inputs, then ``compute_s`` into the model.
    """

    __slots__ = ("compute_s", "error", "input_s", "outputs", "reason", "rows", "started_s", "tickets")

    def __init__(self, tickets: list[Ticket], rows: int, reason: Reason, started_s: float) -> None:
        self.tickets = tickets
        self.rows = rows
        self.reason = reason
        self.started_s = started_s
        self.input_s = 0.0
        self.compute_s = 0.0
        self.outputs: list[Array] = []
        self.error: RapideError | None = None


class Answer:
    """One request's rows, ``start`` to ``stop``, of a run's outputs.

    ``outputs`` slices them as arrays. Who wants bytes can slice the whole run's outputs, ``run.outputs``.
    """

    __slots__ = ("queue_s", "run", "start", "stop")

    def __init__(self, run: Run, start: int, stop: int, queue_s: float) -> None:
        self.run = run
        self.start = start
        self.stop = stop
        self.queue_s = queue_s

    @property
    def outputs(self) -> list[Array]:
        """This request's outputs in the signature's order: views on the run's."""
        run = self.run
        if len(run.tickets) == 1:
            return run.outputs
        return [output[self.start : self.stop] for output in run.outputs]

    @property
    def compute_s(self) -> float:
        return self.run.compute_s

    @property
    def batch_rows(self) -> int:
        return self.run.rows


Outcome = Answer | RapideError
Done = Callable[[Outcome], None]


class Canceller(Protocol):
    def cancel(self, ticket: Ticket) -> bool: ...


class Ticket(Entry):
    """A submitted request: what the queue sees, its inputs, and whom to tell."""

    __slots__ = ("done", "engine", "inputs")

    def __init__(
        self,
        rows: int,
        key: Hashable,
        deadline_s: float,
        arrived_s: float,
        size_bytes: int,
        inputs: Inputs,
        done: Done,
        engine: Canceller,
    ) -> None:
        super().__init__(rows, key, deadline_s, arrived_s, size_bytes)
        self.inputs = inputs
        self.done = done
        self.engine = engine

    def cancel(self) -> bool:
        """Gives the request up: ``done`` will not be called. False if it was answered already."""
        return self.engine.cancel(self)

    def finish(self) -> Done:
        """Marks it as finished, lets go of what it holds, and gives the callback, to be called once."""
        done = self.done
        self.state = FINISHED
        self.inputs = []
        self.done = _nobody
        return done


class Runner:
    """Runs batches of one model. Safe on any thread; its methods never raise."""

    def __init__(self, model: RunnableModel, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._joiner = Joiner(model.signature)
        self._title = title
        self._clock = clock

    def execute(self, batch: Batch[Ticket], parts: list[Inputs]) -> list[Run]:
        """Runs ``batch`` on ``parts`` (its tickets' inputs), or where that fails its requests one by one.

        Alone, a poisonous request harms nobody. Requests that were finished meanwhile, or are too late by then,
        are left out.
        """
        whole = self._run(batch.entries, parts, batch.rows, batch.reason)
        if whole.error is None or len(parts) == 1:
            return [whole]
        return [
            self._run([ticket], [inputs], ticket.rows, Reason.RETRY)
            for ticket, inputs in zip(batch.entries, parts, strict=True)
            if ticket.state is not FINISHED and ticket.deadline_s > self._clock()
        ]

    def _run(self, tickets: list[Ticket], parts: list[Inputs], rows: int, reason: Reason) -> Run:
        run = Run(tickets, rows, reason, self._clock())
        joined_s = run.started_s
        try:
            arrays = self._joiner.arrays(parts)
            if len(parts) > 1:
                joined_s = self._clock()
            run.outputs = self._model.run(arrays)
            if len(parts) > 1:
                check_rows(run.outputs, rows)
        except RapideError as error:
            run.error = error
        except Exception as error:  # noqa: BLE001 - whatever a model does is its own requests' answer
            run.error = Internal(f"{self._title} failed; the log has the details")
            run.error.__cause__ = error
        run.input_s = joined_s - run.started_s
        run.compute_s = self._clock() - joined_s
        return run


def _nobody(_: Outcome) -> None:
    """The callback of a finished ticket; never called."""
