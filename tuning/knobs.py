"""The runtime's knobs for one session, and which combinations of them are worth measuring. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rapide.server.tuning_file import GraphLevel, ModelTuning


@dataclass(frozen=True, slots=True, order=True)
class Knobs:
    """How one session is made. The rest of a ``ModelTuning`` decides how it is used."""

    variant: str = ""
    threads: int = 1
    spinning: bool = False
    graph_level: GraphLevel = "all"
    arena: bool = True
    block_base: int = 0

    @property
    def tuning(self) -> ModelTuning:
        """As the server takes it."""
        return ModelTuning(
            variant=self.variant,
            intra_op_threads=self.threads,
            allow_spinning=self.spinning,
            graph_level=self.graph_level,
            arena=self.arena,
            dynamic_block_base=self.block_base,
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def words(self) -> str:
        parts = [self.variant or "model.onnx", f"{self.threads} thread{'s' * (self.threads > 1)}"]
        parts += ["spinning"] * self.spinning
        parts += [f"graph {self.graph_level}"] * (self.graph_level != "all")
        parts += ["no arena"] * (not self.arena)
        parts += [f"block base {self.block_base}"] * (self.block_base > 0)
        return ", ".join(parts)


def bases(variants: Sequence[str], cores: int) -> Iterator[Knobs]:
    """Every variant with every number of threads: 1, 2, 4 … up to ``cores``, and ``cores`` itself."""
    counts = sorted({2**power for power in range(cores.bit_length()) if 2**power <= cores} | {cores})
    for variant in variants:
        for threads in counts:
            yield Knobs(variant, threads)


def neighbours(base: Knobs, cores: int) -> Iterator[Knobs]:
    """``base`` with one knob turned: what may be better by itself, and then together. Threads that spin on all
    ``cores`` leave none to whoever asks, so nothing could be proven of them."""
    if 1 < base.threads < cores:
        yield dataclasses.replace(base, spinning=True)
    if base.threads > 1:
        yield dataclasses.replace(base, block_base=4)
    yield dataclasses.replace(base, arena=False)
    yield dataclasses.replace(base, graph_level="extended")
    yield dataclasses.replace(base, graph_level="basic")


def together(base: Knobs, better: Sequence[Knobs]) -> Knobs | None:
    """All of ``better``'s turns of ``base``'s knobs at once; None where that is no more than one turn."""
    turned: dict[str, Any] = {}
    for knobs in better:
        turned |= {name: value for name, value in knobs.to_json().items() if value != getattr(base, name)}
    return dataclasses.replace(base, **turned) if len(turned) > 1 else None
