from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.repository.fields import Fields
from rapide.tuning.curve import JOIN_US, Curve
from rapide.tuning.knobs import Knobs
from tests.tuning.curves_of import curve_of

LINEAR = curve_of(lambda rows: 10 + 2 * rows)


@given(st.integers(1, 5000))
def test_a_straight_curve_is_read_exactly_between_and_beyond_its_points(rows: int) -> None:
    assert LINEAR.run_us(rows) == pytest.approx(10 + 2 * rows)


@given(rows=st.integers(1, 2000), cap=st.integers(1, 300))
def test_parts_cost_what_they_cost_alone(rows: int, cap: int) -> None:
    if rows <= cap:
        assert LINEAR.run_us(rows, cap) == LINEAR.run_us(rows)
    else:
        parts = -(-rows // cap)
        assert LINEAR.run_us(rows, cap) == pytest.approx(2 * rows + parts * (10 + JOIN_US))


def test_a_cliff_is_found_by_itself_and_a_cap_put_below_it() -> None:
    """As some kernels have it: another, slower way above 64 rows."""
    cliff = curve_of(lambda rows: 5 + 1.8 * rows if rows <= 64 else 5 + 5.0 * rows)
    assert cliff.caps(512)[0] == 64
    assert cliff.run_us(256, 64) < 0.5 * cliff.run_us(256)


def test_no_cap_is_found_where_none_pays() -> None:
    assert LINEAR.caps(512) == []


def test_dominance_needs_as_few_threads() -> None:
    fast = curve_of(lambda rows: 5 + rows, Knobs(threads=2))
    rows = [1, 64, 512]
    assert not LINEAR.is_dominated([LINEAR, fast], rows), "two threads may be faster, but they take two cores"
    slower = curve_of(lambda rows: 20 + 4 * rows, Knobs(threads=2))
    assert slower.is_dominated([LINEAR, slower], rows)
    assert fast.beats(LINEAR, rows)
    assert not LINEAR.beats(LINEAR, rows)


def test_a_second_measurement_keeps_the_better_points() -> None:
    disturbed = curve_of(lambda rows: 100 + 2 * rows if rows == 8 else 10 + 2 * rows)
    assert disturbed.merged(LINEAR) == LINEAR


def test_json_and_back() -> None:
    curve = curve_of(lambda rows: 3.5 * rows, Knobs("int8", 2, spinning=True, graph_level="basic"))
    assert Curve.read(Fields(curve.to_json())) == curve
