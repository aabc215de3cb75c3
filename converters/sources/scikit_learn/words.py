"""scikit-learn's expressions for words, as the runtime's tokenizer has to be told them.

Theory. The tokenizer's expressions (RE2) take ``\\w``, ``\\b`` and ``\\s`` for ASCII, where Python's know every
alphabet: left as it is, ``\\w+`` makes "bad" of "ébad". Runs of word characters and runs of anything but white
space are written out with Unicode's categories; the ``\\b`` around the former says nothing that a longest run does
not say itself. An expression without such classes means the same to both. All others are refused.

Letters that were added to Unicode after Python's tables, or the runtime's, are none to one of the two.
"""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = r"[\p{L}\p{N}_]"
"""What ``str.isalnum`` is true of, and the underscore."""
_NO_SPACE: Final = r"[^\t-\r\x1c-\x1f\x85\p{Z}]+"
"""What ``str.isspace`` is false of."""
_RUN: Final = re.compile(r"(?:\(\?u\))?(?:\\b)?(?P<each>(?:\\w)+)(?:\+|\{(?P<least>[1-9]\d?),\})(?:\\b)?")
_PLAIN: Final = re.compile(r"(?:[^\\(]|\\[^a-zA-Z0-9])+")
"""Neither classes nor groups."""


def word_expression(token_pattern: str) -> str | None:
    """The tokenizer's expression for scikit-learn's ``token_pattern``; None where none means the same."""
    run = _RUN.fullmatch(token_pattern)
    if run is not None:
        least = len(run["each"]) // 2 - 1 + int(run["least"] or 1)
        return f"{_WORD}{{{least},}}"
    if token_pattern in (r"\S+", r"(?u)\S+"):
        return _NO_SPACE
    return token_pattern if _PLAIN.fullmatch(token_pattern) else None
