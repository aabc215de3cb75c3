"""Within which range of limits a tuning has held: what a server that adapts (``server.pilot``) may use.

Only replays prove anything. The choice was replayed; a second configuration, alike but for both limits twice as
large, is replayed once more. Where that holds the SLO too, what lies between the two is taken as proven: with a
larger cap batches become only as large as what waits, with a longer queue only those wait who would have been
refused. It is proven for the load that was replayed; under another one it is the best that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.drift import proven_usage, replayed_usage
from rapide.profiles.model_profile import ModelProfile
from rapide.server.proven import Proven, UsageRecord
from rapide.server.repository.fields import Fields
from rapide.tuning.configuration import Configuration
from rapide.tuning.proof import Proof
from rapide.tuning.slo import Slo

WIDER: Final = 2


def wider(chosen: Configuration) -> Configuration:
    """The other end of the range, to be replayed."""
    tuning = chosen.tuning
    return _limited(chosen, tuning.max_batch_rows * WIDER, tuning.max_queue_rows * WIDER)


def proven(
    chosen: Configuration,
    proofs: Sequence[Proof],
    slo: Slo,
    arrivals: Arrivals,
    recorded: UsageRecord | None = None,
) -> Proven | None:
    """The range of those of ``proofs`` that held the SLO and are like ``chosen`` but for their limits; None if the
    choice itself did not hold it. ``arrivals``: what was replayed, the busiest part of what was ``recorded``."""
    held = [one.configuration for one in proofs if one.holds(slo) and _is_alike(one.configuration, chosen)]
    if chosen not in held:
        return None
    batches = [one.tuning.max_batch_rows for one in held]
    queues = [one.tuning.max_queue_rows for one in held]
    replayed = UsageRecord.read(Fields(replayed_usage(arrivals)))
    rows_per_s = replayed.rows_sum / replayed.span_s
    return Proven((min(batches), max(batches)), (min(queues), max(queues)), recorded or replayed, rows_per_s)


def recorded_usage(known: ModelProfile, workers: int) -> UsageRecord:
    """All that a profile knows of how a model is used; ``workers``: those of the server that recorded it."""
    return UsageRecord.read(Fields(proven_usage(known, workers)))


def _is_alike(one: Configuration, chosen: Configuration) -> bool:
    return _limited(one, chosen.tuning.max_batch_rows, chosen.tuning.max_queue_rows) == chosen


def _limited(one: Configuration, max_batch_rows: int, max_queue_rows: int) -> Configuration:
    return replace(one, tuning=replace(one.tuning, max_batch_rows=max_batch_rows, max_queue_rows=max_queue_rows))
