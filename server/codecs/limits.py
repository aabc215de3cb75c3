"""What a codec accepts before it looks at the model: bounds that keep one request from harming the others.

The bytes of a message are bounded by the doors, before a codec sees them; these are the multipliers that a small
message could still hide.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodecLimits:
    """Counts above these raise TooLarge."""

    max_inputs: int = 4096
    """One input per column of a wide table is usual; the widest seen had a few hundred."""
    max_outputs: int = 4096
    """As many as inputs, for want of a reason to differ."""
    max_rank: int = 32
    """numpy 1.26 takes no more dimensions; real tensors have 5."""
    max_elements: int = 2**28
    """1 GiB of FP32: above what one message or a sensible shared-memory region holds, and low enough that products
    of sizes stay exact everywhere."""


DEFAULT_LIMITS = CodecLimits()
