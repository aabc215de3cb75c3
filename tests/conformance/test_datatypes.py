"""Every datatype through every client, there and back, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.conformance.clients import (
    CLIENTS,
    DTYPES,
    NO_JSON,
    TYPED_FIELDS,
    Array,
    Call,
    Client,
    Tensor,
)
from tests.conformance.target import Target


def _integers(datatype: str) -> Array:
    bounds = np.iinfo(DTYPES[datatype])
    return np.array([[bounds.min, bounds.max], [0, 1]], dtype=DTYPES[datatype])


def _floats(datatype: str) -> Array:
    # Largest, smallest subnormal, negative zero, and a value that decimal notation cannot hold exactly.
    largest = {"FP16": 65504.0, "BF16": 3.3895314e38, "FP32": 3.4028235e38, "FP64": 1.7976931348623157e308}
    smallest = {"FP16": 6e-8, "BF16": 9.2e-41, "FP32": 1e-45, "FP64": 5e-324}
    values = [[largest[datatype], smallest[datatype], -0.0], [1 / 3, -1.5, 1e-3]]
    return np.array(values).astype(DTYPES[datatype])


def _texts(values: list[list[bytes]]) -> Array:
    return np.array(values, dtype=object)


VALUES: Mapping[str, Array] = {
    "BOOL": np.array([[True, False], [False, True]]),
    **{name: _integers(name) for name in DTYPES if "INT" in name},
    **{name: _floats(name) for name in ("FP16", "BF16", "FP32", "FP64")},
    "BYTES": _texts([[b"", b"diesel"], ["Škoda 東 🚗".encode(), b"x" * 1000]]),
}
CARRY_ALL = [client for client in CLIENTS if client.carries_all]
PAIRS = [
    pytest.param(client, datatype, id=f"{client.name}-{datatype}")
    for client in CLIENTS
    for datatype in DTYPES
    if client.carries_all or datatype not in NO_JSON
]


def assert_same(found: Array, sent: Array) -> None:
    """Equal shape, datatype and bits (a NaN is a NaN, −0 is not 0)."""
    assert found.shape == sent.shape
    if sent.dtype == object:
        assert [_bytes(item) for item in found.reshape(-1)] == sent.reshape(-1).tolist()
    else:
        assert found.dtype == sent.dtype
        assert found.tobytes() == sent.tobytes()


def _bytes(item: Any) -> bytes:
    return item.encode() if isinstance(item, str) else bytes(item)


def echo(target: Target, client: Client, datatype: str, array: Array) -> Array:
    call = Call(f"identity_{datatype.lower()}", [Tensor("x", datatype, array)], ["y"])
    return client.infer(target, call).outputs["y"]


@pytest.mark.parametrize(("client", "datatype"), PAIRS)
def test_values_come_back(target: Target, client: Client, datatype: str) -> None:
    assert_same(echo(target, client, datatype, VALUES[datatype]), VALUES[datatype])


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
@pytest.mark.parametrize("name", ["triton-http-binary", "triton-grpc", "stub-raw"])
def test_binary_forms_carry_what_json_cannot(target: Target, name: str, datatype: str) -> None:
    client = next(client for client in CLIENTS if client.name == name)
    sent = np.array([[np.nan, np.inf, -np.inf]]).astype(DTYPES[datatype])
    assert_same(echo(target, client, datatype, sent), sent)


@pytest.mark.parametrize("client", CARRY_ALL, ids=lambda client: client.name)
def test_datatypes_mix_in_one_request(target: Target, client: Client) -> None:
    """All but BF16, which ONNX Runtime's Python interface cannot combine with text."""
    sent = {name: _two_columns(values) for name, values in VALUES.items() if name != "BF16"}
    tensors = [Tensor(f"in_{name}", name, values) for name, values in sent.items()]
    outputs = client.infer(target, Call("everything", tensors, [f"out_{name}" for name in sent])).outputs
    for name, values in sent.items():
        assert_same(outputs[f"out_{name}"], values)


def _two_columns(array: Array) -> Array:
    return np.ascontiguousarray(array[:, :2])


def test_the_typed_form_covers_every_datatype_that_has_one() -> None:
    assert TYPED_FIELDS.keys() | NO_JSON == DTYPES.keys()
