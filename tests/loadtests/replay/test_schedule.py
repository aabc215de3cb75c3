from __future__ import annotations

import numpy as np
import pytest

from rapide.loadtests.replay.plan import ModelArrivals, ReplayError, ReplayPlan
from rapide.loadtests.replay.schedule import schedule
from rapide.profiles.arrivals import Arrivals


def arrivals(*instants_s: float, rows: int = 1) -> Arrivals:
    return Arrivals(np.array(instants_s), np.full(len(instants_s), rows))


MIX = [
    ModelArrivals("a", "", arrivals(0.0, 2.0, 4.0), payload_seeds=np.array([7, 8, 7])),
    ModelArrivals("b", "", arrivals(0.0, 1.0, rows=5), start_s=1.0),
]


def test_models_share_one_clock() -> None:
    merged = schedule(MIX)
    assert merged.due_s.tolist() == [0.0, 1.0, 2.0, 2.0, 4.0]
    assert merged.models.tolist() == [0, 1, 0, 1, 0]
    assert merged.rows.tolist() == [1, 5, 1, 5, 1]
    assert merged.seeds.tolist() == [7, 0, 8, 1, 7]
    assert (merged.count, merged.duration_s) == (5, 4.0)


def test_it_begins_with_the_first_request_at_the_wanted_speed() -> None:
    assert schedule([ModelArrivals("a", "", arrivals(3.0, 4.0))], speed=2).due_s.tolist() == [0.0, 0.5]


def test_pauses_are_cut_after_the_speed_and_for_all_models_together() -> None:
    merged = schedule([ModelArrivals("a", "", arrivals(0.0, 100.0, 100.5, 300.5))], speed=2, skip_idle_s=10)
    assert merged.due_s.tolist() == [0.0, 10.0, 10.25, 20.25]
    assert merged.skipped_s == pytest.approx(130)


def test_parts_are_the_whole_in_turn() -> None:
    merged = schedule(MIX)
    parts = [merged.part(number, 2) for number in range(2)]
    assert parts[0].due_s.tolist() == [0.0, 2.0, 4.0]
    assert parts[1].due_s.tolist() == [1.0, 2.0]
    assert parts[1].models.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("url", "protocol", "encoding", "address"),
    [
        ("grpc://host", "", "grpc", ("host", 8001)),
        ("grpc://host:7", "grpc", "grpc", ("host", 7)),
        ("http://host", "", "json", ("host", 8000)),
        ("http://[::1]:5", "binary", "binary", ("::1", 5)),
    ],
)
def test_where_it_goes(url: str, protocol: str, encoding: str, address: tuple[str, int]) -> None:
    plan = ReplayPlan(url, MIX, protocol=protocol)
    assert (plan.encoding, plan.address) == (encoding, address)


@pytest.mark.parametrize(
    ("url", "more", "words"),
    [
        ("https://host", {}, "TLS is not spoken here"),
        ("grpc://host", {"protocol": "json"}, "json at 'grpc://host' is not possible"),
        ("http://host", {"protocol": "grpc"}, "grpc at 'http://host' is not possible"),
        ("http://host:port", {}, "is no address of a server"),
        ("grpc://host", {"speed": 0}, "speed must be a number above 0, not 0"),
        ("grpc://host", {"processes": -1}, "processes must be a number above 0, not -1"),
        ("grpc://host", {"speed": float("nan")}, "speed must be a number above 0, not nan"),
        ("grpc://host", {"timeout_s": float("inf")}, "timeout_s must be a number above 0, not inf"),
        ("grpc://host", {"skip_idle_s": -1.0}, "skip_idle_s must be a number that is not below 0, not -1"),
        ("grpc://host", {"spin_us": float("nan")}, "spin_us must be a number that is not below 0, not nan"),
        ("grpc://host", {"processes": 100_000}, "processes must be at most 256, not 100,000"),
        ("grpc://host", {"connections": 10**6}, "connections must be at most 20,000, not 1,000,000"),
        ("grpc://host", {"requests": []}, "there is no request to replay"),
    ],
)
def test_what_cannot_be_is_refused(url: str, more: dict[str, object], words: str) -> None:
    with pytest.raises(ReplayError) as caught:
        ReplayPlan(**{"url": url, "requests": MIX, **more}).check()  # type: ignore[arg-type]
    assert words in f"{caught.value.message} {caught.value.hint}"
