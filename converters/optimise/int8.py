"""What int8 needs of a processor.

Kernels of x86 multiply unsigned by signed bytes and add pairs in 16 bits, which overflow with full 8-bit weights
unless the processor has VNNI, which adds in 32. Without it weights get 7 bits, which never overflow.
"""

from __future__ import annotations

from collections.abc import Collection

from rapide.server.repository.variant import ALTERNATIVES

_SAFE = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")


def full_range(flags: Collection[str]) -> bool:
    """Whether 8-bit weights are computed exactly on a processor with ``flags``."""
    return any(flag in flags for flag in _SAFE)


def needed_flags(flags: Collection[str]) -> tuple[str, ...]:
    """What a variant made here needs wherever it runs: one of the safe kinds, if its weights use all 8 bits."""
    return (ALTERNATIVES.join(_SAFE),) if full_range(flags) else ()
