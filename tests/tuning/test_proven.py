"""What is proven is what was replayed and held, and nothing beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rapide.server.tuning_file import ModelTuning, TuningFile
from rapide.tuning.configuration import Configuration
from rapide.tuning.proof import Measured, Proof
from rapide.tuning.proven import proven, wider
from rapide.tuning.slo import Slo
from tests.profiles.recorded import poisson

SLO = Slo.parse("p99<10ms")
CHOSEN = Configuration(2, ModelTuning(max_batch_rows=32, max_queue_rows=1000, intra_op_threads=2))
ARRIVALS = poisson(50, 1000)


def proof(configuration: Configuration, latency_s: float) -> Proof:
    return Proof(configuration, (Measured(np.full(1000, latency_s), 1.0, 1, ""),))


def test_twice_the_limits_that_held() -> None:
    found = proven(CHOSEN, [proof(CHOSEN, 0.002), proof(wider(CHOSEN), 0.003)], SLO, ARRIVALS)
    assert found is not None
    assert (found.batch_rows, found.queue_rows) == ((32, 64), (1000, 2000))
    assert found.usage.requests == 1000
    assert found.usage.rows_sum == ARRIVALS.rows.sum()
    file = TuningFile("cpu", "sha256:ab", "cars", 2, replace(CHOSEN.tuning, proven=found))
    assert TuningFile.from_bytes(file.to_bytes()).tuning.proven == found


def test_what_did_not_hold_is_not_in_the_range() -> None:
    found = proven(CHOSEN, [proof(CHOSEN, 0.002), proof(wider(CHOSEN), 0.02)], SLO, ARRIVALS)
    assert found is not None
    assert (found.batch_rows, found.queue_rows) == ((32, 32), (1000, 1000))


def test_another_way_to_run_the_model_proves_nothing_here() -> None:
    other = replace(CHOSEN, tuning=replace(CHOSEN.tuning, max_batch_rows=512, intra_op_threads=1))
    more = replace(CHOSEN, workers=1)
    found = proven(CHOSEN, [proof(one, 0.002) for one in (CHOSEN, other, more)], SLO, ARRIVALS)
    assert found is not None
    assert found.batch_rows == (32, 32)


def test_a_choice_that_held_nothing_proves_nothing() -> None:
    assert proven(CHOSEN, [proof(CHOSEN, 0.02), proof(wider(CHOSEN), 0.002)], SLO, ARRIVALS) is None
    assert proven(CHOSEN, [], SLO, ARRIVALS) is None
