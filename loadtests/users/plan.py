"""What all users of a run send, chosen by command-line options and made once, before the first user starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapide.loadtests.payloads import Input, Payload, random_payloads, recorded_payloads

DIFFERENT_PAYLOADS = 64
"""Enough that nothing could answer from memory, few enough to encode in a blink."""


class Unprepared(Exception):
    """There is nothing to send: nobody answers, or the server refuses. The message, one line, says which."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of the requests. ``rows_from`` is empty for random values."""

    model: str
    version: str = ""
    rows: int = 1
    rows_from: str = ""
    grpc: str = "127.0.0.1:8001"
    user_keys: int = 0
    wait_s: float = 0.0
    timeout_s: float = 10.0

    @classmethod
    def of(cls, parsed: Any) -> Options:
        """From locust's parsed options (``add_options`` put them there)."""
        return cls(
            model=parsed.model,
            version=parsed.model_version,
            rows=parsed.rows,
            rows_from=parsed.rows_from,
            grpc=parsed.grpc,
            user_keys=parsed.user_keys,
            wait_s=parsed.wait,
            timeout_s=parsed.timeout,
        )

    def payloads(self, inputs: tuple[Input, ...]) -> list[Payload]:
        """The requests to send in turn, for a model with these inputs. Raises ValueError where none can be."""
        if self.rows_from:
            made = recorded_payloads(self.model, self.version, inputs, self.rows, Path(self.rows_from))
        else:
            made = random_payloads(self.model, self.version, inputs, self.rows, count=DIFFERENT_PAYLOADS)
        return list(itertools.islice(made, DIFFERENT_PAYLOADS))

    def keys(self, user: int) -> Iterator[str]:
        """The user keys that one locust user sends in turn, or empty texts where no keys were asked for."""
        if not self.user_keys:
            return itertools.repeat("")
        return itertools.cycle([f"user-{(user + step) % self.user_keys}" for step in range(self.user_keys)])


def add_options(parser: Any) -> None:
    """Adds what these users understand to locust's own options."""
    group = parser.add_argument_group("rapide", "What is sent to the model, and what the answers must be like")
    group.add_argument("--model", env_var="LOCUST_MODEL", default="", help="name of the model (required)")
    group.add_argument("--model-version", default="", help="version to ask for; empty lets the server choose")
    group.add_argument("--rows", type=int, default=1, help="rows in one request")
    group.add_argument(
        "--rows-from",
        default="",
        metavar="FILE",
        help="golden.npz of a version, or an .npz with arrays named like inputs",
    )
    group.add_argument("--grpc", default="127.0.0.1:8001", metavar="HOST:PORT", help="address for GrpcUser")
    group.add_argument(
        "--user-keys", type=int, default=0, help="send a rapide-user-key, from this many different ones"
    )
    group.add_argument(
        "--usage-profile",
        default="",
        metavar="FILE",
        help="follow a profile's traffic (rapide profile --save)",
    )
    group.add_argument("--usage-speed", type=float, default=1.0, help="2 follows it twice as fast")
    group.add_argument("--wait", type=float, default=0.0, help="seconds that a user waits after each answer")
    group.add_argument(
        "--timeout", type=float, default=10.0, help="seconds after which a request counts as failed"
    )
    group.add_argument(
        "--slo", default="", help="what must hold, such as 'p99<50ms,errors<0.1%%'; exit 1 if it does not"
    )
