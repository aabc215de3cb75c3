"""The check of a declared shape, before anything is allocated or reshaped by it."""

from __future__ import annotations

from collections.abc import Sequence

from rapide.server.codecs.limits import CodecLimits
from rapide.server.errors import InvalidRequest, TooLarge


def check_shape(shape: Sequence[int], what: str, limits: CodecLimits) -> None:
    """Raises InvalidRequest for a negative size and TooLarge for too many dimensions or elements.

    ``what`` names the tensor in errors. Sizes beside a 0 are bounded too, so that a tensor without elements cannot
    claim 2**62 rows.
    """
    if len(shape) > limits.max_rank:
        raise TooLarge(f"{what} has {len(shape)} dimensions; at most {limits.max_rank} are allowed")
    extent = 1
    for size in shape:
        if size < 0:
            raise InvalidRequest(f"{what} has shape {list(shape)}; every size must be 0 or more")
        extent *= size or 1
    if extent > limits.max_elements:
        raise TooLarge(f"{what} has shape {list(shape)}; at most {limits.max_elements} elements are allowed")
