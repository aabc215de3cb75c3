"""Reading JSON objects that somebody else wrote: every field checked, every error naming its place."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


_MOST = 2**63 - 1
"""What protocols and file systems can carry."""


_LARGEST = sys.float_info.max
"""Integers of any length are JSON; comparing them with a float is exact, making a float of them fails."""
_MAX_SIGNS = 2_000_000
_SIGNS = (b"{", b"[", b",")
"""An empty object takes three bytes of text and sixty of memory: what is counted bounds what is made. Ten thousand
features have some 300,000."""


class FieldError(ValueError):
    """A JSON document is not what it should be; the text names the field, what was expected and what came."""


def parse_object(text: bytes) -> dict[str, Any]:
    """The JSON object in ``text``. Raises FieldError for anything else, garbage and deep nesting included.

    Stricter than ``json.loads``: no NaN or infinity, no text that could not be written out again.
    """
    if sum(text.count(sign) for sign in _SIGNS) > _MAX_SIGNS:
        raise FieldError(f"it holds more than {_MAX_SIGNS} brackets and commas")
    try:
        raw = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if b"\\ud" in text.lower():  # may be half a surrogate pair
            json.dumps(raw, ensure_ascii=False).encode()
    except UnicodeError:
        raise FieldError("it is not UTF-8 text") from None
    except RecursionError:
        raise FieldError("it nests too deeply") from None
    except FieldError:
        raise
    except ValueError as error:
        raise FieldError(f"it is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise FieldError(f"expected a JSON object, found {kind_of(raw)}")
    return raw


def _refuse_constant(name: str) -> float:
    raise FieldError(f"it holds {name}, which JSON does not have")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise FieldError(f"it holds {text[:40]}, which is too large for a number")
    return value


def kind_of(value: object) -> str:
    """What a person would call a JSON value of this type."""
    return _KINDS.get(type(value), type(value).__name__)


_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and its place in the document (``features[2]``; empty for the document itself)."""

    raw: dict[str, Any]
    place: str = ""

    def text(self, key: str, default: str | None = None) -> str:
        return self._typed(key, str, "text", default)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self._typed(key, bool, "a boolean", default)

    def integer(self, key: str, *, least: int = 0) -> int:
        value = self._required(key)
        if type(value) is not int or not least <= value <= _MOST:
            raise self.wrong(key, f"an integer of {least} or more", value)
        return value

    def optional_integer(self, key: str, *, least: int = 0) -> int | None:
        return None if self.raw.get(key) is None else self.integer(key, least=least)

    def optional_number(self, key: str) -> float | None:
        """A finite number. JSON text such as ``1e999`` and Python's ``NaN`` literal are refused."""
        value = self.raw.get(key)
        if value is None:
            return None
        if type(value) not in (int, float) or abs(value) > _LARGEST:  # NaN is refused when text is parsed
            raise self.wrong(key, "a finite number", value)
        return float(value)

    def optional_text(self, key: str) -> str | None:
        return None if self.raw.get(key) is None else self.text(key)

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self._required(key)
        if value not in allowed:
            raise self.wrong(key, f"one of {', '.join(allowed)}", value)
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; an absent one is empty."""
        values = self._typed(key, list, "a list", [])
        for position, value in enumerate(values):
            if not isinstance(value, str):
                raise self.wrong(f"{key}[{position}]", "text", value)
        return tuple(values)

    def mapping(self, key: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._typed(key, dict, "an object", default)

    def fields(self, key: str, default: dict[str, Any] | None = None) -> Fields:
        return Fields(self.mapping(key, default), self._path(key))

    def items(self) -> Iterator[tuple[str, Fields]]:
        """Every member, each of which must be an object itself."""
        for key in self.raw:
            yield key, self.fields(key)

    def each(self, key: str, read: Callable[[Fields], T]) -> tuple[T, ...]:
        """A list of objects, each read by ``read``; an absent list is empty."""
        out = []
        for position, value in enumerate(self._typed(key, list, "a list", [])):
            if not isinstance(value, dict):
                raise self.wrong(f"{key}[{position}]", "an object", value)
            out.append(read(Fields(value, self._path(f"{key}[{position}]"))))
        return tuple(out)

    def wrong(self, key: str, expected: str, value: object) -> FieldError:
        if isinstance(value, str):
            shown = repr(value[:40])
        else:
            shown = str(value)[:40] if type(value) in (int, float) else kind_of(value)
        return FieldError(f"{self._path(key)!r} must be {expected}, not {shown}")

    def _required(self, key: str) -> Any:
        if key not in self.raw:
            raise FieldError(f"{self._path(key)!r} is missing")
        return self.raw[key]

    def _typed(self, key: str, kind: type[T], expected: str, default: T | None) -> T:
        if default is not None and key not in self.raw:
            return default
        value = self._required(key)
        if not isinstance(value, kind):
            raise self.wrong(key, expected, value)
        return value

    def _path(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key
