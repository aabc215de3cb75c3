"""Tensors that are no ordinary table: scalars, no rows, no columns, many of both."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.clients import Call, Client, Tensor, every_client
from tests.conformance.target import Target
from tests.conformance.test_datatypes import assert_same


def ask(target: Target, client: Client, model: str, array: np.ndarray) -> np.ndarray:
    call = Call(model, [Tensor("x", "FP32", array)], ["y"])
    return client.infer(target, call).outputs["y"]


@every_client
@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0), (1, 1), (500, 40)], ids=str)
def test_a_shape_comes_back(target: Target, client: Client, shape: tuple[int, int]) -> None:
    sent = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert_same(ask(target, client, "identity_fp32", sent), sent)


@every_client
def test_a_scalar_has_no_dimension(target: Target, client: Client) -> None:
    assert_same(ask(target, client, "scalar", np.array(2.5, np.float32)), np.array(3.5, np.float32))


@every_client
def test_a_model_without_a_batch_dimension_answers(target: Target, client: Client) -> None:
    sent = np.array([1.0, 2.0, 3.0], np.float32)
    assert_same(ask(target, client, "no_batch_dimension", sent), 2 * sent)


@every_client
def test_no_rows_of_text(target: Target, client: Client) -> None:
    sent = np.empty((0, 2), dtype=object)
    call = Call("identity_bytes", [Tensor("x", "BYTES", sent)], ["y"])
    assert_same(client.infer(target, call).outputs["y"], sent)
