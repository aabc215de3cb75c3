"""What is proven is what was replayed and held, and nothing beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rapide.profiles.synthetic import synthetic_arrivals
from rapide.server.pilot import observed
from rapide.server.telemetry.drift import drift
from rapide.server.telemetry.usage import usage_from
from rapide.server.tuning_file import ModelTuning, TuningFile
from rapide.tuning.configuration import Configuration
from rapide.tuning.proof import Measured, Proof
from rapide.tuning.proven import proven, recorded_usage, wider
from rapide.tuning.slo import Slo
from rapide.tuning.traffic import busiest
from tests.profiles.recorded import poisson, profile

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


def test_traffic_in_bursts_as_it_was_recorded_asks_for_no_longer_queue() -> None:
    """The busiest seconds, which are replayed, are calmer than the whole with its pauses: what is live is held to
    the whole, and its load to the replays."""
    recorded, live = (synthetic_arrivals("burst", rate_per_s=100, duration_s=240, seed=seed) for seed in (1, 2))
    replayed = busiest(recorded)
    whole = recorded_usage(profile(recorded).find("cars"), 1)
    found = proven(CHOSEN, [proof(CHOSEN, 0.002)], SLO, replayed, whole)
    assert found is not None
    assert found.rows_per_s > 1.5 * whole.rows_sum / whole.span_s
    tuned, now = usage_from(found.usage), usage_from(recorded_usage(profile(live).find("cars"), 1))
    asked = observed(tuned, found.rows_per_s, now, drift(tuned, now))
    assert (asked.unrest, asked.load <= 1) == (1.0, True)
    alone = usage_from(proven(CHOSEN, [proof(CHOSEN, 0.002)], SLO, replayed).usage)  # type: ignore[union-attr]
    assert "burstiness" in {one.name for one in drift(alone, now) if one.has_drifted}, "what this is about"
