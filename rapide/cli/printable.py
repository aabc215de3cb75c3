"""Text that others wrote, for a terminal."""

from __future__ import annotations


def printable(text: str, kept: str = "") -> str:
    """``text`` without control characters, which terminals obey, and without halves of characters, which cannot be
    written out; spaces stand for them. ``kept``: those that stay, such as a line's end."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in kept else " " for sign in text)
