"""Limits move rarely, little, and only within what was proven, whatever the windows say."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rapide.server.proven import Range
from rapide.server.steering import PATIENCE, Knob, Move, Observed, Steering

HOLD_S = 100.0
WINDOW_S = 10.0
STILL = Observed(True)


def steering(
    batch: Range = (16, 256), queue: Range = (1000, 8000), tuned: tuple[int, int] = (64, 2000)
) -> Steering:
    return Steering(
        dict(zip((Knob.BATCH, Knob.QUEUE), tuned, strict=True)), {Knob.BATCH: batch, Knob.QUEUE: queue}, HOLD_S
    )


def driven(one: Steering, windows: Sequence[Observed]) -> list[tuple[float, Move]]:
    moves = []
    for index, seen in enumerate(windows):
        move = one.observe(index * WINDOW_S, seen)
        if move is not None:
            moves.append((index * WINDOW_S, move))
    return moves


def test_nothing_moves_while_nothing_drifts() -> None:
    assert driven(steering(), [STILL] * 100) == []


def test_more_load_takes_three_windows_and_doubles_at_most() -> None:
    one = steering()
    moves = driven(one, [Observed(True, load=10.0)] * 40)
    assert [(time_s, move.before, move.after) for time_s, move in moves] == [(20, 64, 128), (120, 128, 256)]
    assert moves[0][1].knob is Knob.BATCH
    assert moves[0][1].reason == "10.00 times the rows a second that were tuned for"
    assert one.limits == {Knob.BATCH: 256, Knob.QUEUE: 2000}


def test_unrest_makes_room_to_wait() -> None:
    moves = driven(steering(), [Observed(True, unrest=1.5)] * 10)
    assert [(move.knob, move.before, move.after) for _, move in moves] == [(Knob.QUEUE, 2000, 3000)]


def test_it_comes_home_when_the_drift_is_over() -> None:
    one = steering()
    moves = driven(one, [Observed(True, load=1.7)] * 5 + [STILL] * 60)
    assert [(time_s, move.after) for time_s, move in moves] == [(20, 108), (220, 64)]
    assert moves[1][1].reason == "the usage is nearer to what was tuned for"


def test_less_load_asks_for_nothing() -> None:
    assert driven(steering(), [Observed(True, load=0.1, unrest=0.5)] * 50) == []


def test_the_least_of_three_windows_counts() -> None:
    windows = [Observed(True, load=load) for load in (2.0, 1.3, 1.9)]
    assert [move.after for _, move in driven(steering(), windows)] == [83]


def test_windows_that_disagree_or_know_nothing_break_the_row() -> None:
    up, unknown = Observed(True, load=3.0), Observed(False)
    assert driven(steering(), [up, up, STILL] * 20) == []
    assert driven(steering(), [up, up, unknown] * 20) == []


def test_small_changes_are_not_worth_it() -> None:
    assert driven(steering(), [Observed(True, load=1.05)] * 50) == []


def test_what_a_setting_overrides_is_left_alone() -> None:
    one = steering(tuned=(512, 2000))
    assert not one.is_free
    assert driven(one, [Observed(True, load=3.0)] * 50) == []


WINDOWS = st.lists(
    st.builds(
        Observed,
        st.sampled_from((True, True, True, False)),
        load=st.sampled_from((0.0, 0.5, 1.0, 1.2, 1.9, 4.0, 1e9, float("inf"))),
        unrest=st.sampled_from((0.0, 1.0, 1.3, 3.0, 1e9, float("inf"))),
    ),
    max_size=200,
)


@given(WINDOWS, st.integers(1, 300), st.integers(0, 300), st.integers(0, 300))
def test_whatever_happens_it_keeps_its_promises(
    windows: list[Observed], least: int, below: int, above: int
) -> None:
    """In the range, ``HOLD_S`` apart, 2 · ``HOLD_S`` between reversals, twice or half at most, and told truly."""
    range_ = (least, least + below + above)
    one = steering(range_, range_, tuned=(least + below, least + below))
    limits = dict(one.limits)
    last_s, turned = -float("inf"), dict.fromkeys(Knob, (-float("inf"), 0))
    for index, seen in enumerate(windows):
        now_s = index * WINDOW_S
        move = one.observe(now_s, seen)
        if move is None:
            assert one.limits == limits
            continue
        assert move.before == limits[move.knob]
        limits[move.knob] = move.after
        assert one.limits == limits
        assert range_[0] <= move.after <= range_[1]
        assert move.after != move.before
        assert move.before / 2 <= move.after <= move.before * 2
        assert now_s - last_s >= HOLD_S
        direction = 1 if move.after > move.before else -1
        then_s, before = turned[move.knob]
        assert direction == before or now_s - then_s >= 2 * HOLD_S or before == 0
        last_s, turned[move.knob] = now_s, (now_s, direction)
        assert move.reason


@given(WINDOWS)
def test_in_peace_it_is_where_it_was_tuned_in_the_end(windows: list[Observed]) -> None:
    one = steering()
    driven(one, [*windows, *[STILL] * 200])
    assert one.limits == {Knob.BATCH: 64, Knob.QUEUE: 2000}


@given(WINDOWS)
def test_moves_need_windows_that_agree(windows: list[Observed]) -> None:
    """Before each move, ``PATIENCE`` known windows in a row wanted its direction."""
    for time_s, move in driven(steering(), windows):
        last = windows[int(time_s / WINDOW_S) - PATIENCE + 1 : int(time_s / WINDOW_S) + 1]
        assert all(seen.is_known for seen in last)
        if move.after > move.before:
            assert all((seen.load if move.knob is Knob.BATCH else seen.unrest) > 1 for seen in last)
