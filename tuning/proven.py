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
from rapide.profiles.drift import replayed_usage
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


def proven(chosen: Configuration, proofs: Sequence[Proof], slo: Slo, arrivals: Arrivals) -> Proven | None:
    """The range of those of ``proofs`` that held the SLO and are like ``chosen`` but for their limits; None if the
    choice itself did not hold it. ``arrivals``: what was replayed."""
    held = [one.configuration for one in proofs if one.holds(slo) and _is_alike(one.configuration, chosen)]
    if chosen not in held:
        return None
    batches = [one.tuning.max_batch_rows for one in held]
    queues = [one.tuning.max_queue_rows for one in held]
    usage = UsageRecord.read(Fields(replayed_usage(arrivals)))
    return Proven((min(batches), max(batches)), (min(queues), max(queues)), usage)


def _is_alike(one: Configuration, chosen: Configuration) -> bool:
    return _limited(one, chosen.tuning.max_batch_rows, chosen.tuning.max_queue_rows) == chosen


def _limited(one: Configuration, max_batch_rows: int, max_queue_rows: int) -> Configuration:
    return replace(one, tuning=replace(one.tuning, max_batch_rows=max_batch_rows, max_queue_rows=max_queue_rows))
