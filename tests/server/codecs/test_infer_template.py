"""The fast way of reading and writing ModelInfer messages says exactly what the general way says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rapide.proto import open_inference_pb2 as pb
from rapide.server.codecs import oip_protobuf
from rapide.server.codecs.infer_template import AnswerTemplate, InferTemplate, learn, varint
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, InferResponse, OutputTensor

FIXED = [datatype for datatype in DataType if datatype not in (DataType.BYTES, DataType.BOOL)]


def message(
    arrays: list[tuple[DataType, np.ndarray]],
    request_id: str = "",
    outputs: tuple[str, ...] = (),
    version: str = "",
) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(
        model_name="car-price",
        model_version=version,
        id=request_id,
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name=f"input-{index}", datatype=str(datatype), shape=array.shape)
            for index, (datatype, array) in enumerate(arrays)
        ],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[array.tobytes() for _, array in arrays],
    )


def template_of(given_message: pb.ModelInferRequest) -> InferTemplate | None:
    raw = given_message.SerializeToString()
    return learn(raw, given_message, oip_protobuf.decode_request(given_message))


@st.composite
def tensors(draw: st.DrawFn) -> list[tuple[DataType, np.ndarray]]:
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return [
        (
            datatype,
            np.frombuffer(draw(st.binary(min_size=size, max_size=size)), NUMPY_DTYPES[datatype]).reshape(shape),
        )
        for datatype, shape in draw(st.lists(st.tuples(st.sampled_from(FIXED), shapes), min_size=1, max_size=4))
        for size in [int(np.prod(shape, dtype=int)) * NUMPY_DTYPES[datatype].itemsize]
    ]


@given(
    first=tensors(),
    seed=st.randoms(use_true_random=False),
    first_id=st.text("ab-1", max_size=5),
    later_id=st.text("ab-1", max_size=130),
    outputs=st.sampled_from([(), ("label",), ("label", "probabilities")]),
    version=st.sampled_from(["", "3"]),
    before=st.binary(max_size=9),
)
def test_hot_and_general_way_read_the_same(first, seed, first_id, later_id, outputs, version, before) -> None:
    template = template_of(message(first, first_id, outputs, version))
    assert template is not None
    later = [
        (datatype, np.frombuffer(seed.randbytes(array.nbytes), array.dtype).reshape(array.shape))
        for datatype, array in first
    ]
    raw = message(later, later_id, outputs, version).SerializeToString()
    match = template.match(before + raw + b"behind", len(before), len(before) + len(raw))
    if len(later_id) > 127:
        assert match is None
        return
    assert match is not None
    request_id, position = match
    general = oip_protobuf.decode_request(pb.ModelInferRequest.FromString(raw))
    assert request_id.decode() == general.id
    arrays = template.arrays(before + raw, position)
    for array, tensor in zip(arrays, general.inputs, strict=True):
        assert array.dtype == tensor.array.dtype
        assert array.shape == tensor.array.shape
        assert array.tobytes() == tensor.array.tobytes()
        assert array.flags.aligned
        assert array.flags.c_contiguous


@given(first=tensors(), other=tensors(), cut=st.integers(0, 200), byte=st.integers(0, 255), at=st.integers(0, 400))
def test_what_matches_means_what_it_matches(first, other, cut, byte, at) -> None:
    """Another message, cut or damaged, either does not match or is read by the general way as by the hot one."""
    template = template_of(message(first, "id"))
    assert template is not None
    damaged = bytearray(message(first, "id").SerializeToString())
    if at < len(damaged):
        damaged[at] = byte
    for raw in (message(other, "id").SerializeToString(), bytes(damaged), bytes(damaged)[:cut]):
        match = template.match(raw, 0, len(raw))
        if match is None:
            continue
        general = oip_protobuf.decode_request(pb.ModelInferRequest.FromString(raw))
        assert general.id.encode() == match[0]
        assert general.model_name == "car-price"
        arrays = template.arrays(raw, match[1])
        assert [array.tobytes() for array in arrays] == [tensor.array.tobytes() for tensor in general.inputs]


ROW = np.ones((1, 3), np.float32)


def with_parameters(place: str) -> pb.ModelInferRequest:
    made = message([(DataType.FP32, ROW)], outputs=("label",))
    target = {"request": made, "input": made.inputs[0], "output": made.outputs[0]}[place]
    target.parameters["x"].int64_param = 1
    return made


def typed() -> pb.ModelInferRequest:
    made = message([(DataType.FP32, ROW)])
    del made.raw_input_contents[:]
    made.inputs[0].contents.fp32_contents.extend([1, 1, 1])
    return made


def text() -> pb.ModelInferRequest:
    made = message([(DataType.FP32, ROW)])
    made.inputs[0].datatype = "BYTES"
    made.inputs[0].shape[:] = [1]
    made.raw_input_contents[0] = b"\2\0\0\0ab"
    return made


@pytest.mark.parametrize(
    "unusual",
    [with_parameters("request"), with_parameters("input"), with_parameters("output"), typed(), text()],
    ids=["request parameter", "input parameter", "output parameter", "typed", "text"],
)
def test_the_unusual_has_no_template(unusual: pb.ModelInferRequest) -> None:
    assert template_of(unusual) is None


def test_fields_in_an_unusual_order_have_no_template() -> None:
    usual = message([(DataType.FP32, ROW)])
    raw = (
        pb.ModelInferRequest(inputs=usual.inputs).SerializeToString()
        + pb.ModelInferRequest(model_name="car-price").SerializeToString()
        + pb.ModelInferRequest(raw_input_contents=usual.raw_input_contents).SerializeToString()
    )
    assert learn(raw, usual, oip_protobuf.decode_request(usual)) is None


def test_an_id_that_is_no_text_does_not_match() -> None:
    template = template_of(message([(DataType.FP32, ROW)], "ab"))
    assert template is not None
    raw = message([(DataType.FP32, ROW)], "ab").SerializeToString().replace(b"\x1a\x02ab", b"\x1a\x02\xff\xfe")
    assert template.match(raw, 0, len(raw)) is None


@given(
    rows=st.integers(0, 300),
    row_shapes=st.lists(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5), min_size=1, max_size=3),
    datatypes=st.lists(st.sampled_from(FIXED), min_size=3, max_size=3),
    request_id=st.text("abc", max_size=127),
)
def test_answers_are_the_bytes_that_protobuf_writes(rows, row_shapes, datatypes, request_id) -> None:
    names = [
        (f"out-{index}", datatype) for index, datatype in zip(range(len(row_shapes)), datatypes, strict=False)
    ]
    outputs = [
        OutputTensor(name, datatype, np.zeros((rows, *shape), NUMPY_DTYPES[datatype]))
        for (name, datatype), shape in zip(names, row_shapes, strict=True)
    ]
    general = oip_protobuf.encode_response(InferResponse("car-price", "2", request_id, outputs))
    template = AnswerTemplate("car-price", "2", names, row_shapes)
    for _ in range(2):
        hot = template.encode(request_id.encode(), rows, [output.array.tobytes() for output in outputs])
        assert hot == general.SerializeToString()


@given(value=st.integers(0, 2**63))
def test_varints_are_protobufs(value: int) -> None:
    raw = pb.InferParameter(uint64_param=value).SerializeToString()
    assert varint(value) == raw[1:] if value else True
