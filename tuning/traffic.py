"""The part of a recorded profile that is simulated and replayed: its busiest seconds, since they make the
percentiles. And what of the profile is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import Profile
from rapide.profiles.errors import ProfileError
from rapide.profiles.model_profile import ModelProfile
from rapide.server.tuning_file import ModelTuning
from rapide.tuning.errors import TuningError

_MORE: Final = 1.25
"""Times what is tuned for: so much more is worth saying."""
_WEEK_S: Final = 7 * 86400.0

LEAST_REQUESTS: Final = 30
"""A percentile of fewer says nothing. The window is as long as it takes to hold so many."""
LONGEST_PAUSE_S: Final = 0.5
"""Longer ones are cut to this: nothing queues meanwhile, and a worker is as cold after half a second as after a
day."""
WINDOW_S: Final = 6.0
MOST_REQUESTS: Final = 20_000
MOST_ROWS: Final = ModelTuning().max_queue_rows


def used(profile: Profile, model: str, digest: str, *, any_version: bool = False) -> ModelProfile:
    """The part of ``profile`` about ``model``, if it is about the bytes with ``digest``. Raises TuningError."""
    try:
        found = profile.find(model)
    except ProfileError as error:
        raise TuningError(
            f"the profile cannot be used for {model}: {error}", hint="Save one of a server that serves it."
        ) from None
    same = [one for one in profile.models if one.model == model and (any_version or one.digest in (digest, ""))]
    if not same:
        raise TuningError(
            f"the profile is of another model: {model} has the digest {found.digest[:19]}… in it, and "
            f"{digest[:19]}… here.",
            hint="Record a profile of this one. How another version is used may be near enough: --any-version.",
        )
    return max(same, key=lambda one: one.arrivals.count)


def busiest(arrivals: Arrivals, window_s: float = WINDOW_S, most: int = MOST_REQUESTS) -> Arrivals:
    """The ``window_s`` seconds with the most requests, pauses cut short; longer if those are too few. Raises
    TuningError for too few requests, and for such as cannot be replayed at a server as it is by default."""
    if arrivals.count < LEAST_REQUESTS:
        raise TuningError(
            f"the profile holds {arrivals.count} arrival{'s' * (arrivals.count != 1)}; at least {LEAST_REQUESTS} "
            "are needed for a percentile to say anything.",
            hint="Record more traffic, or begin with a made-up one: rapide profile --help.",
        )
    if (largest := int(arrivals.rows.max())) > MOST_ROWS:
        raise TuningError(
            f"the profile holds requests of {largest:,} rows: expected at most {MOST_ROWS:,}, as many as a "
            "server's queue takes by default.",
            hint="Record a profile of smaller requests, or make one up: rapide profile --help.",
        )
    if not arrivals.instants_s[-1] > arrivals.instants_s[0]:
        raise TuningError(
            f"all {arrivals.count} arrivals of the profile came at one instant: that is no load per second.",
            hint="Record more traffic, or begin with a made-up one: rapide profile --help.",
        )
    dense = arrivals.squeezed(LONGEST_PAUSE_S)
    ends = np.searchsorted(dense.instants_s, dense.instants_s + window_s, side="right")
    counts = ends - np.arange(dense.count)
    first = int(np.argmax(counts))
    if counts[first] < LEAST_REQUESTS:
        first = int(np.argmin(dense.instants_s[LEAST_REQUESTS - 1 :] - dense.instants_s[: 1 - LEAST_REQUESTS]))
    last = first + int(min(max(counts[first], LEAST_REQUESTS), most))
    start_s = dense.instants_s[first] - 0.01
    rows = np.maximum(1, dense.rows[first:last])  # an empty request costs about as much as one of a row
    return Arrivals(np.maximum(0.0, dense.instants_s[first:last] - start_s), rows)


def usual_protocol(known: ModelProfile) -> str:
    """grpc, json or binary: how most requests came."""
    counts = dict.fromkeys(("grpc", "json", "binary"), 0)
    for mix in known.encodings:
        if mix.protocol == "grpc":
            counts["grpc"] += mix.requests
        elif mix.protocol == "http":
            counts["binary" if mix.encoding == "json+binary" else "json"] += mix.requests
    return max(counts, key=counts.__getitem__)


def busier(known: ModelProfile, tuned: Arrivals) -> Iterator[str]:
    """When there was clearly more than in ``tuned``, the busiest of what is known exactly: in words."""
    arrivals = known.arrivals
    if not arrivals.has_forgotten:
        return
    weeks = max(1.0, (arrivals.last_s - arrivals.first_s) / _WEEK_S)
    hour_per_s = float(arrivals.hour_of_week.max()) / weeks / 3600
    second_per_s = float(arrivals.seconds.max(initial=0))
    most = float(np.bincount(tuned.instants_s.astype(np.int64)).max())
    for what, per_s, had in (("hour", hour_per_s, tuned.rate_per_s), ("second", second_per_s, most)):
        if per_s > _MORE * had:
            yield (
                f"The busiest {what} that the profile counted had {per_s:,.0f} requests/s, what is tuned for at "
                f"most {had:,.0f}: of {arrivals.count:,} requests the last {arrivals.recent.count:,} are known "
                "exactly, and their busiest part is taken. Save a profile when most is asked."
            )
