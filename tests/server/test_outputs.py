"""Which outputs are wanted and in what form: chosen before the run, made after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rapide.server.codecs.parameters import Region
from rapide.server.errors import InvalidRequest
from rapide.server.outputs import Outputs, class_names
from rapide.server.repository.manifest import FileRecord, Manifest, Prediction
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import Array, OutputTensor, Parameter, RequestedOutput

SIGNATURE = Signature(
    inputs=(TensorSpec("x", DataType.FP32, (-1, 2)),),
    outputs=(
        TensorSpec("label", DataType.INT64, (-1,)),
        TensorSpec("probabilities", DataType.FP32, (-1, 3)),
        TensorSpec("name", DataType.BYTES, (-1,)),
    ),
    batchable=True,
)
ARRAYS: list[Array] = [
    np.array([2, 0]),
    np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], np.float32),
    np.array([b"large", b"small"], object),
]


def manifest(*predictions: Prediction) -> Manifest:
    files = {"model.onnx": FileRecord("0" * 64, 1)}
    return Manifest("m", 1, "2026-01-01T00:00:00Z", files, SIGNATURE, predictions=predictions)


SIZES = Prediction("size", "label", None, "integer", ("small", "middle", "large"))


def make(
    outputs: Outputs, *requested: RequestedOutput, written: dict[str, bytes] | None = None
) -> list[OutputTensor]:
    def write(region: Region, data: bytes | memoryview) -> None:
        assert written is not None, "nothing was to be written"
        written[region.name] = bytes(data)

    return outputs.make(outputs.choose(requested), ARRAYS, write)


def shown(outputs: list[OutputTensor]) -> list[tuple[str, str, Any]]:
    return [(output.name, str(output.datatype), output.array.tolist()) for output in outputs]


def test_all_outputs_in_the_models_order_where_none_is_asked_for() -> None:
    assert shown(make(Outputs(SIGNATURE, None))) == [
        ("label", "INT64", [2, 0]),
        ("probabilities", "FP32", ARRAYS[1].tolist()),
        ("name", "BYTES", [b"large", b"small"]),
    ]


def test_those_asked_for_in_the_order_asked_for() -> None:
    outputs = make(Outputs(SIGNATURE, None), RequestedOutput("name"), RequestedOutput("label"))

    assert [output.name for output in outputs] == ["name", "label"]


def test_an_unknown_output_is_told_with_those_that_exist() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Outputs(SIGNATURE, None).choose([RequestedOutput("lable")])

    assert str(caught.value) == (
        "unknown output 'lable'; did you mean 'label'?; the model has 'label', 'probabilities', 'name'"
    )


@pytest.mark.parametrize(
    ("classes", "with_names", "expected"),
    [
        (1, False, [[b"0.7:2"], [b"0.5:0"]]),
        (2, True, [[b"0.7:2:large", b"0.2:1:middle"], [b"0.5:0:small", b"0.3:1:middle"]]),
        (9, False, [[b"0.7:2", b"0.2:1", b"0.1:0"], [b"0.5:0", b"0.3:1", b"0.2:2"]]),
    ],
)
def test_the_best_classes_instead_of_the_tensor(
    classes: int, with_names: bool, expected: list[list[bytes]]
) -> None:
    outputs = Outputs(SIGNATURE, manifest(SIZES) if with_names else None)

    found = make(outputs, RequestedOutput("probabilities", {"classification": classes}))

    assert shown(found) == [("probabilities", "BYTES", expected)]


def test_text_has_no_best_classes_and_says_so_before_the_run() -> None:
    with pytest.raises(InvalidRequest, match="'name' is BYTES; classification needs numbers"):
        Outputs(SIGNATURE, None).choose([RequestedOutput("name", {"classification": 1})])


def test_an_output_may_go_to_shared_memory() -> None:
    written: dict[str, bytes] = {}
    where: dict[str, Parameter] = {
        "shared_memory_region": "r",
        "shared_memory_byte_size": 99,
        "shared_memory_offset": 8,
    }

    (output,) = make(Outputs(SIGNATURE, None), RequestedOutput("label", where), written=written)

    assert written == {"r": ARRAYS[0].tobytes()}
    assert output.parameters == where | {"shared_memory_byte_size": 16}


def test_classes_may_go_to_shared_memory() -> None:
    written: dict[str, bytes] = {}
    where: dict[str, Parameter] = {
        "shared_memory_region": "r",
        "shared_memory_byte_size": 99,
        "classification": 1,
    }

    (output,) = make(Outputs(SIGNATURE, None), RequestedOutput("probabilities", where), written=written)

    assert written == {"r": b"\x05\0\0\x000.7:2\x05\0\0\x000.5:0"}
    assert output.parameters == {"shared_memory_region": "r", "shared_memory_byte_size": 18}


OTHERS = Prediction("colour", "label", None, "integer", ("red", "green", "blue"))
TWO = Prediction("gone", "label", None, "boolean", ("no", "yes"))


@pytest.mark.parametrize(
    ("predictions", "named"),
    [((SIZES,), {"probabilities": SIZES.classes}), ((SIZES, OTHERS), {}), ((TWO,), {}), ((), {})],
    ids=["fits", "two fit", "another number", "none"],
)
def test_classes_are_named_where_the_manifest_leaves_no_doubt(
    predictions: tuple[Prediction, ...], named: dict[str, tuple[str, ...]]
) -> None:
    assert class_names(SIGNATURE, manifest(*predictions)) == named
