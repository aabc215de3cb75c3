"""What was measured of one model on one kind of machine, kept on disk after every step: an interrupted tuning
goes on from there, and a second one for another SLO or profile simulates at once.

It lies beside the tuning file, and is thrown away when the runtime is another or the number of rows per request.
"""

from __future__ import annotations

import json
import os
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

SCHEMA: Final = 1
MOST_BYTES: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class Learnt:
    """Curves, and the costs as fitted for one protocol, number of rows and traffic (``calibrated_for``)."""

    curves: Curves = field(default_factory=Curves)
    costs: Costs | None = None
    calibrated_for: str = ""

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
            )
        except (OSError, FieldError, TypeError, KeyError, ValueError):
            return cls()

    def save(self, path: Path) -> None:
        """Raises TuningError where it cannot be written."""
        document: dict[str, Any] = {
            "kind": "rapide-learnt",
            "schema": SCHEMA,
            "onnxruntime": version("onnxruntime"),
            "calibrated_for": self.calibrated_for,
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
