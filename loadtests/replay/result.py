"""What a replay found, request by request, and what follows from it. Pure."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rapide.loadtests.npz import read_npz
from rapide.loadtests.replay.schedule import Floats
from rapide.loadtests.wire.connection import ANSWERED, NOT_SENT, code_name

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0)
LATE_SHARE = 0.25
"""A generator whose own lateness is more of a percentile than this measured itself."""
LATE_AT_LEAST_S = 50e-6
"""Lateness below this is the machine's timer, and no reason for a warning."""
BUSY_SHARE = 0.9
"""A generator's process that is busy for more of the time than this has nothing left for a burst."""
TIMERS_S = 150e-6
"""Kernels wake a sleeper about so late; what is later has another cause."""
_WOKEN_LATE = "so late it is woken; --spin 60 (spin_us) watches the clock instead, if a core is free for it"
_CROWDED = "it shares its cores with others, or has too few processes"
MOST_TEXTS = 200
_KINDS = {"codes": "i", "intended_s": "f", "latency_s": "f", "lateness_s": "f", "rows": "iu", "models": "iu"}
"""Array → numpy's kinds of its values."""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """One replay of N requests, in the order in which they were due.

    ``latency_s`` is from the intended instant to the end, whatever the end was, and NaN for what was not sent;
    ``lateness_s``, the generator's own part of it, from the intended instant to the sending. ``codes``: 0 for an
    answer, else ``loadtests.wire.connection``'s. ``busy``: by process, the share of the time that it had to work.
    """

    intended_s: Floats
    latency_s: Floats
    lateness_s: Floats
    codes: np.ndarray[Any, np.dtype[np.int16]]
    rows: np.ndarray[Any, np.dtype[np.int64]]
    models: np.ndarray[Any, np.dtype[np.int64]]
    names: Sequence[str]
    """The model that each index in ``models`` stands for."""
    busy: Sequence[float]
    errors: Mapping[int, str] = field(default_factory=dict)
    """By code, one reason in words."""
    stopped: str = ""
    """Why the replay ended before its end; empty if it did not."""
    skipped_s: float = 0.0

    @property
    def requests(self) -> int:
        """How many were sent."""
        return int((self.codes != NOT_SENT).sum())

    @property
    def answered(self) -> int:
        return int((self.codes == ANSWERED).sum())

    @property
    def failures(self) -> int:
        """Sent, and not answered well."""
        return self.requests - self.answered

    @property
    def duration_s(self) -> float:
        """From the first intended instant to the last one that was sent; at least a microsecond."""
        sent = self.codes != NOT_SENT
        return max(1e-6, float(self.intended_s[sent][-1] - self.intended_s[sent][0])) if sent.any() else 1e-6

    @property
    def offered_rate_per_s(self) -> float:
        """Requests that were due, per second."""
        return max(0, self.requests - 1) / self.duration_s

    @property
    def achieved_rate_per_s(self) -> float:
        """Good answers per second, from the first intended instant to the last answer."""
        good = self.codes == ANSWERED
        if not good.any():
            return 0.0
        return self.answered / max(
            1e-6, float((self.intended_s + self.latency_s)[good].max() - self.intended_s[0])
        )

    @property
    def mean_ms(self) -> float:
        """Of the good answers."""
        good = self.latency_s[self.codes == ANSWERED]
        return float(good.mean() * 1e3) if len(good) else float("nan")

    @property
    def max_ms(self) -> float:
        return self.percentile_s(100.0) * 1e3

    def percentile_s(self, q: float) -> float:
        """The latency within which ``q`` percent (0 to 100) of all sent requests were answered well.

        A request that was refused, lost or timed out was never answered well: where more than 100 − q percent are
        such, the percentile is infinite. NaN where nothing was sent.
        """
        sent = np.sort(self._judged_s())
        if not len(sent):
            return float("nan")
        return float(sent[max(0, int(np.ceil(q / 100 * len(sent))) - 1)])

    def percentile_ms(self, share: float) -> float:
        """``percentile_s`` in milliseconds, for a share from 0 to 1: what objectives ask (``loadtests.slo``)."""
        return self.percentile_s(share * 100) * 1e3

    def lateness_percentile_s(self, q: float) -> float:
        """The generator's own lateness at ``q`` percent of the requests that it sent."""
        late = self.lateness_s[self.codes != NOT_SENT]
        return float(np.percentile(late, q)) if len(late) else float("nan")

    @property
    def generator_limited(self) -> str:
        """Empty, or why the generator itself was the bottleneck, with the figures."""
        if not self.answered:
            return ""
        busiest = max(self.busy, default=0.0)
        if busiest > BUSY_SHARE:
            return (
                f"a process of the generator was busy {busiest:.0%} of the time; give it more processes, or a "
                "machine of its own"
            )
        for q in (50.0, 99.0):
            late_s, latency_s = self.lateness_percentile_s(q), self.percentile_s(q)
            if late_s > max(LATE_AT_LEAST_S, LATE_SHARE * latency_s):
                return (
                    f"at p{q:g} it sent {late_s * 1e3:.3g} ms late, of a latency of {latency_s * 1e3:.3g} ms: "
                    + (_WOKEN_LATE if late_s < TIMERS_S else _CROWDED)
                )
        return ""

    def counts(self) -> dict[str, int]:
        """How many requests ended how, by the code's name; what was answered well is "OK"."""
        codes, counts = np.unique(self.codes, return_counts=True)
        return {code_name(int(code)): int(count) for code, count in zip(codes, counts, strict=True)}

    def of_model(self, name: str) -> ReplayResult:
        """The requests of one model alone."""
        chosen = np.isin(self.models, [index for index, known in enumerate(self.names) if known == name])
        return ReplayResult(
            self.intended_s[chosen],
            self.latency_s[chosen],
            self.lateness_s[chosen],
            self.codes[chosen],
            self.rows[chosen],
            self.models[chosen],
            self.names,
            self.busy,
            self.errors,
            self.stopped,
            self.skipped_s,
        )

    @classmethod
    def merged(cls, parts: Sequence[ReplayResult]) -> ReplayResult:
        """One replay that several hosts shared, each with its part: as if one had sent everything."""
        names = list(dict.fromkeys(name for part in parts for name in part.names))
        order = np.argsort(np.concatenate([part.intended_s for part in parts]), kind="stable")

        def joined(field_: str) -> Any:
            return np.concatenate([getattr(part, field_) for part in parts])[order]

        models = [np.array([names.index(name) for name in part.names])[part.models] for part in parts]
        return cls(
            joined("intended_s"),
            joined("latency_s"),
            joined("lateness_s"),
            joined("codes"),
            joined("rows"),
            np.concatenate(models)[order],
            names,
            [share for part in parts for share in part.busy],
            {code: text for part in reversed(parts) for code, text in part.errors.items()},
            ", ".join(dict.fromkeys(part.stopped for part in parts if part.stopped)),
            max(part.skipped_s for part in parts),
        )

    def _judged_s(self) -> Floats:
        """The latencies of what was sent; infinite where there was no good answer."""
        sent = self.codes != NOT_SENT
        return np.where(self.codes[sent] == ANSWERED, self.latency_s[sent], np.inf)

    def to_json(self) -> dict[str, Any]:
        """The figures, for scripts. Times in milliseconds; an infinite or unknown one is None."""
        return {
            "kind": "rapide-replay",
            "schema": 1,
            "requests": self.requests,
            "answered": self.answered,
            "failures": self.failures,
            "not_sent": len(self.codes) - self.requests,
            "endings": self.counts(),
            "reasons": {code_name(code): text[:MOST_TEXTS] for code, text in self.errors.items()},
            "duration_s": self.duration_s,
            "skipped_s": self.skipped_s,
            "offered_rate_per_s": self.offered_rate_per_s,
            "achieved_rate_per_s": self.achieved_rate_per_s,
            "latency_ms": {f"p{q:g}": finite(self.percentile_s(q) * 1e3) for q in PERCENTILES},
            "mean_ms": finite(self.mean_ms),
            "lateness_ms": {f"p{q:g}": finite(self.lateness_percentile_s(q) * 1e3) for q in PERCENTILES},
            "generator_busy": [round(share, 4) for share in self.busy],
            "generator_limited": self.generator_limited,
            "stopped": self.stopped,
        }

    def save(self, path: Path) -> None:
        """All of it, to be compared with another or merged (``.npz``); whole or not at all. Raises OSError."""
        words = {
            "names": list(self.names),
            "busy": list(self.busy),
            "errors": {str(code): text for code, text in self.errors.items()},
            "stopped": self.stopped,
            "skipped_s": self.skipped_s,
        }
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                np.savez_compressed(
                    file,
                    intended_s=self.intended_s,
                    latency_s=self.latency_s,
                    lateness_s=self.lateness_s,
                    codes=self.codes,
                    rows=self.rows,
                    models=self.models,
                    words=np.frombuffer(json.dumps(words).encode(), dtype=np.uint8),
                )
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> ReplayResult:
        """What ``save`` wrote. Raises ValueError for another file, and where it cannot be read."""
        try:
            arrays: dict[str, Any] = read_npz(path)
            words = json.loads(arrays.pop("words").tobytes())
            words["errors"] = {int(code): text for code, text in words["errors"].items()}
            found = cls(**arrays, **words)
            found._check()
            return found
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} was not saved by a replay: {error}") from None

    def _check(self) -> None:
        """Raises ValueError, TypeError for arrays that do not belong together."""
        for name, kinds in _KINDS.items():
            array = getattr(self, name)
            if array.shape != (len(self.codes),) or array.dtype.kind not in kinds:
                raise ValueError(f"{name} is {array.dtype}{list(array.shape)}, of {len(self.codes)} requests")
        if not len(self.codes) or not 0 <= self.models.min() <= self.models.max() < len(self.names):
            raise ValueError("its requests are of no model")


def finite(value: float) -> float | None:
    """For JSON, which knows neither infinity nor NaN."""
    return round(value, 6) if np.isfinite(value) else None
