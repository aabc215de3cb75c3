"""Edges are promises: a histogram written today must add up with one written by any other process."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.telemetry import bins

TABLES = {
    "duration": (bins.DURATION_EDGES_S, bins.DURATION_SHOWN_S),
    "gap": (bins.GAP_EDGES_S, ()),
    "rows": (bins.ROW_EDGES, bins.ROW_SHOWN),
    "payload": (bins.PAYLOAD_EDGES_BYTES, ()),
}


@pytest.mark.parametrize("name", TABLES)
def test_edges_rise_and_what_is_shown_is_among_them(name: str) -> None:
    edges, shown = TABLES[name]
    assert list(edges) == sorted(set(edges))
    assert [edges[place] for place in bins.shown_bins(edges, shown)] == list(shown)


def test_the_tables_reach_as_far_as_they_say() -> None:
    assert (bins.DURATION_EDGES_S[0], bins.DURATION_EDGES_S[-1]) == (1e-6, 100.0)
    assert (bins.GAP_EDGES_S[0], bins.GAP_EDGES_S[-1]) == (1e-6, 1e6)
    assert bins.ROW_EDGES[:66] == (*range(65), 80.0)
    assert bins.ROW_EDGES[-1] == 65536
    assert (bins.PAYLOAD_EDGES_BYTES[0], bins.PAYLOAD_EDGES_BYTES[-1]) == (16, 2**30)


def test_a_shown_edge_that_is_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"3\.5"):
        bins.shown_bins(bins.ROW_EDGES, (3.5,))


@given(st.floats(0, 1e7), st.sampled_from(list(TABLES)))
def test_a_value_lies_in_its_bin(value: float, name: str) -> None:
    edges, _ = TABLES[name]
    (place,) = bins.bin_of(np.array(edges), np.array([value]))
    assert place == len(edges) or value <= edges[place]
    assert place == 0 or value > edges[place - 1]


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0, 0], 0.5, 0.0),
        ([0, 10, 0, 0], 0.5, 1.5),
        ([10, 0, 0, 0], 0.5, 0.5),
        ([0, 5, 5, 0], 0.5, 2.0),
        ([0, 0, 0, 7], 0.99, 4.0),
        ([1, 0, 1, 0], 1.0, 4.0),
    ],
)
def test_quantiles_are_interpolated_inside_a_bin(counts: list[int], share: float, expected: float) -> None:
    assert bins.quantile((1.0, 2.0, 4.0), counts, share) == expected


@given(st.lists(st.floats(1e-6, 99), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_in_the_bin_of_the_real_one(values: list[float], share: float) -> None:
    edges = np.array(bins.DURATION_EDGES_S)
    counts = np.bincount(bins.bin_of(edges, np.array(values)), minlength=len(edges) + 1)
    real = sorted(values)[max(0, int(np.ceil(share * len(values))) - 1)]
    place = int(bins.bin_of(edges, np.array([real]))[0])
    low = edges[place - 1] if place else 0.0
    assert low <= bins.quantile(bins.DURATION_EDGES_S, counts.tolist(), share) <= edges[place]
