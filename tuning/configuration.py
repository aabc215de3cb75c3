"""One way to serve a model: what a tuning file would say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from rapide.server.tuning_file import ModelTuning
from rapide.tuning.knobs import Knobs

ALWAYS_INLINE_US: Final = 1e6
"""As ``inline_below_us``: every run is on the loop that the engine ever lets run there."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """How many workers, and how each of them runs the model."""

    workers: int
    tuning: ModelTuning

    @property
    def knobs(self) -> Knobs:
        """Of its sessions."""
        tuning = self.tuning
        return Knobs(
            tuning.variant,
            tuning.intra_op_threads,
            tuning.allow_spinning,
            tuning.graph_level,
            tuning.arena,
            tuning.dynamic_block_base,
        )

    @property
    def words(self) -> str:
        """What a person wants to know of it at a glance."""
        return f"{self.workers} worker{'s' * (self.workers > 1)}, {self.tuning.words}"

    def to_json(self) -> dict[str, Any]:
        return {"workers": self.workers, "tuning": self.tuning.to_json()}


def default_configuration(cores: int) -> Configuration:
    """What ``rapide serve`` does untuned."""
    return Configuration(cores, ModelTuning())
