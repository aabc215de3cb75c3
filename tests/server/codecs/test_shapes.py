"""Declared shapes: what is counted, and what is refused before anything is allocated by it."""

from __future__ import annotations

import pytest

from rapide.server.codecs.limits import DEFAULT_LIMITS, CodecLimits
from rapide.server.codecs.shapes import element_count
from rapide.server.errors import InvalidRequest, RapideError, TooLarge


@pytest.mark.parametrize(
    ("shape", "count"),
    [((), 1), ((5,), 5), ((2, 3), 6), ((0,), 0), ((3, 0, 2), 0), ((1,) * 32, 1), ((2**28,), 2**28)],
)
def test_elements_are_counted(shape: tuple[int, ...], count: int) -> None:
    assert element_count(shape, "input 'x'", DEFAULT_LIMITS) == count


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((-1, 2), InvalidRequest, "input 'x' has shape [-1, 2]; every size must be 0 or more"),
        (
            (2**62, -(2**63)),
            InvalidRequest,
            f"input 'x' has shape [{2**62}, {-(2**63)}]; every size must be 0 or more",
        ),
        ((2**28 + 1,), TooLarge, f"input 'x' has shape [{2**28 + 1}]; at most {2**28} elements are allowed"),
        (
            (2**32, 2**32),
            TooLarge,
            f"input 'x' has shape [{2**32}, {2**32}]; at most {2**28} elements are allowed",
        ),
        ((2**62, 0), TooLarge, f"input 'x' has shape [{2**62}, 0]; at most {2**28} elements are allowed"),
        ((1,) * 33, TooLarge, "input 'x' has 33 dimensions; at most 32 are allowed"),
    ],
)
def test_shapes_that_cannot_be_are_refused(shape: tuple[int, ...], error: type[RapideError], message: str) -> None:
    with pytest.raises(error) as raised:
        element_count(shape, "input 'x'", DEFAULT_LIMITS)
    assert raised.value.message == message


def test_bounds_come_from_the_limits() -> None:
    with pytest.raises(TooLarge, match="at most 4 elements"):
        element_count((5,), "input 'x'", CodecLimits(max_elements=4))
