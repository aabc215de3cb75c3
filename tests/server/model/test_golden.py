"""Golden rows: read without trust, compared without mercy."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rapide.server.errors import BrokenVersion, Internal
from rapide.server.model import golden as golden_module
from rapide.server.model.closeness import Tolerance
from rapide.server.model.golden import DEFAULT_TOLERANCE, GoldenRows, read_golden, tolerance_of
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import Array
from tests.versions import golden_rows

SIGNATURE = Signature(
    (TensorSpec("x", DataType.FP32, (-1, 2)),), (TensorSpec("y", DataType.FP32, (-1, 2)),), batchable=True
)
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
TIGHT = Tolerance(1e-3, 1e-6)


def doubled(arrays: list[Array]) -> list[Array]:
    return [arrays[0] * 2]


def written(path: Path, content: bytes) -> Path:
    file = path / "golden.npz"
    file.write_bytes(content)
    return file


def test_right_answers_pass() -> None:
    GoldenRows([ROWS], {"y": ROWS * 2}).check(doubled, SIGNATURE, TIGHT)
    GoldenRows([ROWS], {}).check(doubled, SIGNATURE, TIGHT)


def test_wrong_answers_are_located() -> None:
    expected = ROWS * 2
    expected[1, 1] = 7
    with pytest.raises(BrokenVersion, match=r"output 'y' of its golden rows has 6.0 instead of 7.0 at \[1, 1\]"):
        GoldenRows([ROWS], {"y": expected}).check(doubled, SIGNATURE, TIGHT)


def test_a_promise_of_independent_rows_is_tried() -> None:
    def centred(arrays: list[Array]) -> list[Array]:
        return [arrays[0] - arrays[0].mean(axis=0)]

    golden = GoldenRows([ROWS], {"y": ROWS - ROWS.mean(axis=0)})
    with pytest.raises(BrokenVersion, match="output 'y'"):
        golden.check(centred, SIGNATURE, TIGHT)
    golden.check(centred, Signature(SIGNATURE.inputs, SIGNATURE.outputs, batchable=False), TIGHT)


def test_a_model_that_fails_on_its_golden_rows_is_broken() -> None:
    def failing(_: list[Array]) -> list[Array]:
        raise Internal("the model failed") from ValueError("Reshape: 8 elements into 7")

    with pytest.raises(BrokenVersion, match="fails on its own golden rows: Reshape: 8 elements into 7"):
        GoldenRows([ROWS], {"y": ROWS}).check(failing, SIGNATURE, TIGHT)


@pytest.mark.parametrize(
    ("datatype", "stored", "restored"),
    [
        (DataType.FP32, np.array([1.5]), np.array([1.5], np.float32)),
        (DataType.INT64, np.array([3], np.int32), np.array([3], np.int64)),
        (DataType.BYTES, np.array(["é", ""]), np.array(["é".encode(), b""], object)),
        (DataType.BYTES, np.array([b"a", b""]), np.array([b"a", b""], object)),
        (DataType.BF16, np.array([1.5], ml_dtypes.bfloat16), np.array([1.5], ml_dtypes.bfloat16)),
        (DataType.FP16, np.array([1.5], np.float16), np.array([1.5], np.float16)),
        (DataType.BOOL, np.array([True]), np.array([True])),
        (DataType.FP32, np.array(1.5), np.array(1.5, np.float32)),
    ],
)
def test_datatypes_survive_the_file(tmp_path: Path, datatype: DataType, stored: Any, restored: Array) -> None:
    spec = TensorSpec("x", datatype, (-1,))
    signature = Signature((spec,), (TensorSpec("y", datatype, (-1,)),), batchable=True)
    golden = read_golden(written(tmp_path, golden_rows({"x": stored}, {"y": stored})), signature)
    for found in (golden.inputs[0], golden.outputs["y"]):
        assert (found.dtype, found.shape) == (restored.dtype, restored.shape)
        assert (found == restored).all()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"no zip at all", "cannot be read"),
        (golden_rows({"z": ROWS}, {"y": ROWS}), "has no array"),
        (golden_rows({"x": ROWS}, {"z": ROWS}), "holds no answers"),
        (golden_rows({"x": np.array(["text"])}, {"y": ROWS}), "'x' is <U4, but should be FP32"),
        (golden_rows({"x": np.array([{}], dtype=object)}, {"y": ROWS}), "cannot be read.*[Pp]ickle"),
    ],
    ids=["garbage", "missing input", "no outputs", "wrong type", "pickle"],
)
def test_what_cannot_be_read_is_broken(tmp_path: Path, content: bytes, fault: str) -> None:
    with pytest.raises(BrokenVersion, match=fault):
        read_golden(written(tmp_path, content), SIGNATURE)


def archive(name: str, content: bytes, **how: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **how) as out:
        out.writestr(name, content)
    return file.getvalue()


def claimed(shape: str, dtype: str = "<f4", data: bytes = bytes(24)) -> bytes:
    """An array whose header says what it likes."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(
            archive("input:x.npy", claimed("(1099511627776, 4)")), "claims .* of float32 in", id="huge shape"
        ),
        pytest.param(
            archive("input:x.npy", claimed("(3,)", "<U10000000")), "claims .* of <U10000000 in", id="text"
        ),
        pytest.param(archive("input:x.npy", claimed("(-3, -2)")), "claims|cannot be read", id="negative"),
        pytest.param(archive("input:x.npy", claimed("(3,)", "|O")), "it holds a pickle", id="a pickle inside"),
        pytest.param(archive("input:x.npy", claimed("(" * 3000)), "cannot be read", id="nested header"),
        pytest.param(archive("input:x.npy", claimed("-" * 9000 + "1")), "cannot be read", id="deep header"),
        pytest.param(
            archive("input:x.npy", claimed("(6,)"), compression=zipfile.ZIP_LZMA), "in a way that numpy", id="lzma"
        ),
        pytest.param(
            archive("input:x.npy", bytes(300 << 20), compression=zipfile.ZIP_DEFLATED),
            "unpacks to more",
            id="zip bomb",
        ),
    ],
)
def test_what_is_claimed_is_not_believed(tmp_path: Path, content: bytes, fault: str) -> None:
    with pytest.raises(BrokenVersion, match=fault):
        read_golden(written(tmp_path, content), SIGNATURE)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden_module, "MAX_GOLDEN_BYTES", 1000)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("input:x.npy", b"\0" * 100_000)
    with pytest.raises(BrokenVersion, match="unpacks to more than 1000 bytes"):
        read_golden(written(tmp_path, file.getvalue()), SIGNATURE)


@pytest.mark.parametrize(
    ("parity", "tolerance"),
    [
        ({}, DEFAULT_TOLERANCE),
        ({"tolerance": {"relative": 1e-2}}, Tolerance(1e-2, DEFAULT_TOLERANCE.absolute)),
        ({"tolerance": {"relative": 0, "absolute": 0.5}}, Tolerance(0.0, 0.5)),
    ],
)
def test_tolerance(parity: dict[str, Any], tolerance: Tolerance) -> None:
    assert tolerance_of(parity) == tolerance


@pytest.mark.parametrize("stated", [0.1, {"relative": "much"}, {"absolute": None}])
def test_a_tolerance_that_is_nonsense_is_broken(stated: object) -> None:
    with pytest.raises(BrokenVersion, match="parity tolerance is"):
        tolerance_of({"tolerance": stated})
