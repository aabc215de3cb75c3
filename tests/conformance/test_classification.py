"""The classification extension: the best k classes instead of a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.conformance.target import Target

pytestmark = pytest.mark.extension("classification")
SCORES = np.array([[0.0, 2.0], [3.0, 1.0]], np.float32)


@pytest.mark.parametrize("library", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def test_the_best_classes_come_first(target: Target, library: Any) -> None:
    address = target.host_port if library is tritonclient.http else target.need_grpc()
    with library.InferenceServerClient(address) as client:
        tensor = library.InferInput("x", [2, 2], "FP32")
        tensor.set_data_from_numpy(SCORES)
        wanted = [library.InferRequestedOutput("probabilities", class_count=2)]
        found = client.infer("classifier", [tensor], outputs=wanted).as_numpy("probabilities")
    ranks = [[int(item.decode().split(":")[1]) for item in row] for row in found]
    assert ranks == [[1, 0], [0, 1]]
    values = [[float(item.decode().split(":")[0]) for item in row] for row in found]
    assert values[0] == sorted(values[0], reverse=True)
    assert sum(values[0]) == pytest.approx(1, abs=1e-5)


def test_one_class_over_json(target: Target) -> None:
    body = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": SCORES.tolist()}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}],
    }
    answer = target.post("/v2/models/classifier/infer", body)
    assert answer.status == 200, answer.body
    (output,) = answer.json["outputs"]
    assert output["datatype"] == "BYTES"
    assert output["shape"] == [2, 1]
    assert [text.split(":")[1] for text in output["data"]] == ["1", "0"]
