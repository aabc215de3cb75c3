"""Declared shapes: what is counted, and what is refused before anything is allocated by it."""

from __future__ import annotations

import pytest

from rapide.server.codecs.limits import DEFAULT_LIMITS, CodecLimits
from rapide.server.codecs.shapes import check_shape
from rapide.server.errors import InvalidRequest, RapideError, TooLarge


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,), (3, 0, 2), (1,) * 32, (2**28,), (2**28, 0)], ids=str)
def test_shapes_within_the_bounds_are_accepted(shape: tuple[int, ...]) -> None:
    check_shape(shape, "input 'x'", DEFAULT_LIMITS)


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
        check_shape(shape, "input 'x'", DEFAULT_LIMITS)
    assert raised.value.message == message


def test_bounds_come_from_the_limits() -> None:
    with pytest.raises(TooLarge, match="at most 4 elements"):
        check_shape((5,), "input 'x'", CodecLimits(max_elements=4))
