"""The HTTP API over real sockets: what it answers, who it says answered, and how it refuses."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from rapide.server.protocols.http_bodies import MIN_COMPRESSED_BYTES
from tests.doors import ENGINES, Doors, opened
from tests.wires import Tensor

pytestmark = pytest.mark.asyncio(loop_scope="module")

A = Tensor("a", [1, 2], [1, 2])
B = Tensor("b", [3, 5], [1, 2])
SLOW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


def body(*inputs: Tensor, **more: Any) -> dict[str, Any]:
    return {"inputs": [tensor.json() for tensor in inputs], **more}


async def infer(http: httpx.AsyncClient, model: str = "two", version: str = "", **headers: str) -> httpx.Response:
    path = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"
    return await http.post(path, json=body(A, B), headers={key.replace("_", "-"): headers[key] for key in headers})


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Until it is so; ten seconds at most."""
    async with asyncio.timeout(10):
        while not await look():
            await asyncio.sleep(0.01)


async def requests_total(http: httpx.AsyncClient, *labels: str) -> float:
    """Sum of rapide_requests_total over the samples that have all of ``labels``."""
    lines = (await http.get("/metrics")).text.splitlines()
    samples = [line for line in lines if line.startswith("rapide_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in samples if all(label in line for label in labels))


# Inference.


async def test_an_inference(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v2/models/two/infer", json=body(A, B, id="mine"))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "two",
        "model_version": "1",
        "id": "mine",
        "outputs": [
            {"name": "sum", "datatype": "INT32", "shape": [1, 2], "data": [4, 7]},
            {"name": "difference", "datatype": "INT32", "shape": [1, 2], "data": [-2, -3]},
        ],
    }


async def test_only_the_outputs_asked_for_in_the_order_asked_for(http: httpx.AsyncClient) -> None:
    wanted = [{"name": "difference"}, {"name": "sum"}]

    both = (await http.post("/v2/models/two/infer", json=body(A, B, outputs=wanted))).json()
    one = (await http.post("/v2/models/two/infer", json=body(A, B, outputs=wanted[:1]))).json()

    assert [output["name"] for output in both["outputs"]] == ["difference", "sum"]
    assert [output["name"] for output in one["outputs"]] == ["difference"]


async def test_binary_tensors_both_ways(http: httpx.AsyncClient) -> None:
    head = json.dumps(
        {
            "inputs": [
                {"name": t.name, "datatype": "INT32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
                for t in (A, B)
            ],
            "outputs": [{"name": "sum", "parameters": {"binary_data": True}}, {"name": "difference"}],
        }
    ).encode()

    answer = await http.post(
        "/v2/models/two/infer",
        content=head + A.raw() + B.raw(),
        headers={"inference-header-content-length": str(len(head))},
    )

    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    first, second = json.loads(answer.content[:length])["outputs"]
    assert first["parameters"] == {"binary_data_size": 8}
    assert np.frombuffer(answer.content[length:], np.int32).tolist() == [4, 7]
    assert second["data"] == [-2, -3]


async def test_classification_by_the_names_of_the_manifest(http: httpx.AsyncClient) -> None:
    request = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [0, 0, -50, 50]}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}],
    }

    output = (await http.post("/v2/models/classes/infer", json=request)).json()["outputs"][0]

    assert output == {
        "name": "probabilities",
        "datatype": "BYTES",
        "shape": [2, 1],
        "data": ["0.5:0:low", "1.0:1:high"],
    }


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ({"instances": [{"fuel": "petrol", "mileage": 5}]}, {"predictions": [{"price": 105.0}]}),
        ({"inputs": {"fuel": ["diesel", "?"], "mileage": [1, 2]}}, {"outputs": {"price": [1.0, -98.0]}}),
    ],
    ids=["rows", "columns"],
)
@pytest.mark.parametrize("which", ["", "/versions/1"])
async def test_named_features(
    http: httpx.AsyncClient, given: dict[str, Any], answered: dict[str, Any], which: str
) -> None:
    answer = await http.post(f"/v1/models/price{which}:predict", json=given)

    assert answer.json() == answered
    assert answer.headers["rapide-model-version"] == "1"


# Who answers.


@pytest.mark.parametrize(
    ("version", "headers", "answered", "label"),
    [
        ("", {}, "1", "stable"),
        ("2", {}, "2", ""),
        ("", {"rapide_label": "canary"}, "2", "canary"),
        ("", {"rapide_version": "2"}, "2", ""),
        ("1", {"rapide_version": "2"}, "1", ""),
        ("2", {"rapide_label": "canary"}, "2", "canary"),
    ],
)
async def test_who_answers_is_told_in_headers(
    http: httpx.AsyncClient, version: str, headers: dict[str, str], answered: str, label: str
) -> None:
    answer = await infer(http, version=version, **headers)

    assert answer.json()["model_version"] == answered
    assert answer.headers["rapide-model"] == "two"
    assert answer.headers["rapide-model-version"] == answered
    assert answer.headers["rapide-model-label"] == label
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", answer.headers["rapide-model-digest"])


async def test_labels_by_path(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/models/two/labels/canary:predict", json={"inputs": {"a": [[1, 2]], "b": [[3, 4]]}}
    )

    assert answer.headers["rapide-model-version"] == "2"
    assert answer.json() == {"outputs": {"sum": [[4, 6]], "difference": [[-2, -2]]}}


async def test_errors_say_who_refused_where_a_version_was_reached(http: httpx.AsyncClient) -> None:
    reached = await http.post("/v2/models/two/versions/2/infer", json={"inputs": []})
    unreached = await http.post("/v2/models/none/infer", json={"inputs": []})

    assert (reached.status_code, reached.headers["rapide-model-version"]) == (400, "2")
    assert (unreached.status_code, "rapide-model-version" in unreached.headers) == (404, False)


async def test_the_request_id_is_echoed(http: httpx.AsyncClient) -> None:
    for path in ("/v2/models/two/infer", "/v2/models/none/infer", "/v2", "/nowhere"):
        answer = await http.post(path, json=body(A, B), headers={"x-request-id": "mine-7"})
        assert answer.headers["x-request-id"] == "mine-7", path


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129, "naïve"])
async def test_a_request_id_is_made_where_none_or_an_unfit_one_is_given(
    http: httpx.AsyncClient, given: str | None
) -> None:
    headers = [] if given is None else [(b"x-request-id", given.encode("latin-1"))]

    ids = {(await http.get("/v2", headers=headers)).headers["x-request-id"] for _ in range(3)}

    assert len(ids) == 3
    assert all(re.fullmatch(r"[a-z0-9-]{4,40}", name) for name in ids)


# Bodies.


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_compressed_requests_and_answers(http: httpx.AsyncClient, coding: str) -> None:
    rows = MIN_COMPRESSED_BYTES
    request = json.dumps(
        {
            "inputs": [
                {**A.json(), "shape": [rows, 2], "data": [1] * 2 * rows},
                {**B.json(), "shape": [rows, 2], "data": [2] * 2 * rows},
            ]
        }
    ).encode()
    packed = gzip.compress(request) if coding == "gzip" else zlib.compress(request)

    answer = await http.post(
        "/v2/models/two/infer", content=packed, headers={"content-encoding": coding, "accept-encoding": coding}
    )

    assert answer.headers["content-encoding"] == coding
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.json()["outputs"][0]["data"] == [3] * 2 * rows


async def test_small_answers_are_not_compressed(http: httpx.AsyncClient) -> None:
    answer = await infer(http, accept_encoding="gzip")

    assert "content-encoding" not in answer.headers


async def test_a_body_in_pieces(http: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        text = json.dumps(body(A, B)).encode()
        for start in range(0, len(text), 7):
            yield text[start : start + 7]

    answer = await http.post("/v2/models/two/infer", content=pieces())

    assert answer.json()["outputs"][0]["data"] == [4, 7]


# Paths and methods.


async def test_unknown_routes_say_where_the_known_ones_are_listed(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v2/model/two")

    assert answer.status_code == 404
    assert answer.json()["error"].startswith("there is nothing at '/v2/model/two'. GET /docs")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v2/models/two/infer", "POST, OPTIONS"),
        ("POST", "/v2", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v2/logging", "GET, POST, HEAD, OPTIONS"),
    ],
)
async def test_other_methods_are_told_which_there_are(
    http: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await http.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    assert answer.json() == {"error": f"{method} is not offered here; use {allow}"}
    assert (await http.options(path)).headers["allow"] == allow


async def test_head_is_get_without_a_body(http: httpx.AsyncClient) -> None:
    answer = await http.head("/v2/health/live")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len((await http.get("/v2/health/live")).content))


# Deadlines, cancellation, overload, failures.


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [({"rapide-timeout-ms": "0.001"}, {}), ({}, {"timeout": 1})],
    ids=["header", "Triton's parameter"],
)
async def test_what_cannot_be_answered_in_time_is_not_run(
    http: httpx.AsyncClient, headers: dict[str, str], parameters: dict[str, int]
) -> None:
    answer = await http.post("/v2/models/slow/infer", json=SLOW | {"parameters": parameters}, headers=headers)

    assert answer.status_code == 504
    assert "deadline passed" in answer.json()["error"] or "left after" in answer.json()["error"]


async def test_a_caller_that_goes_away_is_not_answered(http: httpx.AsyncClient, doors: Doors) -> None:
    labels = ('model="slow"', 'code="request_cancelled"')
    before = await requests_total(http, *labels)
    text = json.dumps(SLOW).encode()
    request = b"POST /v2/models/slow/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)

    async def leave_early() -> bool:
        """Asks behind another request, leaves; whether the server has noticed one who left, this or an earlier
        one."""
        other = asyncio.create_task(http.post("/v2/models/slow/infer", json=SLOW))
        _, writer = await asyncio.open_connection(httpx.URL(doors.http).host, httpx.URL(doors.http).port)
        writer.write(request)
        await writer.drain()
        await asyncio.sleep(0.01)  # long enough to be queued, usually; if not, the next attempt is
        writer.close()
        assert (await other).status_code == 200
        return await requests_total(http, *labels) > before

    await eventually(leave_early)


@pytest.mark.parametrize("engines", ENGINES)
async def test_a_full_queue_says_when_to_come_again(repository: Path, tmp_path: Path, engines: str) -> None:
    settings: dict[str, Any] = {"max_batch_rows": 1, "max_queue_rows": 1, **ENGINES[engines]}
    async with (
        opened(repository, tmp_path / "state", **settings) as doors,
        httpx.AsyncClient(base_url=doors.http) as http,
    ):
        answers = await asyncio.gather(*[http.post("/v2/models/slow/infer", json=SLOW) for _ in range(8)])

    codes = [answer.status_code for answer in answers]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert set(codes) == {200, 429}
    assert int(refused.headers["retry-after"]) >= 1
    assert "busy" in refused.json()["error"]


async def test_a_model_that_fails_is_our_fault_and_says_nothing_private(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v2/models/failing/infer", json=SLOW)

    assert answer.status_code == 500
    assert answer.json() == {"error": "the model failed on this input; the log has the details"}
    assert answer.headers["rapide-model"] == "failing"
