"""What is to be replayed, where and how. Values only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from rapide.profiles.arrivals import Arrivals

Integers = np.ndarray[Any, np.dtype[np.int64]]
PROTOCOLS = ("grpc", "json", "binary")
DEFAULT_PORTS = {"grpc": 8001, "http": 8000}
MOST_PROCESSES = 256
MOST_CONNECTIONS = 20_000
"""Of one host to one address there are no more ports than some 28,000."""
DIFFERENT_PAYLOADS = 4096
"""Each worker of a server looks at some 1,024 requests in a row for repeats (docs/reference/profile.md): up to
four of them find none among these."""


class ReplayError(Exception):
    """What was asked cannot be replayed. ``hint`` says what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ModelArrivals:
    """The requests of one model. Empty ``version``: the server's choice.

    ``payload_seeds``: int64[N]; requests with equal rows and seed carry the same values. None: thousands in turn.
    ``sizes``: of dimensions that each request chooses, by axis (``ids[1]``): sizes that are equally likely.
    ``start_s``: the instant of ``arrivals``' zero on the clock that all models of a plan share.
    """

    model: str
    version: str
    arrivals: Arrivals
    payload_seeds: Integers | None = None
    start_s: float = 0.0
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def seeds(self) -> Integers:
        """The payload seed of each request, int64[N]."""
        if self.payload_seeds is not None:
            return self.payload_seeds
        return np.arange(self.arrivals.count, dtype=np.int64) % DIFFERENT_PAYLOADS


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """One replay.

    ``url``: ``http://host:port`` or ``grpc://host:port``. ``protocol``: grpc, json or binary; empty for the URL's
    own (json for http). ``speed``: 2 plays twice as fast. ``connections``: over all processes; 0 for 16 (gRPC), or
    as many as are needed at once (HTTP, where a connection carries one request at a time). ``spin_us``: wake so
    much before a request is due and watch the clock. ``skip_idle_s``: longer pauses of all models together are cut
    to this; 0 keeps them. ``rows_from``: by model, recorded rows (golden.npz) to send. ``examples_url``: the
    administrative port of a rapide server, whose example row is sent of models that have no recorded rows.
    ``part``: (1, 2) and (2, 2) are what two hosts send of the whole, in turn. ``start_at_s``: epoch seconds; 0 is
    at once.
    """

    url: str
    requests: Sequence[ModelArrivals]
    speed: float = 1.0
    protocol: str = ""
    processes: int = 1
    timeout_s: float = 10.0
    connections: int = 0
    spin_us: float = 0.0
    skip_idle_s: float = 0.0
    rows_from: Mapping[str, Path] = field(default_factory=dict)
    examples_url: str = ""
    part: tuple[int, int] = (1, 1)
    start_at_s: float = 0.0

    @property
    def encoding(self) -> str:
        """grpc, json or binary. Raises ReplayError where the URL and the protocol do not go together."""
        scheme = urlsplit(self.url).scheme
        chosen = self.protocol or {"grpc": "grpc", "http": "json"}.get(scheme, "")
        if scheme not in ("grpc", "http") or chosen not in PROTOCOLS or (chosen == "grpc") != (scheme == "grpc"):
            raise ReplayError(
                f"{self.protocol or 'a replay'} at {self.url!r} is not possible.",
                "Write grpc://host:8001 for gRPC, http://host:8000 for json and binary. TLS is not spoken here: "
                "aim at the server behind it.",
            )
        return chosen

    @property
    def address(self) -> tuple[str, int]:
        """Host and port. Raises ReplayError."""
        split = urlsplit(self.url)
        try:
            host, port = split.hostname, split.port
        except ValueError:
            host, port = None, None
        if not host:
            raise ReplayError(f"{self.url!r} is no address of a server.", "Write grpc://localhost:8001.")
        return host, port or DEFAULT_PORTS["grpc" if self.encoding == "grpc" else "http"]

    def check(self) -> None:
        """Raises ReplayError for what cannot be run."""
        _ = self.address
        if not any(each.arrivals.count for each in self.requests):
            raise ReplayError("there is no request to replay.", "The profile holds no arrivals of these models.")
        number, of = self.part
        if not 1 <= number <= of:
            raise ReplayError(f"there is no part {number} of {of}.", "Write 1/2 on one host and 2/2 on the other.")
        for name, value in (("speed", self.speed), ("processes", self.processes), ("timeout_s", self.timeout_s)):
            if not 0 < value < math.inf:
                raise ReplayError(f"{name} must be a number above 0, not {value:g}.")
        for name in ("connections", "spin_us", "skip_idle_s"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ReplayError(f"{name} must be a number that is not below 0, not {value:g}.")
        for name, most in (("processes", MOST_PROCESSES), ("connections", MOST_CONNECTIONS)):
            if (value := getattr(self, name)) > most:
                raise ReplayError(f"{name} must be at most {most:,}, not {value:,}.")
