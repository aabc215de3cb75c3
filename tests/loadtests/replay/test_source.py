from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rapide.loadtests.replay.plan import ReplayError
from rapide.loadtests.replay.source import Twin, encoding_of, exact, payload_seeds, twins
from rapide.profiles.document import Profile
from rapide.profiles.histogram import ROWS, Histogram
from rapide.profiles.input_record import InputRecord
from rapide.profiles.synthetic import synthetic

BOTH = synthetic("steady", model="a", rate_per_s=100, duration_s=5).merge(
    [synthetic("steady", model="b", rate_per_s=300, duration_s=5, rows=4)]
)


def test_the_recorded_arrivals_keep_their_places_beside_each_other() -> None:
    requests = exact(BOTH)
    assert [each.model for each in requests] == ["a", "b"]
    first_s = [each.start_s + each.arrivals.instants_s[0] for each in requests]
    assert min(each.start_s for each in requests) == 0
    assert max(first_s) < 0.2
    assert set(requests[1].arrivals.rows.tolist()) == {4}
    assert sum(each.arrivals.count for each in requests) == sum(one.arrivals.count for one in BOTH.models)


def test_only_a_part_is_taken() -> None:
    (only,) = exact(BOTH, models=["b"], duration_s=1.0)
    assert only.model == "b"
    assert only.arrivals.duration_s < 1.0
    assert 200 < only.arrivals.count < 400


@pytest.mark.parametrize("duration_s", [-1.0, float("nan"), float("inf")])
def test_a_part_must_be_a_time(duration_s: float) -> None:
    with pytest.raises(ReplayError, match="duration_s must be a number that is not below 0"):
        exact(BOTH, duration_s=duration_s)


def test_a_twin_keeps_each_models_share_of_the_rate() -> None:
    requests = twins(BOTH, Twin(seed=3, duration_s=20, rate_per_s=800))
    rates = [each.arrivals.count / 20 for each in requests]
    assert rates == [pytest.approx(200, rel=0.15), pytest.approx(600, rel=0.15)]
    again = twins(BOTH, Twin(seed=3, duration_s=20, rate_per_s=800))
    assert np.array_equal(again[0].arrivals.instants_s, requests[0].arrivals.instants_s)


def test_unknown_models_and_empty_profiles_are_refused() -> None:
    with pytest.raises(ReplayError, match="does not know model 'c'; it knows a, b"):
        exact(BOTH, models=["c"])
    with pytest.raises(ReplayError, match="holds no arrivals"):
        exact(Profile(1, (), ()))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_inputs_repeat_as_often_as_recorded(share: float) -> None:
    """Counted as a server counts: within windows of 1,024 requests."""
    seeds = payload_seeds(8192, share)
    repeats = 0
    for window in seeds.reshape(-1, 1024):
        repeats += 1024 - len(np.unique(window))
    assert repeats / 8192 == pytest.approx(share, abs=0.08)


def test_chosen_sizes_are_spread_as_recorded() -> None:
    (model,) = synthetic("steady", model="a", rate_per_s=100, duration_s=1).models
    sizes = Histogram.of(ROWS, np.repeat([5, 40], [300, 100]))
    known = replace(model, inputs=InputRecord(400, 0, {"ids[1]": sizes}))
    (requests,) = exact(Profile(1, (), (known,)))
    assert sorted(set(requests.sizes["ids[1]"])) == [5, 40]
    assert list(requests.sizes["ids[1]"]).count(5) == 48


def test_a_profile_without_http_traffic_is_replayed_as_json() -> None:
    assert encoding_of(BOTH) == "json"


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_no_worker_finds_repeats_where_none_were_recorded(workers: int) -> None:
    """Requests take the connections in turn, and a worker has some of these; it looks at 1,024 in a row."""
    seeds = payload_seeds(16_384, 0.0)
    worker_of = np.arange(len(seeds)) % 16 % workers
    for worker in range(workers):
        window = seeds[worker_of == worker][:1024]
        assert len(np.unique(window)) == 1024
