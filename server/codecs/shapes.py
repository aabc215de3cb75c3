"""The check of a declared shape, before anything is allocated or reshaped by it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rapide.server.codecs.limits import CodecLimits
from rapide.server.errors import InvalidRequest, TooLarge


def element_count(shape: Sequence[int], what: str, limits: CodecLimits) -> int:
    """The number of elements of ``shape``; ``what`` names the tensor in errors.

    Raises InvalidRequest for a negative size and TooLarge for too many dimensions or elements. A size beside a 0
    is bounded too, so that a tensor without elements cannot claim 2**62 rows.
    """
    if len(shape) > limits.max_rank:
        raise TooLarge(f"{what} has {len(shape)} dimensions; at most {limits.max_rank} are allowed")
    if not shape:
        return 1
    if min(shape) < 0:
        raise InvalidRequest(f"{what} has shape {list(shape)}; every size must be 0 or more")
    extent = math.prod(size or 1 for size in shape)
    if extent > limits.max_elements:
        raise TooLarge(f"{what} has shape {list(shape)}; at most {limits.max_elements} elements are allowed")
    return 0 if 0 in shape else extent
