"""Real English sentences that every machine of ours has: Python's language reference, as pydoc carries it
(``pydoc_data.topics``), and scikit-learn's descriptions of its data sets (``sklearn/datasets/descr``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pydoc_data.topics import topics

_WORDS = range(4, 81)
_LEAST_LETTERS = 0.85
"""Of a sentence's signs, letters and spaces: tables and code are no prose."""


def sentences(count: int) -> list[str]:
    """``count`` different sentences, evenly spread over both texts."""
    found = list(dict.fromkeys(_of_text("\n\n".join(_texts()))))
    return found[:: max(1, len(found) // count)][:count]


def _texts() -> Iterator[str]:
    for path in sorted((files("sklearn.datasets") / "descr").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".rst"):
            yield path.read_text(encoding="utf-8")
    for name in sorted(topics):
        yield topics[name]


def _of_text(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
            plain = sum(sign.isalpha() or sign == " " for sign in sentence)
            if len(sentence.split()) in _WORDS and plain >= _LEAST_LETTERS * len(sentence):
                yield sentence
