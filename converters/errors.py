"""What can go wrong on the way from a trained model to a published version, in the trainer's terms."""

from __future__ import annotations

from typing import Any

from rapide.server.errors import RapideError


class ConversionError(RapideError):
    """The model, the sample or the options do not allow a conversion; the message says what to change."""

    def to_json(self) -> dict[str, Any]:
        return {"message": self.message, "hint": self.hint}


class GateRefused(ConversionError):
    """A check before publishing failed: ``gate`` names it, the message holds the figure and the limit.

    ``report`` is what the checks found, for the command to show: ``attempts`` by precision, and ``chosen``, the
    precision of the one that was refused where parity held.
    """

    def __init__(self, gate: str, message: str, *, hint: str = "", report: dict[str, Any] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.gate = gate
        self.report = report or {}

    def to_json(self) -> dict[str, Any]:
        return {"message": self.message, "hint": self.hint, "gate": self.gate}
