"""Why a tuning could not be."""

from __future__ import annotations

from rapide.server.errors import RapideError


class TuningError(RapideError):
    """A model, profile or objective cannot be tuned for; says what was expected, what came, and what to do."""
