from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from rapide.loadtests.payloads import DTYPES, Input, Payload, random_payloads, recorded_payloads

AGE = Input("age", "FP32", (-1, 2))
FUEL = Input("fuel", "BYTES", (-1, 1))


def payload() -> Payload:
    ages = np.array([[1.5, 2.0], [3.0, 4.0]], dtype="<f4")
    fuels = np.array([[b"diesel"], [b""]], dtype=object)
    return Payload("cars", "", (AGE, FUEL), (ages, fuels))


def test_json_holds_every_value() -> None:
    assert json.loads(payload().to_json()) == {
        "inputs": [
            {"name": "age", "datatype": "FP32", "shape": [2, 2], "data": [1.5, 2.0, 3.0, 4.0]},
            {"name": "fuel", "datatype": "BYTES", "shape": [2, 1], "data": ["diesel", ""]},
        ]
    }


def test_binary_puts_the_tensors_behind_the_json() -> None:
    body, length = payload().to_binary()
    head = json.loads(body[:length])
    ages, fuels = struct.pack("<4f", 1.5, 2, 3, 4), b"\x06\x00\x00\x00diesel\x00\x00\x00\x00"
    assert body[length:] == ages + fuels
    assert [tensor["parameters"] for tensor in head["inputs"]] == [
        {"binary_data_size": len(ages)},
        {"binary_data_size": len(fuels)},
    ]
    assert head["parameters"] == {"binary_data_output": True}


def test_protobuf_is_in_raw_form() -> None:
    request = payload().to_protobuf()
    assert request.model_name == "cars"
    assert [(item.name, item.datatype, list(item.shape)) for item in request.inputs] == [
        ("age", "FP32", [2, 2]),
        ("fuel", "BYTES", [2, 1]),
    ]
    assert request.raw_input_contents[0] == struct.pack("<4f", 1.5, 2, 3, 4)


def test_a_version_is_asked_for_by_path() -> None:
    assert payload().path == "/v2/models/cars/infer"
    assert Payload("cars", "3", (), ()).path == "/v2/models/cars/versions/3/infer"


@pytest.mark.parametrize("datatype", DTYPES)
def test_values_are_drawn_for_every_datatype(datatype: str) -> None:
    spec = Input("x", datatype, (-1, 3, -1))
    first, second = (next(random_payloads("m", "", [spec], rows=5, seed=seed)) for seed in (1, 1))
    assert first.arrays[0].shape == (5, 3, 8)
    assert first.rows == 5
    assert first.arrays[0].dtype == np.dtype(DTYPES[datatype])
    assert first.to_json() == second.to_json()


def test_payloads_differ_and_come_round_again() -> None:
    made = random_payloads("m", "", [AGE], rows=1, count=3)
    bodies = [next(made).to_json() for _ in range(6)]
    assert len(set(bodies)) == 3
    assert bodies[:3] == bodies[3:]


def test_bf16_asks_for_recorded_rows() -> None:
    with pytest.raises(ValueError, match="give recorded rows"):
        random_payloads("m", "", [Input("x", "BF16", (-1,))], rows=1)


def test_recorded_rows_are_sent_in_order(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, age=np.arange(10.0).reshape(5, 2), fuel=np.array([["a"], ["b"], ["c"], ["d"], ["e"]]))
    made = recorded_payloads("m", "", [AGE, FUEL], 2, path)
    ages = [next(made).arrays[0].reshape(-1).tolist() for _ in range(3)]
    assert ages == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]
    assert b"c" in next(made).to_json()


def test_golden_rows_are_found_among_the_golden_answers(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    halves = np.array([[b"ab"], [b"cd"]], dtype="V2")
    np.savez(path, **{"input:x": halves, "output:x": np.zeros((2, 1))})
    made = recorded_payloads("m", "", [Input("x", "BF16", (-1, 1))], 1, path)
    assert [next(made).to_protobuf().raw_input_contents[0] for _ in range(2)] == [b"ab", b"cd"]


def test_recorded_rows_must_fit_the_model(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, age=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no array for input 'fuel'; it has age"):
        recorded_payloads("m", "", [AGE, FUEL], 1, path)
    with pytest.raises(ValueError, match="has 2 rows, and a request takes 3"):
        recorded_payloads("m", "", [AGE], 3, path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00cut", b"{}"])
def test_recorded_rows_in_a_file_that_is_none_are_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"rows\.npz is no \.npz file, or a damaged one"):
        recorded_payloads("m", "", [AGE], 1, path)
    np.save(tmp_path / "rows.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"rows\.npy is no \.npz file"):
        recorded_payloads("m", "", [AGE], 1, tmp_path / "rows.npy")


def test_a_request_may_be_empty(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", age=np.zeros((2, 2)))
    assert next(recorded_payloads("m", "", [AGE], 0, tmp_path / "rows.npz")).arrays[0].shape == (0, 2)


def test_more_rows_than_memory_are_not_drawn() -> None:
    with pytest.raises(ValueError, match="1,000,000,000 rows are 2,000,000,000 values of input 'age'"):
        random_payloads("m", "", [AGE], rows=10**9)
