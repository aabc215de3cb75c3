"""The choice: kept or not, default or not, and the reason in words."""

from __future__ import annotations

import pytest

from rapide.converters.optimise.choice import Contender, Verdict, decide, gain, too_far
from rapide.converters.optimise.measures import COSINE, DEFAULT_LIMITS, FLIPS, METRIC, PROBABILITY

EVEN = {1: 1.0, 32: 1.0}


def contender(name: str, one: float, many: float, loss: float = 0.001, *, exact: bool = False) -> Contender:
    """Times at 1 and 32 rows against the original's, surely measured."""
    ratios = {rows: (middle - 0.01, middle, middle + 0.01) for rows, middle in ((1, one), (32, many))}
    return Contender(name, ((PROBABILITY, "p", loss),), ratios, exact)


ORIGINAL = contender("original", 1.0, 1.0, 0.0, exact=True)


def choose(*others: Contender, weights: dict[int, float] = EVEN, keep: tuple[str, ...] = ()) -> dict[str, Verdict]:
    verdicts = decide([ORIGINAL, *others], weights, DEFAULT_LIMITS, keep)
    assert sum(verdict.is_default for verdict in verdicts) == 1
    return {verdict.name: verdict for verdict in verdicts}


def kept(chosen: dict[str, Verdict]) -> set[str]:
    return {name for name, verdict in chosen.items() if verdict.is_kept}


def test_a_faster_one_becomes_the_default_and_the_original_stays_beside_it() -> None:
    chosen = choose(contender("int8", 0.6, 0.5))
    assert chosen["int8"].is_default
    assert kept(chosen) == {"int8", "original"}
    assert chosen["int8"].reason == "1.83× as fast: 1.67× at 1 row, 2.00× at 32 rows"


def test_one_that_is_faster_at_some_sizes_alone_is_kept_for_tuning() -> None:
    chosen = choose(contender("int8", 1.2, 0.5))
    assert kept(chosen) == {"int8", "original"}
    assert chosen["original"].is_default


def test_what_is_not_faster_goes() -> None:
    chosen = choose(contender("fp16", 1.0, 0.97))
    assert kept(chosen) == {"original"}
    assert chosen["fp16"].reason == "not faster: 1.00× at 1 row, 1.03× at 32 rows"


def test_a_size_that_does_not_matter_decides_nothing() -> None:
    rare = {1: 1.0, 32: 0.01}
    assert kept(choose(contender("int8", 1.0, 0.3), weights=rare)) == {"original"}
    assert choose(contender("int8", 0.5, 2.0), weights=rare)["int8"].is_default


def test_noise_is_no_speed() -> None:
    """The middle says faster, but a quarter of the rounds says otherwise."""
    noisy = Contender("int8", (), {1: (0.5, 0.9, 1.1), 32: (0.5, 0.9, 1.1)})
    assert kept(choose(noisy)) == {"original"}


def test_what_is_too_far_goes_however_fast() -> None:
    chosen = choose(contender("int4", 0.1, 0.1, loss=0.2))
    assert kept(chosen) == {"original"}
    assert chosen["int4"].reason == "too far from the original: p loses 0.2 (probability; limit 0.01)"


def test_what_another_one_beats_everywhere_goes() -> None:
    chosen = choose(contender("int8", 0.5, 0.5), contender("slow", 0.8, 0.8, loss=0.002))
    assert kept(chosen) == {"int8", "original"}
    assert chosen["slow"].reason == "int8 is as fast at every size and no less exact"


def test_a_slower_but_nearer_one_stays_for_tuning() -> None:
    chosen = choose(contender("int8", 0.5, 0.5, loss=0.008), contender("near", 0.8, 0.8, loss=0.0001))
    assert kept(chosen) == {"int8", "near", "original"}
    assert chosen["int8"].is_default


def test_an_exact_and_faster_one_takes_the_originals_place() -> None:
    chosen = choose(contender("clean", 0.7, 0.7, exact=True))
    assert kept(chosen) == {"clean"}
    assert chosen["original"].reason == "a kept variant answers the same and is as fast"


def test_what_somebody_wants_is_kept_for_its_size() -> None:
    chosen = choose(contender("fp16", 1.0, 1.0), keep=("fp16",))
    assert kept(chosen) == {"fp16", "original"}
    assert chosen["original"].is_default
    assert kept(choose(contender("fp16", 1.0, 1.0, loss=0.2), keep=("fp16",))) == {"original"}


def test_the_gain_is_the_weighted_geometric_mean() -> None:
    assert gain(contender("a", 0.5, 2.0), EVEN) == pytest.approx(1.0)
    assert gain(contender("a", 0.5, 2.0), {1: 3.0, 32: 1.0}) == pytest.approx(0.5**0.5)


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        ([(FLIPS, "label", 0.004), (PROBABILITY, "p", 0.01)], ""),
        ([(FLIPS, "label", 0.02)], "label loses 0.02 (flips; limit 0.005)"),
        ([(COSINE, "y", 0.011)], "y loses 0.011 (cosine; limit 0.01)"),
        ([(FLIPS, "label", 0.02), (METRIC, "accuracy", 0.001)], ""),
        ([(FLIPS, "label", 0.0), (METRIC, "accuracy", 0.01)], "accuracy loses 0.01 (metric; limit 0.005)"),
    ],
    ids=["near", "flips", "cosine", "the truth decides", "the truth refuses"],
)
def test_near_enough(losses: list[tuple[str, str, float]], why: str) -> None:
    assert too_far(losses, DEFAULT_LIMITS) == why
