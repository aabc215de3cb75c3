"""The child's end of the conversation with ``sandbox.py``: JSON objects, one a line.

Out: ``{"step": text}`` when a piece of work begins, ``{"note": text}`` for the user, ``{"answer": …}`` to the
parent's last question, ``{"error": …}``. In: one JSON object a line on standard input.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


class Channel:
    """Writes to ``descriptor``, reads from standard input; standard output stays free for foreign code."""

    def __init__(self, descriptor: int) -> None:
        self._out = os.fdopen(descriptor, "w", encoding="utf-8")

    def step(self, text: str) -> None:
        """The user sees ``text`` until the next step; it also says where a child died."""
        self.send({"step": text})

    def note(self, text: str) -> None:
        self.send({"note": text})

    def answer(self, value: Any) -> None:
        self.send({"answer": value})

    def send(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def receive(self) -> dict[str, Any] | None:
        """The parent's next question, or None when there are no more."""
        line = sys.stdin.readline()
        question: dict[str, Any] | None = json.loads(line) if line else None
        return question
