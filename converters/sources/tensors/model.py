"""What a source of whole graphs brings along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from onnx import ModelProto

from rapide.server.tensors import Array


class GraphModel(Protocol):
    """A trained model with the graph that was made of it."""

    @property
    def graph(self) -> ModelProto:
        """Inputs and outputs have their final names; dimension 0 of each counts rows and is dynamic."""

    @property
    def description(self) -> Mapping[str, Any]:
        """For the lineage. ``task`` is left out."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The original's answers, by output of the graph. Raises whatever the original raises."""
