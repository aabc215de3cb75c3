"""How far one profile is from another: a live one from that which a server was tuned for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rapide.profiles.arrival_record import record
from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import Profile
from rapide.profiles.histogram import ROWS, Histogram, bins_json
from rapide.profiles.model_profile import ModelProfile
from rapide.server.telemetry.drift import Distance, Usage, drift, mix_drift, verdict


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """One model that both profiles know, by the version that each side was asked most for."""

    model: str
    versions: tuple[str, str]
    distances: tuple[Distance, ...]
    adapted: Mapping[str, int]
    """The limits of the live version, if its server adapts it."""

    @property
    def verdict(self) -> str:
        return verdict(self.distances)


@dataclass(frozen=True, slots=True)
class ProfileDrift:
    """All of it."""

    models: tuple[ModelDrift, ...]
    mix: Distance
    appeared: tuple[str, ...]
    """Models that only the second profile has requests for; ``vanished``: only the first."""
    vanished: tuple[str, ...]

    @property
    def has_drifted(self) -> bool:
        return self.mix.has_drifted or any(one.verdict == "drifted" for one in self.models)


def compare(tuned: Profile, live: Profile) -> ProfileDrift:
    """``live`` against ``tuned``."""
    before, now = _requests(tuned), _requests(live)
    both = sorted(before.keys() & now.keys())
    return ProfileDrift(
        models=tuple(_model(tuned, live, name) for name in both),
        mix=mix_drift(before, now),
        appeared=tuple(sorted(now.keys() - before.keys())),
        vanished=tuple(sorted(before.keys() - now.keys())),
    )


def proven_usage(known: ModelProfile, workers: int) -> dict[str, Any]:
    """The JSON form of ``server.proven.UsageRecord``, for a tuning file's ``proven.usage``."""
    return _usage_json(usage_of(known, workers))


def replayed_usage(arrivals: Arrivals) -> dict[str, Any]:
    """The same of arrivals that were replayed: all of them, as one worker would have seen them."""
    known = record(arrivals, start_s=0.0)
    return _usage_json(
        Usage(
            requests=arrivals.count,
            span_s=arrivals.duration_s,
            workers=1,
            rows=Histogram.of(ROWS, arrivals.rows).counts,
            rows_sum=float(arrivals.rows.sum()),
            windows={burst.window_s: burst.counts for burst in known.bursts},
        )
    )


def _usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "requests": usage.requests,
        "span_s": usage.span_s,
        "workers": usage.workers,
        "rows": bins_json(usage.rows, ROWS),
        "rows_sum": usage.rows_sum,
        "windows": [
            {"window_s": width_s, "bins": bins_json(counts, ROWS)} for width_s, counts in usage.windows.items()
        ],
    }


def usage_of(known: ModelProfile, workers: int) -> Usage:
    """What of a model's profile is compared. ``workers``: those of the server."""
    arrivals = known.arrivals
    return Usage(
        requests=arrivals.count,
        span_s=arrivals.last_s - arrivals.first_s,
        workers=max(1, workers),
        rows=known.rows.counts,
        rows_sum=known.rows.total,
        windows={burst.window_s: burst.counts for burst in arrivals.bursts},
    )


def _model(tuned: Profile, live: Profile, name: str) -> ModelDrift:
    before, now = tuned.find(name), live.find(name)
    distances = drift(usage_of(before, tuned.workers), usage_of(now, live.workers))
    return ModelDrift(name, (before.version, now.version), distances, now.adapted)


def _requests(profile: Profile) -> Mapping[str, int]:
    """By model, all versions together; models that nobody asked are left out."""
    counts: dict[str, int] = {}
    for one in profile.models:
        if one.arrivals.count:
            counts[one.model] = counts.get(one.model, 0) + one.arrivals.count
    return counts
