"""The hot way against the general way over HTTP, on real sockets: the same answers, errors, headers, labels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from rapide.server.protocols.http_lane.fast import FastDoor
from rapide.server.protocols.http_lane.hot import LEARNINGS, HttpHotWay
from rapide.server.protocols.http_lane.server import HttpLaneServer
from tests import models
from tests.doors import Doors, opened
from tests.versions import publish_version, set_labels

pytestmark = pytest.mark.asyncio(loop_scope="module")


def hot_way(doors: Doors) -> HttpHotWay:
    lane = doors.app._doors._http
    assert isinstance(lane, HttpLaneServer)
    fast = lane._lane.fast
    assert isinstance(fast, FastDoor)
    return fast.hot


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    root = tmp_path_factory.mktemp("hot") / "models"
    publish_version(root, "linear", models.linear())
    publish_version(root, "classes", models.classifier())
    publish_version(root, "two", models.two_inputs())
    publish_version(root, "text", models.text_classifier())
    for value in (1.0, 2.0):
        publish_version(root, "versions", models.constant(value))
    set_labels(root, "versions", "stable=1", "canary=2:50%")
    async with opened(root, tmp_path_factory.mktemp("state"), http_engine="lane") as doors:
        yield doors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(doors: Doors) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=doors.http) as client:
        yield client


def body(rows: int, columns: int, seed: int = 0, name: str = "x", **more: Any) -> bytes:
    data = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    tensor = {"name": name, "shape": [rows, columns], "datatype": "FP32", "data": data.tolist()}
    return json.dumps({"inputs": [tensor], **more}).encode()


def binary(rows: int, columns: int, seed: int = 0, **more: Any) -> tuple[bytes, dict[str, str]]:
    data = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    tensor = {
        "name": "x",
        "shape": [rows, columns],
        "datatype": "FP32",
        "parameters": {"binary_data_size": data.nbytes},
    }
    text = json.dumps({"inputs": [tensor], **more}).encode()
    return text + data.tobytes(), {"inference-header-content-length": str(len(text))}


def plain(content: bytes) -> bytes:
    head = b"POST /v2/models/linear/infer HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n"
    return head % len(content) + content


CASES: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "one row": ("linear", body(1, 4), {}),
    "many rows": ("linear", body(70, 4), {}),
    "no rows": ("linear", body(0, 4), {}),
    "an id": ("linear", body(1, 4, id="mine"), {}),
    "two outputs": ("classes", body(2, 2), {}),
    "one output of two": ("classes", body(2, 2, outputs=[{"name": "probabilities"}]), {}),
    "in the other order": ("classes", body(2, 2, outputs=[{"name": "probabilities"}, {"name": "label"}]), {}),
    "binary in": ("classes", *binary(2, 2)),
    "binary in and out": ("classes", *binary(2, 2, parameters={"binary_data_output": True})),
    "binary out": ("classes", body(2, 2, parameters={"binary_data_output": True}), {}),
    "one of two binary": (
        "classes",
        body(2, 2, outputs=[{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}]),
        {},
    ),
    "compressed": ("linear", body(70, 4), {"accept-encoding": "gzip"}),
}


@pytest.mark.parametrize("case", CASES)
async def test_both_ways_answer_the_same(case: str, doors: Doors, client: httpx.AsyncClient) -> None:
    model, content, headers = CASES[case]
    hot = hot_way(doors)
    headers = {"accept-encoding": "identity", **headers}

    async def ask() -> tuple[int, bytes, dict[str, str]]:
        answer = await client.post(f"/v2/models/{model}/infer", content=content, headers=headers)
        told = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
        return answer.status_code, answer.content, told

    hot.is_open = False
    general = await ask()
    hot.is_open = True
    await ask()  # learnt from the first, if not before
    before = hot.taken
    assert await ask() == general
    assert hot.taken == before + 1
    assert general[0] == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (body(1, 3), 400),
        (body(1, 4).replace(b"[[", b'[["a", '), 400),
        (body(1, 4).replace(b"]]", b"]"), 400),
        (body(1, 4).replace(b"[[", b"[[1e300, ").replace(b"[1, 4]", b"[1, 5]"), 400),
        (body(1, 4) + b"x", 400),
    ],
)
async def test_what_is_wrong_is_said_by_the_general_way(
    content: bytes, status: int, doors: Doors, client: httpx.AsyncClient
) -> None:
    hot = hot_way(doors)
    for _ in range(2):
        assert (await client.post("/v2/models/linear/infer", content=body(1, 4))).status_code == 200
    answers = []
    for is_open in (True, False):
        hot.is_open = is_open
        answer = await client.post("/v2/models/linear/infer", content=content)
        answers.append((answer.status_code, answer.json()))
    hot.is_open = True
    assert answers[0] == answers[1]
    assert answers[0][0] == status


async def test_rows_of_different_callers_are_not_mixed(doors: Doors) -> None:
    before = hot_way(doors).taken
    async with httpx.AsyncClient(base_url=doors.http) as client:

        async def ask(number: int) -> None:
            data = [[float(number), 0.0, 0.0, 0.0]]
            content = json.dumps(
                {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": data}]}
            ).encode()
            answer = await client.post("/v2/models/linear/infer", content=content)
            expected = await client.post("/v2/models/linear/infer", content=content + b" ")
            assert answer.json()["outputs"] == expected.json()["outputs"]

        await asyncio.gather(*(ask(number) for number in range(100)))
    assert hot_way(doors).taken > before + 90


async def test_labels_shares_and_keys_hold_on_the_hot_way(doors: Doors, client: httpx.AsyncClient) -> None:
    before = hot_way(doors).taken

    async def ask(**headers: str) -> str:
        answer = await client.post("/v2/models/versions/infer", content=body(1, 1), headers=headers)
        assert answer.json()["model_version"] == answer.headers["rapide-model-version"]
        return answer.headers["rapide-model-version"]

    assert {await ask() for _ in range(60)} == {"1", "2"}
    assert {await ask(**{"rapide-label": "canary"}) for _ in range(20)} == {"2"}
    assert {await ask(**{"rapide-version": "1"}) for _ in range(20)} == {"1"}
    assert len({await ask(**{"rapide-user-key": "somebody"}) for _ in range(20)}) == 1
    assert hot_way(doors).taken > before + 100


async def test_a_deadline_is_a_deadline_there_too(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post("/v2/models/linear/infer", content=body(1, 4))
    late = await client.post(
        "/v2/models/linear/infer", content=body(1, 4), headers={"rapide-timeout-ms": "0.0001"}
    )
    assert late.status_code == 504
    wrong = await client.post("/v2/models/linear/infer", content=body(1, 4), headers={"rapide-timeout-ms": "soon"})
    assert wrong.status_code == 400


async def test_bodies_that_are_never_alike_are_not_learnt_from_for_ever(
    doors: Doors, client: httpx.AsyncClient
) -> None:
    url = "/v2/models/linear/versions/1/infer"
    for number in range(LEARNINGS + 5):
        answer = await client.post(url, content=body(1, 4, id=f"call-{number}"))
        assert answer.json()["id"] == f"call-{number}"
    known = hot_way(doors)._known[url.encode(), None]
    assert known.credit == 0
    assert len(known.patterns) <= 8


async def test_pipelined_and_divided_requests_meet_the_same_answers(doors: Doors) -> None:
    """Known heads are looked for wherever a request may begin, and only there."""
    content = body(1, 4)
    one = (
        b"POST /v2/models/linear/infer HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n" % len(content)
        + content
    )
    other = b"GET /v2/health/live HTTP/1.1\r\nhost: here\r\n\r\n"
    reader, writer = await asyncio.open_connection(*doors.http.removeprefix("http://").split(":"))

    async def answer() -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
        )
        return await reader.readexactly(length)

    writer.write(one)
    expected = await answer()
    for pieces in (
        [one * 5],
        [one + other + one],
        [one[:10], one[10:]],
        [one[:-3], one[-3:] + one],
        [other + one],
    ):
        asked = b"".join(pieces)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)
        for _ in range(asked.count(b"POST ")):
            if asked.startswith(b"GET"):
                await answer()
                asked = b""
            assert await answer() == expected
            if asked.startswith(one + other):
                await answer()
                asked = b""
    writer.close()


async def test_empty_lines_before_a_request_are_not_taken_for_its_head(doors: Doors) -> None:
    """They are allowed there (RFC 9112, 2.2), and two look like the end of a head."""
    address = doors.http.removeprefix("http://").split(":")
    for method in (b"POST", b"POST", b"GET"):
        asked = plain(body(1, 4)) if method == b"POST" else b"GET /v2/health/live HTTP/1.1\r\nhost: here\r\n\r\n"
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"\r\n\r\n" + asked)
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert (b"rapide-model" in head.lower()) is (method == b"POST")
        writer.close()


async def test_a_queue_that_is_full_refuses_as_the_general_way_does(tmp_path: Path) -> None:
    publish_version(tmp_path / "models", "linear", models.linear())
    content = b'{"inputs":[{"name":"x","shape":[3,4],"datatype":"FP32","data":[1,2,3,4,5,6,7,8,9,0,1,2]}]}'
    one = (
        b"POST /v2/models/linear/infer HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n" % len(content)
        + content
    )
    async with opened(tmp_path / "models", tmp_path / "state", http_engine="lane", max_queue_rows=6) as doors:
        hot = hot_way(doors)
        told: dict[bool, list[bytes]] = {}
        async with httpx.AsyncClient(base_url=doors.http) as client:
            for _ in range(2):
                await client.post("/v2/models/linear/infer", content=content)
        for is_open in (False, True):
            hot.is_open = is_open
            reader, writer = await asyncio.open_connection(*doors.http.removeprefix("http://").split(":"))
            writer.write(one * 5)  # one read, and a small one, looked at as a whole: two fit into the queue
            answers = []
            for _ in range(5):
                head = await reader.readuntil(b"\r\n\r\n")
                lines = [line for line in head.split(b"\r\n") if not line.startswith((b"date", b"x-request-id"))]
                length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
                answers.append(b"\n".join(lines) + await reader.readexactly(length))
            writer.close()
            told[is_open] = answers
        assert [answer[9:12] for answer in told[True]] == [b"200"] * 2 + [b"429"] * 3
        assert told[True] == told[False]
        assert hot.taken >= 5
