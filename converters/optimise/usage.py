"""Which sizes of a run matter, from a usage profile: those that requests were answered in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rapide.converters.errors import ConversionError
from rapide.profiles.document import Profile
from rapide.profiles.model_profile import ModelProfile

_MOST_SIZES = 4
"""More would be timed for little; together they answer nearly all requests."""
_MOST_ROWS = 65536


def sizes_of(path: Path, model: str) -> dict[int, float]:
    """Rows in one run → share of the requests that were answered in such a run, the most frequent sizes alone.

    All versions of ``model`` count: the next one will be used alike. Raises ConversionError where the profile
    knows nothing of it, ProfileError where it is none.
    """
    known = [each for each in Profile.load(path).models if each.model == model]
    counts: Counter[int] = Counter()
    for each in known:
        counts.update(_requests_by_size(each))
    if not counts:
        names = ", ".join(sorted({each.model for each in Profile.load(path).models})) or "none"
        raise ConversionError(
            f"the profile {path.name} has no requests to {model!r}", hint=f"Models in it: {names}."
        )
    chosen = counts.most_common(_MOST_SIZES)
    total = sum(count for _, count in chosen)
    return {rows: count / total for rows, count in sorted(chosen)}


def _requests_by_size(profile: ModelProfile) -> Counter[int]:
    """By the runs themselves; without any (a profile that was made up), by the rows of the requests."""
    counts: Counter[int] = Counter()
    for batch in profile.batches:
        counts[_bounded(batch.rows)] += batch.requests
    if not counts and profile.arrivals.recent.count:
        counts.update(_bounded(rows) for rows in profile.arrivals.recent.rows.tolist())
    return counts


def _bounded(rows: float) -> int:
    return min(_MOST_ROWS, max(1, round(rows)))
