"""Weights outside the model file: found wherever they hide, refused wherever they lead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rapide.server.errors import BrokenVersion
from rapide.server.model.external_data import ExternalData, check_external_data
from rapide.server.model.graph_rules import places_outside, read_outline
from tests import models

WEIGHTS = models.LINEAR_WEIGHTS.tobytes()


def external_data(model: bytes) -> list[ExternalData]:
    return list(places_outside(read_outline(model)))


def outside(location: str) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def graph_with(tensor: onnx.TensorProto) -> onnx.GraphProto:
    return helper.make_graph([], "inner", [], [], [tensor])


def model_of(graph: onnx.GraphProto, **fields: object) -> bytes:
    return helper.make_model(graph, **fields).SerializeToString()


def in_initializer(tensor: onnx.TensorProto) -> bytes:
    return model_of(graph_with(tensor))


def in_constant(tensor: onnx.TensorProto) -> bytes:
    return model_of(helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "g", [], []))


def in_subgraph(tensor: onnx.TensorProto) -> bytes:
    node = helper.make_node("If", ["x"], ["y"], then_branch=graph_with(tensor), else_branch=graph_with(tensor))
    return model_of(helper.make_graph([node], "g", [], []))


def in_function(tensor: onnx.TensorProto) -> bytes:
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    function = helper.make_function("local", "f", [], ["c"], [constant], [helper.make_opsetid("", 20)])
    return model_of(helper.make_graph([], "g", [], []), functions=[function])


def in_sparse_initializer(tensor: onnx.TensorProto) -> bytes:
    indices = numpy_helper.from_array(np.arange(4), "indices")
    sparse = helper.make_sparse_tensor(tensor, indices, [8])
    return model_of(helper.make_graph([], "g", [], [], sparse_initializer=[sparse]))


def in_training_info(tensor: onnx.TensorProto) -> bytes:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    model.training_info.add().algorithm.CopyFrom(graph_with(tensor))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "hide",
    [in_initializer, in_constant, in_subgraph, in_function, in_sparse_initializer, in_training_info],
    ids=lambda hide: hide.__name__,
)
def test_found_wherever_it_hides(hide) -> None:  # type: ignore[no-untyped-def]
    places = external_data(hide(outside("../../etc/shadow")))
    assert places
    assert set(places) == {ExternalData("../../etc/shadow", length=16)}, "four floats"


def test_offset_and_length_are_read() -> None:
    model = models.external("weights.bin", 48)
    assert external_data(model.SerializeToString()) == [ExternalData("weights.bin", 0, 48)]


def test_a_model_without_external_data_has_none_even_if_it_mentions_a_location() -> None:
    assert external_data(models.linear().SerializeToString()) == []
    named = models.linear()
    named.doc_string = "by location"
    assert external_data(named.SerializeToString()) == []


@pytest.mark.parametrize(
    ("location", "fault"),
    [
        ("/etc/passwd", "may lead out of its folder"),
        ("../other/weights.bin", "may lead out of its folder"),
        ("sub/../../weights.bin", "may lead out of its folder"),
        ("sub/./weights.bin", "may lead out of its folder"),
        ("..\\weights.bin", "may lead out of its folder"),
        ("", "may lead out of its folder"),
        ("missing.bin", "No such file"),
        ("link.bin", "is a link"),
        ("linked/weights.bin", "is a link"),
        ("sub", "no regular file"),
        ("short.bin", "up to byte 48, but the file has 47"),
    ],
)
def test_refused_wherever_it_leads(tmp_path: Path, location: str, fault: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "weights.bin").write_bytes(WEIGHTS)
    (tmp_path / "short.bin").write_bytes(WEIGHTS[:47])
    (tmp_path / "link.bin").symlink_to(tmp_path / "sub" / "weights.bin")
    (tmp_path / "linked").symlink_to(tmp_path / "sub")
    places = external_data(models.external(location).SerializeToString())
    with pytest.raises(BrokenVersion, match=fault):
        check_external_data(places, tmp_path, None)


def test_a_file_in_the_folder_will_do_if_the_manifest_lists_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "weights.bin").write_bytes(WEIGHTS)
    places = external_data(models.external("sub/weights.bin").SerializeToString())
    check_external_data(places, tmp_path, None)
    check_external_data(places, tmp_path, {"model.onnx", "sub/weights.bin"})
    with pytest.raises(BrokenVersion, match="its manifest does not list"):
        check_external_data(places, tmp_path, {"model.onnx"})


@pytest.mark.parametrize(
    ("offset", "length"), [("-1", "4"), ("44", "-4"), ("nonsense", "4"), ("0", "99999999999999999999")]
)
def test_impossible_ranges_are_refused(tmp_path: Path, offset: str, length: str) -> None:
    (tmp_path / "weights.bin").write_bytes(WEIGHTS)
    tensor = outside("weights.bin")
    tensor.external_data.add(key="offset", value=offset)
    tensor.external_data.add(key="length", value=length)
    with pytest.raises(BrokenVersion):
        check_external_data(external_data(in_initializer(tensor)), tmp_path, None)


def test_a_graph_nested_too_deep_is_refused() -> None:
    """Made of bytes: protobuf's own writer refuses it, too."""

    def message(number: int, content: bytes) -> bytes:
        length = len(content)
        size = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
        return bytes([number << 3 | 2]) + size + content

    graph = graph_with(outside("weights.bin")).SerializeToString()
    for _ in range(40):
        graph = message(1, message(5, message(6, graph)))  # a node's attribute is a graph
    with pytest.raises(BrokenVersion, match="no ONNX model, or damaged"):
        external_data(message(7, graph))


@given(st.binary(max_size=200), st.integers(0, 200))
def test_garbage_is_refused_or_harmless(garbage: bytes, cut: int) -> None:
    model = in_subgraph(outside("weights.bin"))
    for data in (garbage + b"location", model[: len(model) - cut], model[:cut] + garbage + model[cut:]):
        try:
            places = external_data(data)
        except BrokenVersion:
            continue
        assert all(isinstance(place, ExternalData) for place in places)
