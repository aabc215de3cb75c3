"""The bounds of a graph: each hostile model is refused for its reason, in bounded time and memory; no other is."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from rapide.server.errors import BrokenVersion
from rapide.server.model.element_types import BITS
from rapide.server.model.external_data import check_external_data
from rapide.server.model.graph_rules import check_graph, places_outside, read_outline
from tests import models
from tests.hostile_models import ATTACKS, IN_THE_RUNTIME, Attack

MOST_S = 10.0
MOST_BYTES = 64 << 20
"""Of Python's own objects, for a file of at most 10 MB."""


def check(content: bytes, folder: Path) -> None:
    outline = read_outline(content)
    check_graph(outline)
    check_external_data(list(places_outside(outline)), folder, None)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_refused(tmp_path: Path, attack: Attack) -> None:
    attack.write(tmp_path)
    content = (tmp_path / "model.onnx").read_bytes()
    tracemalloc.start()
    begun_s = time.process_time()
    with pytest.raises(BrokenVersion, match=attack.says):
        check(content, tmp_path)
    took_s = time.process_time() - begun_s
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took_s < MOST_S
    assert peak_bytes < MOST_BYTES


@pytest.mark.parametrize("attack", IN_THE_RUNTIME, ids=lambda attack: attack.name)
def test_what_only_running_shows_is_left_to_it(tmp_path: Path, attack: Attack) -> None:
    attack.write(tmp_path)
    check((tmp_path / "model.onnx").read_bytes(), tmp_path)


WHOLESOME = {
    name: getattr(models, name)
    for name in (
        "linear",
        "everything",
        "classifier",
        "text_classifier",
        "mixed_columns",
        "two_inputs",
        "scalar",
        "sequence",
        "recurrent",
        "cross_row",
        "lookup",
        "slow",
    )
}


@pytest.mark.parametrize("name", WHOLESOME)
def test_wholesome(name: str) -> None:
    check_graph(read_outline(WHOLESOME[name]().SerializeToString()))


@pytest.mark.parametrize(
    ("kind", "count"),
    [(kind, count) for kind in BITS for count in (0, 1, 2, 3, 5)],
)
def test_every_element_type_is_counted_as_onnx_stores_it(kind: int, count: int) -> None:
    """In raw bytes and in typed fields, odd numbers of small elements too."""
    for raw in (False, True):
        values = [0] * count
        if raw:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
            bits = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}.get(kind, 8 * dtype.itemsize)
            tensor = TensorProto(name="w", dims=[count], data_type=kind, raw_data=bytes((bits * count + 7) // 8))
        else:
            tensor = helper.make_tensor("w", kind, [count], values)
        graph = helper.make_graph([], "g", [], [], [tensor])
        check_graph(read_outline(helper.make_model(graph).SerializeToString()))


def test_onnx_own_message_is_held_to_the_same_rules() -> None:
    assert (
        check_graph(models.slow()).to_json()
        == check_graph(read_outline(models.slow().SerializeToString())).to_json()
    )


@given(st.binary(max_size=200), st.integers(0, 200))
def test_garbage_is_refused_or_harmless(garbage: bytes, cut: int) -> None:
    model = models.slow().SerializeToString()
    for data in (garbage, model[: len(model) - cut], model[:cut] + garbage + model[cut:]):
        with contextlib.suppress(BrokenVersion):
            check_graph(read_outline(data))
