"""The models that the suite asks for. A server that is to be tested must serve this folder:

python -m tests.conformance.repository FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from rapide.server.signature import DataType
from tests import models

SLOW_ITERATIONS = 50_000
"""About 0.15 s for one run of the model ``slow``: long enough to be interrupted."""


def write(folder: Path) -> Path:
    """Writes ``name/version/model.onnx`` for every model; returns ``folder``."""
    catalogue = {
        **{f"identity_{kind.lower()}": {1: models.identity(kind, ("N", "D"))} for kind in DataType},
        "everything": {1: models.everything()},
        "scalar": {1: models.scalar()},
        "linear": {1: models.linear(1.0), 2: models.linear(2.0)},
        "two_inputs": {1: models.two_inputs()},
        "classifier": {1: models.classifier()},
        "text_classifier": {1: models.text_classifier()},
        "no_batch_dimension": {1: models.no_batch_dimension()},
        "slow": {1: models.slow(SLOW_ITERATIONS)},
    }
    return models.repository(folder, catalogue)


if __name__ == "__main__":
    print(f"wrote {write(Path(sys.argv[1]))}")
