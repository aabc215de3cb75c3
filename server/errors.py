"""The closed set of domain errors. Imports nothing; knows no transport.

Each transport maps classes to its own codes in one table (``protocols/status.py``). Messages are for the
person who sent the request: *what* is wrong, *where*, what was expected, what came, and what to do. Details
that are not theirs (paths, stack traces) go to the log instead, under the request's id.
"""

from __future__ import annotations


class RapideError(Exception):
    """Base of all errors that this project raises on purpose.

    ``message`` is safe to show to whoever caused the error; ``hint`` says what to do next.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        return f"{self.message}{'' if self.message.endswith(('.', '?', '!')) else '.'} {self.hint}"


class InvalidRequest(RapideError):
    """The request contradicts the protocol or the model's signature; sending it again cannot help."""


class NotFound(RapideError):
    """No such model, version, label, shared-memory region or route."""


class TooLarge(RapideError):
    """A message, tensor or count is above a configured bound."""


class UnsupportedMedia(RapideError):
    """A content type or content encoding that this server does not read."""


class Conflict(RapideError):
    """The request is well formed but the present state forbids it (already registered, not in explicit mode)."""


class QueueFull(RapideError):
    """The model's queue is at its bound; ``retry_after_s`` estimates when a row may be free."""

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class RequestCancelled(RapideError):
    """The caller went away or cancelled before the answer was ready."""


class Unavailable(RapideError):
    """Not ready: loading, draining, or the model is unloaded."""


class DeadlineExceeded(RapideError):
    """The caller's deadline passed, or could no longer be met, before the model ran."""


class Unimplemented(RapideError):
    """A part of a protocol that this server does not offer."""


class Internal(RapideError):
    """Our fault, or the model's. ``message`` is generic; the detail is in the log."""


class RepositoryError(RapideError):
    """The model folder cannot be read or written as asked."""


class BrokenVersion(RepositoryError):
    """A version cannot be served: digest mismatch, unreadable manifest, refused or failing model."""


class SettingsError(RapideError):
    """A setting is unknown, malformed or contradicts another; names the setting and where it came from."""
