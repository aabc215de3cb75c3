"""Words for error messages: names and values of unknown size and kind, shown short."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Any

_SHOWN_CHARACTERS = 64
_SHOWN_NAMES = 8
_COMPARED_CHARACTERS = 32
_COMPARED_NAMES = 100
"""difflib takes up to 60 µs for a pair of such names, and the event loop waits: a suggestion is worth some ms."""
_TYPO_CHARACTERS = 3
"""Names that differ more in length are no typing mistakes of each other."""


def shown(name: str) -> str:
    """``name`` in quotes, cut where it is long."""
    return repr(name) if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]!r}…"


def some(names: Collection[str]) -> str:
    """At most eight of ``names``, and how many more there are."""
    text = ", ".join(shown(name) for name in islice(names, _SHOWN_NAMES))
    return text if len(names) <= _SHOWN_NAMES else f"{text} and {len(names) - _SHOWN_NAMES} more"


def closest(name: str, names: Iterable[str]) -> str:
    """``"; did you mean 'mileage'?"``, or nothing where no name is close."""
    near = (other for other in names if abs(len(other) - len(name)) <= _TYPO_CHARACTERS)
    found = get_close_matches(name[:_COMPARED_CHARACTERS], list(islice(near, _COMPARED_NAMES)), n=1)
    return f"; did you mean {shown(found[0])}?" if found else ""


def described(value: Any) -> str:
    """A JSON value in a few words: ``the text 'abc'``, ``2.5``, ``true``, ``null``, ``a list``, ``an object``."""
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > _SHOWN_CHARACTERS * 2:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, (int, float)):
        return repr(value)
    return _KIND_WORDS.get(type(value), "something else")


_KIND_WORDS = {type(None): "null", list: "a list", dict: "an object", bytes: "bytes"}
