"""A JSON document read with its path in hand, so that every error says where it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from rapide.profiles.errors import ProfileError
from rapide.server.telemetry.bins import Counts

_SHOWN: Final = 60
"""Letters of a wrong value that an error repeats."""
_WHOLE_LIMIT: Final = 2**53
"""Up to here JSON's numbers are exact everywhere."""
_LARGEST: Final = sys.float_info.max
_LATEST_S: Final = 32_503_680_000
"""The year 3000: Python's calendar ends with the year 9999, and offsets are added to instants."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a document. Every method raises ProfileError where the value is not what it asks for."""

    value: Any
    source: str
    """The file or URL it is from."""
    path: str = ""

    def wrong(self, expected: str, *, hint: str = "") -> ProfileError:
        return ProfileError.unexpected(self.source, self.path, expected, shown(self.value), hint=hint)

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str) -> Node:
        """The value of ``key``, which must be there."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        path = f"{self.path}.{key}" if self.path else key
        if key not in self.value:
            raise ProfileError.unexpected(self.source, path, "a value", "no such key")
        return Node(self.value[key], self.source, path)

    def items(self) -> Iterator[Node]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        for index, value in enumerate(self.value):
            yield Node(value, self.source, f"{self.path}[{index}]")

    def table(self) -> dict[str, Node]:
        """The values of an object."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        if odd := [key for key in self.value if not key.isprintable()]:
            raise ProfileError.unexpected(self.source, self.path, "keys without control characters", shown(odd[0]))
        return {key: self[key] for key in self.value}

    def text(self) -> str:
        """Printable: it is shown on terminals and written out again."""
        if not isinstance(self.value, str) or not self.value.isprintable():
            raise self.wrong("a text without control characters")
        return self.value

    def whole(self) -> int:
        """A whole number, not negative."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not 0 <= self.value < _WHOLE_LIMIT:
            raise self.wrong("a whole number that is not negative")
        return self.value

    def number(self) -> float:
        """A finite number, not negative."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        if not 0 <= self.value <= _LARGEST:  # compared as it is: an integer may be too long for a float
            raise self.wrong("a finite number that is not negative")
        return float(self.value)

    def wholes(self, length: int | None = None) -> Counts:
        """A list of whole numbers that are not negative, of ``length`` if one is given."""
        if not isinstance(self.value, list):
            raise self.wrong("a list of whole numbers")
        if length is not None and len(self.value) != length:
            raise ProfileError.unexpected(self.source, self.path, f"{length} numbers", str(len(self.value)))
        for item in self.items():
            item.whole()
        return np.array(self.value, dtype=np.int64)

    def instant(self) -> float:
        """Epoch seconds from a time such as 2026-11-20T10:00:00.000000Z."""
        try:
            time = datetime.fromisoformat(self.text())
        except ValueError:
            raise self.wrong("a time such as 2026-11-20T10:00:00Z") from None
        epoch_s = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        if not 0 <= epoch_s < _LATEST_S:
            raise self.wrong("a time from 1970 to 2999")
        return epoch_s


def instant_text(epoch_s: float) -> str:
    """The time that ``Node.instant`` reads: UTC, to the microsecond."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(value: Any) -> str:
    """``value`` for an error: what it is, and the beginning of it."""
    if isinstance(value, dict):
        return f"an object with {', '.join(map(repr, list(value)[:4])) or 'no keys'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
