"""What travels beside a request: who asks, until when, and who answered."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class CallContext:
    """One call, as its door saw it. Made by a protocol, read by the service, the engine and telemetry.

    ``deadline_s`` is an instant of ``time.monotonic()``, infinite where the caller set none.
    """

    protocol: str
    """``"grpc"`` or ``"http"``: a metrics label."""
    request_id: str
    """The caller's ``x-request-id``, or one that the door made; in every log line and echoed to the caller."""
    received_s: float
    deadline_s: float = math.inf
    label: str = ""
    """A label asked for by name (``stable``); empty lets the model's weights choose."""
    user_key: str = ""
    """The key for sticky routing; empty means at random."""
    pinned_version: str = ""
    """Header ``rapide-version``: overrides weights, for tests of one replica behind a gateway."""
    traceparent: str = ""
    payload_bytes: int = 0
    encoding: str = ""
    """``protobuf-raw``, ``protobuf-typed``, ``json``, ``json+binary`` or ``named``: for the usage profile."""
    answered_by: AnsweredBy | None = None

    # What became of it, for telemetry: filled by the service.
    rows: int = 0
    queue_s: float = 0.0
    """Between being admitted and its batch's start."""
    compute_s: float = 0.0
    """Of the run that answered it, which other requests may have shared."""


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """Who answered: sent with every response (HTTP headers, gRPC initial metadata)."""

    model: str
    version: str
    label: str
    digest: str
    headers: tuple[tuple[str, str], ...] = field(init=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        return self._hash  # it is looked up for every answer

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.model, self.version, self.label, self.digest)))
        object.__setattr__(
            self,
            "headers",
            (
                ("rapide-model", self.model),
                ("rapide-model-version", self.version),
                ("rapide-model-label", self.label),
                ("rapide-model-digest", self.digest),
            ),
        )
