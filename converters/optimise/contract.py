"""What every recipe works with and gives. Runs in the child process that holds the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import ModelProto

from rapide.converters.optimise.traits import Traits
from rapide.server.signature import Signature
from rapide.server.tensors import Array


class NotApplicable(Exception):
    """The recipe has nothing to do for this graph; the text says why, for the report."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The graph and what recipes need beside it.

    ``clean``: the graph after clean-up, which all other recipes start from. ``calibration``: rows by input, none
    of which is used to judge. ``folder``: for what tools want to have on disk.
    """

    original: ModelProto
    clean: ModelProto
    cleaned: Mapping[str, Any]
    """What the clean-up found to do."""
    traits: Traits
    signature: Signature
    calibration: Mapping[str, Array]
    folder: Path
    flags: frozenset[str]
    """Of this processor."""
    max_loss: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Made:
    """A variant of the graph. ``options``: what the manifest's recipe says beside the method. ``needs_cpu``: as in
    the manifest's variants."""

    model: ModelProto
    options: Mapping[str, Any] = field(default_factory=dict)
    needs_cpu: tuple[str, ...] = ()
    note: str = ""
