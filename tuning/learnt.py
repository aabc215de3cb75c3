"""What was measured of one model on one kind of machine, kept on disk after every step: an interrupted tuning
goes on from there, a second one for another SLO simulates at once, and one for another profile asks a server
again, but measures no run.

It lies beside the tuning file. Curves are thrown away when the runtime is another, when requests have more rows
than were measured or others (``inputs``), when they are to be measured for longer, and those of a variant when its
file is another one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rapide.server.repository.fields import FieldError, Fields, parse_object
from rapide.tuning.costs import Costs
from rapide.tuning.curve import Curve
from rapide.tuning.curves import Curves
from rapide.tuning.errors import TuningError
from rapide.tuning.work_folder import FULL

SCHEMA: Final = 7
MOST_BYTES: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class Learnt:
    """Curves, and the costs as fitted for one protocol, number of rows and traffic (``calibrated_for``)."""

    curves: Curves = field(default_factory=Curves)
    costs: Costs | None = None
    calibrated_for: str = ""
    largest_rows: int = 0
    """The largest run that the curves were measured for."""
    inputs: str = ""
    """What its rows were like (``inputs.Inputs.words``)."""
    effort: float = 0.0
    """As a share of the usual time."""
    variants: dict[str, str] = field(default_factory=dict)
    """Variant → digest of its file when it was measured."""

    def forget_stale(self, largest_rows: int, inputs: str, effort: float, variants: Mapping[str, str]) -> None:
        """Forgets the curves that say nothing of runs of up to ``largest_rows`` rows like ``inputs``, or of
        ``variants`` as they are now, and those that were measured with less ``effort``; what is measured from now
        on is of these."""
        if largest_rows > self.largest_rows or inputs != self.inputs or effort > self.effort:
            self.curves = Curves()
            self.largest_rows, self.inputs, self.effort = largest_rows, inputs, effort
        for name in [name for name, digest in variants.items() if self.variants.get(name, digest) != digest]:
            self.curves = Curves(
                {knobs: curve for knobs, curve in self.curves.done.items() if knobs.variant != name},
                {knobs: why for knobs, why in self.curves.failed.items() if knobs.variant != name},
            )
        self.variants.update(variants)

    @classmethod
    def load(cls, path: Path) -> Learnt:
        """What is there; nothing where there is none that this release can use."""
        try:
            fields = Fields(parse_object(path.read_bytes()[:MOST_BYTES]))
            if fields.raw.get("schema") != SCHEMA or fields.raw.get("onnxruntime") != version("onnxruntime"):
                return cls()
            curves = fields.each("curves", Curve.read)
            costs = Costs.read(fields.fields("costs")) if fields.raw.get("costs") else None
            return cls(
                Curves({curve.knobs: curve for curve in curves}),
                costs,
                fields.text("calibrated_for", ""),
                fields.optional_integer("largest_rows") or 0,
                fields.text("inputs", ""),
                fields.optional_number("effort") or 0.0,
                {name: str(digest) for name, digest in fields.mapping("variants", {}).items()},
            )
        except (OSError, FieldError, TypeError, KeyError, ValueError, OverflowError):
            return cls()

    def save(self, path: Path) -> None:
        """Raises TuningError where it cannot be written."""
        document: dict[str, Any] = {
            "kind": "rapide-learnt",
            "schema": SCHEMA,
            "onnxruntime": version("onnxruntime"),
            "calibrated_for": self.calibrated_for,
            "largest_rows": self.largest_rows,
            "inputs": self.inputs,
            "effort": self.effort,
            "variants": self.variants,
            "curves": [curve.to_json() for curve in self.curves.done.values()],
            "costs": None if self.costs is None else self.costs.to_json(),
        }
        write_whole(path, (json.dumps(document) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all. Raises TuningError, which names the folder."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise TuningError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Make room there, or name another folder with --tuning."
            if error.errno in FULL
            else "Name a folder that you may write to with --tuning.",
        ) from None
