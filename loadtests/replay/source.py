"""Requests from a usage profile: as they were recorded, or like them. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from rapide.loadtests.replay.plan import DIFFERENT_PAYLOADS, Integers, ModelArrivals, ReplayError
from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import ModelProfile, Profile

SHORTLY = 64
"""A request that comes again is so many new ones back at most."""
SIZES = 64
"""Of each dimension that callers choose, so many are tried."""


@dataclass(frozen=True, slots=True)
class Twin:
    """Arrivals like the recorded ones; 0: for as long as those (``duration_s``), at their rate (``rate_per_s``).

    ``rate_per_s`` is that of all models together; each keeps its share.
    """

    seed: int = 0
    duration_s: float = 0.0
    rate_per_s: float = 0.0


def exact(
    profile: Profile, *, models: Collection[str] = (), pin_versions: bool = False, duration_s: float = 0.0
) -> list[ModelArrivals]:
    """The recorded last arrivals of ``models`` (none named: all), at their instants relative to each other.

    ``pin_versions`` asks for the versions that were recorded, instead of the server's choice; ``duration_s`` takes
    only so much from the start on. Raises ReplayError, ProfileError.
    """
    if not 0 <= duration_s < math.inf:
        raise ReplayError(f"duration_s must be a number that is not below 0, not {duration_s:g}.")
    known = _chosen(profile, models)
    start_s = min(one.arrivals.recent_start_s for one in known)
    requests = []
    for one in known:
        offset_s = one.arrivals.recent_start_s - start_s
        arrivals = one.exact()
        if duration_s:
            arrivals = arrivals.until(duration_s - offset_s)
        requests.append(_requests(one, arrivals, pin_versions=pin_versions, start_s=offset_s))
    return requests


def twins(
    profile: Profile, like: Twin, *, models: Collection[str] = (), pin_versions: bool = False
) -> list[ModelArrivals]:
    """Arrivals like those of ``models``; otherwise as ``exact``."""
    known = _chosen(profile, models)
    total_per_s = sum(one.arrivals.rate_per_s for one in known)
    requests = []
    for number, one in enumerate(known):
        duration_s = like.duration_s or max(each.exact().duration_s for each in known)
        share = one.arrivals.rate_per_s / total_per_s if total_per_s else 1 / len(known)
        rate_per_s = like.rate_per_s * share if like.rate_per_s else None
        arrivals = one.twin(like.seed + number, duration_s, rate_per_s)
        requests.append(_requests(one, arrivals, pin_versions=pin_versions))
    return requests


def encoding_of(profile: Profile) -> str:
    """How most requests over HTTP came: json or binary."""
    counts = {"json": 0, "binary": 0}
    for mix in (mix for one in profile.models for mix in one.encodings if mix.protocol == "http"):
        counts["binary" if mix.encoding == "json+binary" else "json"] += mix.requests
    return "binary" if counts["binary"] > counts["json"] else "json"


def payload_seeds(count: int, repeat_share: float, seed: int = 0, different: int = DIFFERENT_PAYLOADS) -> Integers:
    """Seeds int64[count], below ``different``, of which ``repeat_share`` (0 to 1) are those of a request shortly
    before; the others come again only a whole window later, where nobody looks for repeats
    (docs/reference/profile.md)."""
    random = np.random.default_rng(seed)
    is_new = random.random(count) >= repeat_share
    is_new[:1] = True
    newest = np.cumsum(is_new) - 1
    shortly = round(SHORTLY * (1 - repeat_share))
    back = random.integers(0, np.minimum(newest, shortly) + 1)
    return np.where(is_new, newest, newest - back) % different


def _requests(one: ModelProfile, arrivals: Arrivals, *, pin_versions: bool, start_s: float = 0.0) -> ModelArrivals:
    shares = (np.arange(SIZES) + 0.5) / SIZES
    return ModelArrivals(
        one.model,
        one.version if pin_versions else "",
        arrivals,
        payload_seeds(arrivals.count, one.inputs.repeat_share),
        start_s,
        {
            axis: [max(1, round(known.quantile(share))) for share in shares]
            for axis, known in one.inputs.sizes.items()
        },
    )


def _chosen(profile: Profile, models: Collection[str]) -> list[ModelProfile]:
    there = {one.model for one in profile.models}
    if missing := [name for name in models if name not in there]:
        raise ReplayError(
            f"the profile does not know model {missing[0]!r}; it knows {_listed(there) or 'none'}.",
            "`rapide profile show` says what a profile holds.",
        )
    known = [one for one in profile.models if one.arrivals.count and (not models or one.model in models)]
    if not known:
        raise ReplayError(
            "the profile holds no arrivals, so there is nothing to replay.",
            "Save one after traffic: rapide profile URL --save profile.json; or make one: rapide profile make.",
        )
    return known


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
