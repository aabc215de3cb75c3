"""The part of a recorded profile that is simulated and replayed: its busiest seconds, since they make the
percentiles."""

from __future__ import annotations

from typing import Final

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import Profile
from rapide.profiles.errors import ProfileError
from rapide.profiles.model_profile import ModelProfile
from rapide.server.tuning_file import ModelTuning
from rapide.tuning.errors import TuningError

LEAST_REQUESTS: Final = 30
"""A percentile of fewer says nothing."""
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
    """The ``window_s`` seconds with the most requests, pauses cut short. Raises TuningError for too few requests,
    and for such as cannot be replayed at a server as it is by default."""
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
    last = first + int(min(counts[first], most))
    start_s = dense.instants_s[first] - 0.01
    rows = np.maximum(1, dense.rows[first:last])  # an empty request costs about as much as one of a row
    return Arrivals(np.maximum(0.0, dense.instants_s[first:last] - start_s), rows)
