"""How much a child process may take: foreign code runs in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one child process; each has an option of ``rapide convert`` or a reason to be fixed."""

    memory_bytes: int = 8 * GIB
    """Address space (RLIMIT_AS). scikit-learn with pandas and pyarrow maps 2 to 3 GiB before it does anything."""
    time_s: float = 600.0
    """Both processor seconds (RLIMIT_CPU) and seconds on the clock: a sleeping child is as stuck as a busy one."""
    file_bytes: int = 4 * GIB
    """The longest file that may be written (RLIMIT_FSIZE): twice the 2 GiB that an ONNX file can have."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Limits:
        return cls(**raw)
