from __future__ import annotations

import numpy as np
import pytest

from rapide.loadtests.replay.compare import compare
from rapide.loadtests.replay.plan import ReplayError
from tests.loadtests.replay.results import result

RANDOM = np.random.default_rng(7)
LATENCIES = RANDOM.lognormal(-6, 0.5, 5000)


def test_the_same_again_is_no_difference() -> None:
    again = LATENCIES[RANDOM.permutation(5000)]
    verdicts = [one.verdict for one in compare(result(LATENCIES), result(again)).ratios]
    assert verdicts == ["no difference seen"] * 3


@pytest.mark.parametrize(("factor", "verdict"), [(0.7, "faster"), (1.4, "slower")])
def test_a_real_difference_is_found_with_its_size(factor: float, verdict: str) -> None:
    found = compare(result(LATENCIES), result(LATENCIES * factor))
    assert [one.verdict for one in found.ratios] == [verdict] * 3
    assert all(one.low <= factor + 1e-9 and one.high >= factor - 1e-9 for one in found.ratios)
    assert found.ratios[2].ratio == pytest.approx(factor)


def test_a_single_stall_is_no_proof_at_p99() -> None:
    """Requests that waited for the same stall are one piece of evidence, not forty."""
    stalled = LATENCIES.copy()
    stalled[1000:1060] = 0.5
    assert compare(result(LATENCIES), result(stalled)).ratios[2].verdict == "no difference seen"


def test_failures_and_few_requests_leave_the_confidence_unknown() -> None:
    codes = np.zeros(5000, np.int16)
    codes[::50] = 8
    found = compare(result(LATENCIES), result(LATENCIES, codes))
    assert (found.pairs, found.failures_before, found.failures_after) == (5000, 0, 100)
    assert found.ratios[2].verdict == "unknown"
    assert compare(result(LATENCIES[:50]), result(LATENCIES[:50])).ratios[0].verdict == "unknown"


def test_replays_of_different_arrivals_are_not_compared() -> None:
    with pytest.raises(ReplayError, match="different arrivals"):
        compare(result(LATENCIES), result(LATENCIES[1:]))
    with pytest.raises(ReplayError, match="different arrivals"):
        compare(result(LATENCIES), result(LATENCIES, rate_per_s=50))
