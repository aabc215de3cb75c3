"""What the supervisor and its workers say to each other: one JSON object a line, over a socket pair.

Theory. What the server does is described by one document, ``ServerState``: which versions and labels, and
the shared-memory regions, trace and log settings that administrators set. A change makes a new document. All
workers *prepare* it (load, open, check; nothing visible happens) and say so; only when all of them could does the
supervisor tell them to *commit*, else to *abort*. A worker that starts later gets the document that is in force.
So an administrative call holds in all workers or in none, and a worker needs no history.

    worker                supervisor                 other workers
      │ Apply(change) ───────▶ │ new state
      │ ◀─────────── Prepare(round, state) ──────────────▶ │
      │ Prepared(round) ─────▶ │ ◀──────── Prepared(round) │
      │ ◀────────────── Commit(round) ───────────────────▶ │
      │ Committed(round) ────▶ │ ◀─────── Committed(round) │
      │ ◀── Applied(call)      │

Either end closing its socket means that the process is gone: the supervisor replaces the worker, a worker
without a supervisor finishes what it has and exits.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from rapide.server import errors
from rapide.server.errors import Internal, RapideError

LINE_LIMIT_BYTES = 16 * 1024 * 1024
"""Longest message. A plan entry is about 200 bytes, so this is room for tens of thousands of versions."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """Everything that all workers must agree on. Values are JSON."""

    plan: dict[str, Any]
    """``ServingPlan.to_json()``: models, versions, labels."""
    available: dict[str, list[int]] = field(default_factory=dict)
    """All that the repository offers, loaded or not: model → versions, for the repository index."""
    problems: list[dict[str, Any]] = field(default_factory=list)
    """What cannot be served and why: ``{"model", "version": int | None, "reason"}``, for index and metrics."""
    regions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Registered system shared memory: name → ``{"key", "offset", "byte_size"}``."""
    trace: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Triton's trace settings: model name (``""`` is the server's own) → settings that differ from the default."""
    log: dict[str, Any] = field(default_factory=dict)
    """Triton's log settings that differ from the default."""


# Changes: what an administrative call asks for (``admin.apply(change)``).


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Load the model's newest state from the repository, or reload it."""

    name: str


@dataclass(frozen=True, slots=True)
class UnloadModel:
    """Stop serving the model once its requests in flight are answered."""

    name: str


@dataclass(frozen=True, slots=True)
class RegisterRegion:
    """Open the system shared memory ``key`` as ``name``."""

    name: str
    key: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True)
class UnregisterRegion:
    """Forget one region, or all of them where ``name`` is empty."""

    name: str


@dataclass(frozen=True, slots=True)
class UpdateTrace:
    """Change trace settings of one model (``""``: of the server); None returns a setting to its default."""

    model: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateLog:
    """Change log settings."""

    settings: dict[str, Any]


Change = LoadModel | UnloadModel | RegisterRegion | UnregisterRegion | UpdateTrace | UpdateLog


@dataclass(frozen=True, slots=True)
class Failure:
    """A domain error on its way between processes."""

    error: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """``error`` as a message; anything but a domain error is our fault and says only its class."""
        if isinstance(error, RapideError):
            return cls(type(error).__name__, error.message, error.hint)
        return cls(Internal.__name__, f"an unexpected {type(error).__name__} happened; the log has the details")

    def to_error(self) -> RapideError:
        kind = _ERRORS.get(self.error, Internal)
        return kind(self.message, hint=self.hint)


_ERRORS: dict[str, type[RapideError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, RapideError)
}


@dataclass(frozen=True, slots=True)
class VersionFailure:
    """A version that a worker could not load."""

    model: str
    version: int
    reason: str


# Supervisor → worker


@dataclass(frozen=True, slots=True)
class Start:
    """The first message: who the worker is. A Prepare follows."""

    slot: int
    workers: int
    settings: dict[str, Any]
    """``Settings.to_json()``, with the address, the ports and the state folder resolved."""
    unix: dict[str, int] = field(default_factory=dict)
    """Descriptors of listening Unix sockets that the worker has inherited, by setting's name."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """``is_in_force``: others serve the state already, and the worker is to join them. What it cannot have of it,
    such as a version whose files were damaged since, it reports and goes without."""

    round: int
    state: ServerState
    is_in_force: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """Switch to what was prepared as ``round``. A worker's first one also opens its doors."""

    round: int


@dataclass(frozen=True, slots=True)
class Abort:
    round: int


@dataclass(frozen=True, slots=True)
class Applied:
    """The answer to Apply; ``failure`` is None when the change holds in every worker."""

    call: int
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Describe:
    """Asks what is served, with an example call of each model: for the banner."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Unready now; stop accepting after ``grace_s``; finish within ``drain_s``; exit 0. Sent again, it hurries."""

    grace_s: float
    drain_s: float


# Worker → supervisor


@dataclass(frozen=True, slots=True)
class Started:
    """The worker has imported everything and can load from now on: who dies before it blames no version."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The answer to Prepare: without failures, Commit is certain to succeed."""

    round: int
    versions: list[VersionFailure] = field(default_factory=list)
    failure: Failure | None = None
    """What is wrong with the rest of the state, such as a region that cannot be opened."""
    lacking: list[VersionFailure] = field(default_factory=list)
    """Versions that others serve and this worker will not, since it started too late to load them. They prevent
    no Commit: it answers Unavailable for them."""


@dataclass(frozen=True, slots=True)
class Committed:
    round: int


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model as the banner shows it."""

    name: str
    versions: list[int]
    labels: list[str]
    """As people write them: ``stable=2``, ``canary=3:10%``."""
    path: str = ""
    """Where to POST ``body``; empty if no example could be made."""
    body: str = ""
    """JSON made from the model's real inputs."""
    is_script: bool = False
    """Whether ``body`` is a Python program that prints the JSON instead, because that would fill the screen."""


@dataclass(frozen=True, slots=True)
class Described:
    models: list[ServedModel]


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot go on (a port is taken, say) and will exit; ``failure`` says why."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Apply:
    """An administrative call that this worker received."""

    call: int
    change: Change


Order = Start | Prepare | Commit | Abort | Applied | Describe | Drain
"""What the supervisor sends."""
Report = Started | Prepared | Committed | Described | Failed | Apply
"""What a worker sends."""
Message = Order | Report

_CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Start, Prepare, Commit, Abort, Applied, Describe, Drain,
        Started, Prepared, Committed, Described, Failed, Apply,
        LoadModel, UnloadModel, RegisterRegion, UnregisterRegion, UpdateTrace, UpdateLog,
        ServerState, Failure, VersionFailure, ServedModel,
    )
}  # fmt: skip
_TAG = "$"
"""The key that holds a record's class name. Keys of plain data that start with it get one more."""


def encode(message: Message) -> bytes:
    """One line, newline included."""
    return json.dumps(_plain(message), separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message on ``line``. Both ends are this same release, so anything unknown is a bug: ValueError."""
    message = json.loads(line, object_hook=_record)
    if not isinstance(message, Message):
        raise ValueError(f"not a control message: {line[:80]!r}")
    return message


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in dataclasses.fields(value)]
        return {_TAG: type(value).__name__, **{name: _plain(getattr(value, name)) for name in names}}
    if isinstance(value, dict):
        return {_TAG + key if key.startswith(_TAG) else key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _record(raw: dict[str, Any]) -> Any:
    name = raw.pop(_TAG, None)
    if name is None:
        return {key.removeprefix(_TAG): value for key, value in raw.items()}
    return _CLASSES[name](**raw)
