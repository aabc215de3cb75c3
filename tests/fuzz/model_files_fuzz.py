"""Fuzz targets for the files of a version, which anybody may have written: the model's outline, as it is hopped
over and as it is read in full, the manifest, golden rows, and the log of labels. Only a RapideError may come out.

    python -m tests.fuzz.model_files_fuzz                          # all targets, 60 s each
    python -m tests.fuzz.model_files_fuzz graph --seconds 3600

More ways to run it: campaign.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from rapide.server.errors import RapideError
from rapide.server.model.external_data import check_external_data
from rapide.server.model.golden import read_golden
from rapide.server.model.graph_rules import check_graph, places_outside, read_outline
from rapide.server.repository.activation_log import read_log
from rapide.server.repository.fields import FieldError
from rapide.server.repository.layout import ACTIVATIONS_FILE
from rapide.server.repository.manifest import Manifest
from rapide.server.repository.onnx_outline import outline_fault
from rapide.server.signature import DataType, Signature, TensorSpec
from tests import models
from tests.fuzz.campaign import Target, main
from tests.hostile_models import ATTACKS
from tests.versions import golden_rows

_SEED_BYTES = 100_000
"""Larger hostile files teach a fuzzer nothing more."""
FOLDER = Path(tempfile.mkdtemp(prefix="rapide-fuzz-"))
SIGNATURE = Signature(
    (TensorSpec("x", DataType.FP32, (-1, 2)),), (TensorSpec("y", DataType.FP32, (-1, 2)),), batchable=True
)


def graph_target(data: bytes) -> None:
    """What the bounds say of a graph, twice alike; what they let pass can be walked."""
    outline = read_outline(data)
    figures = check_graph(outline)
    assert figures == check_graph(outline)
    check_external_data(list(places_outside(outline)), FOLDER, None)


def outline_target(data: bytes) -> None:
    """The scanner's glance. It is coarser than the parser: what the parser refuses it may let pass."""
    path = FOLDER / "model.onnx"
    path.write_bytes(data)
    outline_fault(path)


def manifest_target(data: bytes) -> None:
    """What is read can be written, and is the same again."""
    manifest = Manifest.from_bytes(data)
    assert Manifest.from_bytes(manifest.to_bytes()).to_bytes() == manifest.to_bytes()


def golden_target(data: bytes) -> None:
    path = FOLDER / "golden.npz"
    path.write_bytes(data)
    rows = read_golden(path, SIGNATURE)
    assert len(rows.inputs) == 1


def log_target(data: bytes) -> None:
    (FOLDER / ACTIVATIONS_FILE).write_bytes(data)
    read_log(FOLDER)


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "graph": graph_target,
        "outline": outline_target,
        "manifest": manifest_target,
        "golden": golden_target,
        "activation_log": log_target,
    }
)


def try_one(target: Callable[[bytes], None], data: bytes) -> bool:
    """Whether ``data`` was accepted. Raises whatever it should not have raised."""
    try:
        target(data)
    except RapideError as error:
        _check_message(error.message)
        return False
    except FieldError as error:
        _check_message(str(error))
        return False
    return True


def _check_message(message: str) -> None:
    assert message, "an error must say what is wrong"
    assert len(message) < 2000, "an error must not repeat the file that caused it"
    message.encode()  # what cannot be logged is no reason


def seeds() -> dict[str, list[bytes]]:
    """Good files for each target, and hostile ones of a useful size."""
    graphs = [
        getattr(models, name)().SerializeToString() for name in ("linear", "slow", "everything", "recurrent")
    ]
    graphs.append(models.external("weights.bin").SerializeToString())
    rows = np.ones((2, 2), np.float32)
    page = Path(__file__).parents[2] / "docs" / "reference" / "manifest.md"
    blocks = [block.partition("```")[0].encode() for block in page.read_text().split("```json\n")[1:]]
    return {
        "graph": [*graphs, *_hostile()],
        "outline": [*graphs, *_hostile()],
        "manifest": blocks[:1],
        "golden": [
            golden_rows({"x": rows}, {"y": rows}),
            golden_rows({"x": rows.astype(np.float64)}, {"y": rows}),
        ],
        "activation_log": [blocks[-1], blocks[-1] * 3],
    }


def _hostile() -> list[bytes]:
    found = []
    for attack in ATTACKS:
        with tempfile.TemporaryDirectory() as name:
            attack.write(Path(name))
            content = (Path(name) / "model.onnx").read_bytes()
            if len(content) <= _SEED_BYTES:
                found.append(content)
    return found


def targets() -> list[Target]:
    """All of them, for the campaign."""
    good = seeds()
    return [Target(name, partial(try_one, target), good[name]) for name, target in TARGETS.items()]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, targets()))
