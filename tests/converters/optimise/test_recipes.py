"""Recipes on a trained network: what each makes of it, and when it says that it has nothing to do."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from rapide.converters.graph_gate import read_graph
from rapide.converters.optimise.cleanup import clean
from rapide.converters.optimise.contract import Bench, Made, NotApplicable
from rapide.converters.optimise.loss import losses
from rapide.converters.optimise.measures import DEFAULT_LIMITS
from rapide.converters.optimise.recipes import RECIPES
from rapide.converters.optimise.traits import Traits
from rapide.server.signature import Signature
from tests import models
from tests.models import build, port
from tests.versions import signature_of

VNNI = frozenset({"avx2", "avx512_vnni"})
OPTIONS = {recipe.name: recipe for recipe in RECIPES}


def bench_of(model: onnx.ModelProto, rows: dict[str, Any], folder: Path, **more: Any) -> Bench:
    signature: Signature = signature_of(model)
    cleaned, facts = clean(model, [spec.name for spec in signature.outputs], folder)
    bench = Bench(model, cleaned, facts, Traits.of(cleaned), signature, rows, folder, VNNI, DEFAULT_LIMITS)
    return replace(bench, **more)


@pytest.fixture
def bench(repository: Path, digits: tuple[Any, Any], tmp_path: Path) -> Bench:
    model = onnx.load_model(repository / "models" / "subject" / "1" / "model.onnx")
    return bench_of(model, {"features": digits[0].to_numpy(np.float32)[1:400:2]}, tmp_path)


def make(name: str, bench: Bench) -> Made:
    recipe = OPTIONS[name]
    made: Made = importlib.import_module(recipe.module).make(bench, **recipe.options)
    path = bench.folder / "made.onnx"
    path.write_bytes(made.model.SerializeToString())
    read_graph(path)
    return made


def answers(model: onnx.ModelProto, bench: Bench, rows: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [spec.name for spec in bench.signature.outputs]
    return dict(zip(names, session.run(names, rows), strict=True))


@pytest.mark.parametrize(
    ("name", "operator", "smaller"),
    [
        ("fp16", "Cast", 0.6),
        ("bf16", "Cast", 0.6),
        ("int8", "MatMulInteger", 0.4),
        ("int8-minmax", "QuantizeLinear", 0.4),
        ("int8-entropy", "QuantizeLinear", 0.4),
        ("int8-percentile", "QuantizeLinear", 0.4),
        ("offline", "", 1.2),
    ],
)
def test_a_variant_is_near_and_of_the_size_that_its_numbers_have(
    bench: Bench, digits: tuple[Any, Any], name: str, operator: str, smaller: float
) -> None:
    made = make(name, bench)
    rows = {"features": digits[0].to_numpy(np.float32)[401::2]}
    found = losses(answers(bench.original, bench, rows), answers(made.model, bench, rows))
    assert {loss.measure for loss in found} == {"flips", "probability"}
    assert all(loss.loss <= 2 * DEFAULT_LIMITS[loss.measure] for loss in found), found
    assert made.model.ByteSize() < smaller * bench.clean.ByteSize()
    assert not operator or operator in {node.op_type for node in made.model.graph.node}


def test_without_vnni_weights_get_seven_bits(bench: Bench) -> None:
    made = make("int8", replace(bench, flags=frozenset({"avx2"})))
    assert (made.options["weight_bits"], made.needs_cpu) == (7, ())
    most = max(
        int(np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max())
        for tensor in made.model.graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 2
    )
    assert most <= 64
    made = make("int8", bench)
    assert (made.options["weight_bits"], made.needs_cpu) == (8, ("avx512_vnni|avx_vnni|amx_int8|asimddp",))


def test_static_ranges_are_fused_into_int8_kernels(bench: Bench) -> None:
    note = make("int8-percentile", bench).note
    left, made = (int(word) for word in note.split() if word.isdigit() and word != "8")
    assert left < made / 2, note


def test_layers_that_int8_hurts_stay_float(tmp_path: Path) -> None:
    """The second of three layers reads one number that dwarfs the others and hardly counts: their steps get
    coarse."""
    generator = np.random.default_rng(0)
    weights = {name: generator.normal(size=(16, 16)).astype(np.float32) for name in "abc"}
    weights["scale"] = np.array([1e4] + [1.0] * 15, np.float32)
    weights["b"][0] = 1e-6
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Mul", ["h", "scale"], ["wide"]),
        helper.make_node("MatMul", ["wide", "b"], ["i"]),
        helper.make_node("Tanh", ["i"], ["j"]),
        helper.make_node("MatMul", ["j", "c"], ["y"]),
    ]
    shape = ("N", 16)
    model = build(nodes, [port("x", TensorProto.FLOAT, shape)], [port("y", TensorProto.FLOAT, shape)], weights)
    rows = {"x": generator.normal(size=(64, 16)).astype(np.float32)}
    made = make("int8", bench_of(model, rows, tmp_path, max_loss=dict.fromkeys(DEFAULT_LIMITS, 0.01)))
    assert (made.options["float_layers"], made.options["layers"]) == (1, 3)
    kinds = Counter(node.op_type for node in made.model.graph.node)
    assert kinds["MatMulInteger"] == 2
    (left,) = (node for node in made.model.graph.node if node.op_type == "MatMul")
    assert left.input[1] == "b"


def forest() -> onnx.ModelProto:
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0],
    )  # fmt: skip
    return build([node], [port("x", TensorProto.FLOAT, ("N", 4))], [port("y", TensorProto.FLOAT, ("N", 1))])


@pytest.mark.parametrize(
    ("name", "model", "why"),
    [
        ("clean", models.linear(), "nothing to clean up"),
        ("fp16", models.linear(), "take 0 kB: there is nothing to save"),
        ("int8", forest(), "no int8 kernel for trees"),
        ("int8-minmax", forest(), "no int8 kernel for trees"),
        ("int4-weights", forest(), "no int8 kernel for trees"),
        ("int8", models.classifier(), "no matrix product, convolution or recurrent layer"),
        ("int8-gather", models.linear(), "no embedding table"),
        ("int8-weights", models.linear(), "for large matrix products"),
    ],
)
def test_what_a_recipe_has_nothing_to_do_for(name: str, model: onnx.ModelProto, why: str, tmp_path: Path) -> None:
    rows = {"x": np.ones((4, int(model.graph.input[0].type.tensor_type.shape.dim[1].dim_value)), np.float32)}
    with pytest.raises(NotApplicable, match=why):
        make(name, bench_of(model, rows, tmp_path))


def test_numbers_beyond_a_formats_range_are_not_stored_in_it(tmp_path: Path) -> None:
    weights = {"w": np.full((40_000,), 1e30, np.float32)}
    shape = ("N", 40_000)
    model = build(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [port("x", TensorProto.FLOAT, shape)],
        [port("y", TensorProto.FLOAT, shape)],
        weights,
    )
    bench = bench_of(model, {"x": np.zeros((1, 40_000), np.float32)}, tmp_path)
    with pytest.raises(NotApplicable, match="'w' holds numbers beyond float16's range"):
        make("fp16", bench)
    assert make("bf16", bench).options == {"stored": "bfloat16"}


@pytest.mark.parametrize("bits", [8, 4])
def test_weight_only_kernels(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("onnx_ir", reason="the quantiser of onnxruntime needs it")
    generator = np.random.default_rng(0)
    model = build(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        [port("x", TensorProto.FLOAT, ("N", 256))],
        [port("y", TensorProto.FLOAT, ("N", 256))],
        {"w": generator.normal(size=(256, 256)).astype(np.float32), "b": np.ones(256, np.float32)},
    )
    rows = {"x": generator.normal(size=(8, 256)).astype(np.float32)}
    bench = bench_of(model, rows, tmp_path)
    made = make(f"int{bits}-weights", bench)
    assert "MatMulNBits" in {node.op_type for node in made.model.graph.node}
    (loss,) = losses(answers(model, bench, rows), answers(made.model, bench, rows))
    assert loss.loss < (0.001 if bits == 8 else 0.05)
