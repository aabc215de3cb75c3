"""The closed sets behind label values: whatever a caller sends, no new time series can come of it."""

from __future__ import annotations

CODES = (
    "ok",
    "invalid_request",
    "not_found",
    "too_large",
    "unsupported_media",
    "conflict",
    "queue_full",
    "request_cancelled",
    "unavailable",
    "deadline_exceeded",
    "unimplemented",
    "internal",
    "repository_error",
    "broken_version",
    "settings_error",
    "other",
)
"""How a request ended: ``ok`` or the name of its domain error (``errors.py``) in snake case."""

PROTOCOLS = ("grpc", "http", "other")
ENCODINGS = ("protobuf-raw", "protobuf-typed", "json", "json+binary", "named", "", "other")
"""How a request's tensors were written. Empty: refused before it was known."""

STATES = ("unloaded", "loading", "ready", "draining", "broken")
"""What a worker does with a model version."""

OTHER = "other"


def index_of(names: tuple[str, ...], name: str) -> int:
    """The position of ``name``, or that of "other" (the last)."""
    return names.index(name) if name in names else len(names) - 1


def snake_case(class_name: str) -> str:
    """``QueueFull`` → ``queue_full``: the code of a domain error."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in class_name).lstrip("_")
