"""Bad input gets a precise answer and harms nothing else: one row per case, asked over both transports.

The rows are in ``bad_input_cases.py``; the codes of a domain error come from the table that ``test_status.py``
pins down. After each row a good request on the same connection is answered.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio

from rapide.proto import open_inference_pb2 as pb
from rapide.server.errors import RapideError
from rapide.server.protocols.status import status_of
from tests.doors import ENGINES, Doors, opened
from tests.integration.bad_input_cases import CASES, A, B, repository
from tests.wires import SERVICE, Case, Grpc, Http, Tensor, infer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_MESSAGE_BYTES = 1 << 20
GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ENGINES)
async def doors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    """All that follows is asked of our own lanes and of the reference servers alike."""
    models = repository(tmp_path_factory.mktemp("bad-input") / "models")
    async with opened(
        models, tmp_path_factory.mktemp("state"), max_message_bytes=MAX_MESSAGE_BYTES, **ENGINES[request.param]
    ) as doors:
        yield doors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(doors: Doors) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=doors.http) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(doors: Doors) -> AsyncIterator[grpc.aio.Channel]:
    unlimited = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(doors.grpc, options=unlimited) as channel:
        yield channel


GOOD = infer("good", RapideError, "", A, B)


async def ask_http(client: httpx.AsyncClient, request: Http) -> httpx.Response:
    return await client.post(request.path, content=request.body, headers=dict(request.headers))


async def ask_grpc(channel: grpc.aio.Channel, call: Grpc) -> bytes:
    answer: bytes = await unary_of(channel, call.path)(call.message, metadata=call.metadata)
    return answer


def unary_of(channel: grpc.aio.Channel, path: str) -> Any:
    """Bytes in, bytes out (the stubs want serializers, grpcio does not)."""
    return channel.unary_unary(path)  # type: ignore[call-arg]


@pytest.mark.parametrize("case", [case for case in CASES if case.http], ids=lambda case: case.name)
async def test_over_http(case: Case, http: httpx.AsyncClient) -> None:
    assert case.http
    assert GOOD.http
    answer = await ask_http(http, case.http)

    assert answer.json() == {"error": case.text}
    assert answer.status_code == status_of(case.error("")).http
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert (await ask_http(http, GOOD.http)).json()["outputs"][0]["data"] == [4, 6]


@pytest.mark.parametrize("case", [case for case in CASES if case.grpc], ids=lambda case: case.name)
async def test_over_grpc(case: Case, channel: grpc.aio.Channel) -> None:
    assert case.grpc
    assert GOOD.grpc
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask_grpc(channel, case.grpc)

    assert caught.value.details() in (case.grpc_texts or (case.text,))
    assert caught.value.code() is GRPC_CODES[status_of(case.error("")).grpc]
    good = pb.ModelInferResponse.FromString(await ask_grpc(channel, GOOD.grpc))
    assert np.frombuffer(good.raw_output_contents[0], np.int32).tolist() == [4, 6]


async def test_a_message_too_large_over_http(http: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield bytes(1 << 16)

    bodies: tuple[bytes | AsyncIterator[bytes], ...] = (bytes(MAX_MESSAGE_BYTES + 1), chunks())
    for body in bodies:
        answer = await http.post("/v2/models/two/infer", content=body)

        assert answer.status_code == 413
        assert answer.json() == {"error": "the request's body is larger than 1048576 bytes, the limit here"}


async def test_a_bomb_over_http(http: httpx.AsyncClient) -> None:
    body = gzip.compress(bytes(64 * MAX_MESSAGE_BYTES))
    assert len(body) < MAX_MESSAGE_BYTES

    answer = await http.post("/v2/models/two/infer", content=body, headers={"content-encoding": "gzip"})

    assert answer.status_code == 413
    assert answer.json() == {"error": "the decompressed body is larger than 1048576 bytes"}


async def test_a_message_too_large_over_grpc(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask_grpc(channel, Grpc(f"{SERVICE}/ModelInfer", bytes(MAX_MESSAGE_BYTES + 1)))

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "1048577" in (caught.value.details() or "")
    assert "1048576" in (caught.value.details() or "")


async def test_a_bomb_over_grpc(channel: grpc.aio.Channel) -> None:
    unary = unary_of(channel, f"{SERVICE}/ModelInfer")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(bytes(64 * MAX_MESSAGE_BYTES), compression=grpc.Compression.Gzip)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_bad_requests_in_a_flood_leave_the_good_ones_their_own_rows(
    http: httpx.AsyncClient, channel: grpc.aio.Channel
) -> None:
    """Good and bad ones arrive together and are batched together: each gets what is its own."""
    bad = [
        case
        for case in CASES
        if case.http and case.grpc and "/infer" in case.http.path and len(case.http.body) < 999
    ]

    async def good(number: int) -> list[int]:
        case = infer("", RapideError, "", *[Tensor(name, [number, number + 1], [1, 2]) for name in ("a", "b")])
        assert case.http
        return list((await ask_http(http, case.http)).json()["outputs"][0]["data"])

    async def refused(case: Case) -> int:
        assert case.http
        return (await ask_http(http, case.http)).status_code

    answers, codes = await asyncio.gather(
        asyncio.gather(*[good(number) for number in range(50)]), asyncio.gather(*[refused(case) for case in bad])
    )

    assert answers == [[2 * number, 2 * number + 2] for number in range(50)]
    assert set(codes) <= {400, 404, 413}


async def test_refused_requests_are_counted(doors: Doors, http: httpx.AsyncClient) -> None:
    """Under their model where one was reached, under empty names where not; never under names made up by
    callers."""

    async def counts() -> dict[str, float]:
        page = (await http.get("/metrics")).text
        lines = [line.rpartition(" ") for line in page.splitlines() if line.startswith("rapide_requests_total{")]
        return {name: float(value) for name, _, value in lines}

    before = await counts()
    for model in ("two", "made-up"):
        await http.post(f"/v2/models/{model}/infer", content=b'{"inputs": []}')
    after = await counts()

    grown = {name for name in after if after[name] > before.get(name, 0)}
    assert grown == {
        'rapide_requests_total{model="",version="",label="",protocol="http",code="not_found"}',
        'rapide_requests_total{model="two",version="1",label="stable",protocol="http",code="invalid_request"}',
    }
    assert "made-up" not in "".join(after)
