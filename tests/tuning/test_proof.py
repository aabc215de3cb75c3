"""Who is proven better, with figures for measurements: real replays are in tests/integration/test_tuning.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from rapide.profiles.synthetic import synthetic_arrivals
from rapide.server.tuning_file import ModelTuning
from rapide.tuning import proof
from rapide.tuning.budget import Budget
from rapide.tuning.configuration import Configuration
from rapide.tuning.errors import TuningError
from rapide.tuning.proof import Measured, Proof, is_better, prove, telling_speed
from rapide.tuning.served import Site
from rapide.tuning.slo import Slo

SLO = Slo.parse("p99<10ms")
DEFAULT, GOOD, LUCKY, BAD = (Configuration(1, ModelTuning(max_batch_rows=rows)) for rows in (64, 32, 16, 8))
SITE = Site("models", "m", 1, "sha256:0", (0,), None)
ARRIVALS = synthetic_arrivals("steady", rate_per_s=100, duration_s=1)
MS: Mapping[Configuration, list[float]] = {
    DEFAULT: [5, 5, 5, 5],
    GOOD: [3, 3, 4, 3],
    LUCKY: [1, 6, 1, 1],
    BAD: [9, 1, 1, 1],
}


def measured(ms: float) -> Measured:
    return Measured(np.full(100, ms * 1e-3), 0.1, 1, "")


def figure(each: Measured) -> float:
    return each.figure(SLO, "latency")


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Configuration]]:
    """What is replayed; each gives its next figure."""
    asked: list[Configuration] = []

    def next_of(_site: Site, configuration: Configuration, _arrivals: object) -> Measured:
        asked.append(configuration)
        return measured(MS[configuration][asked.count(configuration) - 1])

    monkeypatch.setattr(proof, "measure", next_of)
    return asked


def test_who_loses_a_round_is_out_and_only_who_wins_all_is_better(replays: list[Configuration]) -> None:
    found = prove(SITE, [DEFAULT, GOOD, LUCKY, BAD], ARRIVALS, 4, lambda *_: None, figure=figure)
    rounds = {one.configuration: len(one.rounds) for one in found}
    assert rounds == {DEFAULT: 4, GOOD: 4, LUCKY: 2, BAD: 1}
    better = [one.configuration for one in found[1:] if is_better(one, found[0], SLO, "latency")]
    assert better == [GOOD]
    assert replays[:4] == [DEFAULT, GOOD, LUCKY, BAD]
    assert replays[4:7] == [LUCKY, GOOD, DEFAULT], "what drifts hits all alike"


def test_when_nobody_is_left_it_is_decided(replays: list[Configuration]) -> None:
    found = prove(SITE, [DEFAULT, BAD], ARRIVALS, 4, lambda *_: None, figure=figure)
    assert [len(one.rounds) for one in found] == [1, 1]
    assert len(replays) == 2


def test_one_that_cannot_be_served_costs_the_others_nothing(
    replays: list[Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    next_of, told = proof.measure, []

    def failing(site: Site, configuration: Configuration, arrivals: object) -> Measured:
        if configuration == LUCKY:
            raise TuningError("a server did not start")
        return next_of(site, configuration, arrivals)  # type: ignore[arg-type]

    monkeypatch.setattr(proof, "measure", failing)
    found = prove(
        SITE, [DEFAULT, LUCKY, GOOD], ARRIVALS, 4, lambda *_: None, figure=figure, on_failure=told.append
    )
    assert [one.configuration for one in found] == [DEFAULT, GOOD]
    assert [len(one.rounds) for one in found] == [4, 4]
    assert told == [f"{LUCKY.words}: a server did not start"]
    with pytest.raises(TuningError):
        prove(SITE, [LUCKY, DEFAULT], ARRIVALS, 4, lambda *_: None, on_failure=told.append)


def test_the_default_alone_is_replayed_as_often_as_was_asked(replays: list[Configuration]) -> None:
    (only,) = prove(SITE, [DEFAULT], ARRIVALS, 3, lambda *_: None)
    assert len(only.rounds) == len(replays) == 3


def test_no_round_begins_for_which_there_is_no_time(replays: list[Configuration]) -> None:
    """A replay takes ten seconds, so that a round takes twenty, of thirty-five."""
    budget = Budget(35.0, 0.0, lambda: 10.0 * len(replays))
    found = prove(SITE, [DEFAULT, GOOD], ARRIVALS, 4, lambda *_: None, budget=budget)
    assert [len(one.rounds) for one in found] == [1, 1]


def test_a_little_better_is_not_better() -> None:
    default, little = (Proof(one, (measured(ms),) * 3) for one, ms in ((DEFAULT, 5.0), (GOOD, 4.9)))
    assert not is_better(little, default, SLO, "latency")


@pytest.mark.parametrize(("ms", "rounds", "better"), [(4.5, 1, False), (4.5, 2, True), (3.5, 1, True)])
def test_one_round_may_be_luck(ms: float, rounds: int, better: bool) -> None:
    default, candidate = (Proof(one, (measured(each),) * rounds) for one, each in ((DEFAULT, 5.0), (GOOD, ms)))
    assert is_better(candidate, default, SLO, "latency") is better


@pytest.mark.parametrize("objective", ["latency", "cost", "throughput"])
@pytest.mark.parametrize(
    ("slo", "faster_ms"),
    [("p99<5ms,errors<0.1%", [3.0] * 995 + [np.inf] * 5), ("p99<5ms,p50<1ms", [2.0] * 1000)],
    ids=["refuses", "has a slower median"],
)
def test_who_breaks_a_limit_is_not_better_than_who_holds_all(
    slo: str, faster_ms: list[float], objective: str
) -> None:
    """However good it is at the highest percentile."""
    holds = Measured(np.array([0.5e-3] * 900 + [4e-3] * 100), 0.2, 1, "")
    breaks = Measured(np.array(faster_ms) * 1e-3, 0.1, 1, "")
    default, candidate = Proof(DEFAULT, (holds,) * 2), Proof(GOOD, (breaks,) * 2)
    assert not is_better(candidate, default, Slo.parse(slo), objective)
    assert is_better(Proof(GOOD, (holds,) * 2), Proof(DEFAULT, (breaks,) * 2), Slo.parse(slo), objective)


def test_who_answers_nobody_is_not_better_than_another_such() -> None:
    nobody = Measured(np.full(100, np.inf), 0.1, 1, "")
    assert not is_better(Proof(GOOD, (nobody,) * 2), Proof(DEFAULT, (nobody,) * 2), SLO, "latency")


@pytest.mark.parametrize(
    ("default", "best", "speed"),
    [(2.0, 8.0, 4.0), (3.0, 3.0, 1.0), (3.0, 2.0, 1.0), (0.25, 0.5, 1.0), (0.5, 8.0, 2.0)],
    ids=["between them", "none better", "the best is worse", "neither bears the load", "only the best bears it"],
)
def test_throughput_is_proven_where_a_replay_tells_servers_apart(
    default: float, best: float, speed: float
) -> None:
    assert telling_speed(default, best) == speed
