"""The lane with real gRPC clients: all kinds of calls, large messages, ends of all kinds, hostile peers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from rapide.proto import open_inference_pb2 as pb
from rapide.proto import services
from rapide.server.context import CallContext
from rapide.server.errors import NotFound
from rapide.server.protocols.grpc_call import Procedure, parse
from rapide.server.protocols.grpc_door import GrpcDoor
from rapide.server.protocols.grpc_lane import line
from rapide.server.protocols.grpc_lane.framing import decompress, frame_message
from rapide.server.protocols.grpc_lane.line import LaneConnection
from rapide.server.protocols.grpc_lane.options import LaneOptions
from rapide.server.protocols.grpc_lane.server import LaneServer
from rapide.server.protocols.http2 import frames
from rapide.server.protocols.http2.header_blocks import encode_fields
from tests.idle import idle_service

METHODS = {method.name: method for method in services.methods(services.OPEN_INFERENCE)}
WATCH = next(method for method in services.methods(services.HEALTH) if method.name == "Watch")
INFER, STREAM, READY = METHODS["ModelInfer"], METHODS["ModelStreamInfer"], METHODS["ModelReady"]


class Handlers:
    """Handlers that need no model: what they saw is what the lane gave them."""

    def __init__(self) -> None:
        self.contexts: list[CallContext] = []
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def echo(self, _service: Any, context: CallContext, request: Any) -> Any:
        self.contexts.append(context)
        return pb.ModelInferResponse(id=request.id, raw_output_contents=request.raw_input_contents)

    async def refuse(self, _service: Any, _context: CallContext, request: Any) -> Any:
        raise NotFound(f"no model {request.name!r} – 100 % sure", hint="Load it.")

    async def forever(self, _service: Any, _context: CallContext, request: Any) -> Any:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def double(
        self, _service: Any, _context: CallContext, given: AsyncIterator[bytes]
    ) -> AsyncIterator[Any]:
        async for raw in given:
            request = parse(pb.ModelInferRequest, raw)
            for _ in range(2):
                response = pb.ModelInferResponse(id=request.id, raw_output_contents=request.raw_input_contents)
                yield pb.ModelStreamInferResponse(infer_response=response)

    async def count(self, _service: Any, _context: CallContext, _request: Any) -> AsyncIterator[Any]:
        for _ in range(3):
            yield WATCH.response_class(status=1)

    def procedures(self) -> list[Procedure]:
        return [
            Procedure(INFER, self.echo),
            Procedure(READY, self.refuse),
            Procedure(METHODS["ServerLive"], self.forever),
            Procedure(STREAM, self.double),
            Procedure(WATCH, self.count),
        ]


@contextlib.asynccontextmanager
async def lane(options: LaneOptions | None = None) -> AsyncIterator[tuple[str, Handlers, LaneServer]]:
    handlers = Handlers()
    ids = iter(range(1, 1 << 30))
    door = GrpcDoor(cast("Any", None), lambda: f"made-{next(ids)}")
    server = LaneServer(idle_service(), door, handlers.procedures(), options)
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{port}", handlers, server
    finally:
        await server.stop(0.0)


def call(channel: Any, method: services.Method, message: Any, **options: Any) -> Any:
    stub = getattr(channel, method.kind)(
        method.path,
        request_serializer=method.request_class.SerializeToString,
        response_deserializer=method.response_class.FromString,
    )
    return stub(message, **options)


async def test_a_unary_call_with_metadata_and_deadline() -> None:
    async with lane() as (address, handlers, _), grpc.aio.insecure_channel(address) as channel:
        pending = call(
            channel, INFER, pb.ModelInferRequest(id="7"), timeout=5, metadata=(("x-request-id", "mine"),)
        )
        assert (await pending).id == "7"
        assert ("x-request-id", "mine") in [tuple(item) for item in await pending.initial_metadata()]
    context = handlers.contexts[0]
    assert 4 < context.deadline_s - context.received_s <= 5.1  # C-core rounds up


async def test_thousands_of_calls_on_a_few_connections() -> None:
    async with lane() as (address, _, server):
        channels = [
            grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(3)
        ]
        messages = [pb.ModelInferRequest(id=str(number)) for number in range(3000)]
        answers = await asyncio.gather(
            *(call(channels[number % 3], INFER, message) for number, message in enumerate(messages))
        )
        assert [answer.id for answer in answers] == [message.id for message in messages]
        assert len(server.connections) == 3
        for channel in channels:
            await channel.close()


def test_the_synchronous_client() -> None:
    async def serve() -> None:
        async with lane() as (address, _, _server):
            await asyncio.to_thread(ask, address)

    def ask(address: str) -> None:
        with grpc.insecure_channel(address) as channel:
            for number in range(50):
                assert call(channel, INFER, pb.ModelInferRequest(id=str(number))).id == str(number)
            assert [answer.status for answer in call(channel, WATCH, WATCH.request_class())] == [1, 1, 1]

    asyncio.run(serve())


async def test_an_error_has_code_and_text() -> None:
    async with lane() as (address, _, _server), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, READY, READY.request_class(name="m"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert caught.value.details() == "no model 'm' – 100 % sure. Load it."


async def test_an_unknown_method() -> None:
    async with lane() as (address, _, _server), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, METHODS["ModelConfig"], METHODS["ModelConfig"].request_class())
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_too_much_metadata_is_refused_alone() -> None:
    """Others share the connection, behind a proxy for one: their calls go on."""
    method = METHODS["ServerLive"]
    async with lane() as (address, handlers, _server), grpc.aio.insecure_channel(address) as channel:
        neighbour = call(channel, method, method.request_class())
        await asyncio.wait_for(handlers.started.wait(), 5)
        for size in (20_000, 40_000):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(channel, INFER, pb.ModelInferRequest(), metadata=(("x", "a" * size),))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "at most 16384 are taken" in str(caught.value.details())
        assert (await call(channel, INFER, pb.ModelInferRequest(id="still"))).id == "still"
        assert not neighbour.done()
        neighbour.cancel()


async def test_garbage_is_an_invalid_argument() -> None:
    async with lane() as (address, _, _server), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(INFER.path)(b"\xff\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_passed_deadline_ends_the_call_and_its_work() -> None:
    method = METHODS["ServerLive"]
    async with lane() as (address, handlers, _server), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method, method.request_class(), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(handlers.cancelled.wait(), 5)


async def test_a_cancelled_call_is_cancelled_here_too() -> None:
    method = METHODS["ServerLive"]
    async with lane() as (address, handlers, _server), grpc.aio.insecure_channel(address) as channel:
        pending = call(channel, method, method.request_class())
        await asyncio.wait_for(handlers.started.wait(), 5)
        pending.cancel()
        await asyncio.wait_for(handlers.cancelled.wait(), 5)


async def test_a_stream_of_both_sides_in_turn() -> None:
    async with lane() as (address, _, _server), grpc.aio.insecure_channel(address) as channel:
        stream = call_stream(channel)
        for number in range(20):
            await stream.write(pb.ModelInferRequest(id=str(number)))
            assert [(await stream.read()).infer_response.id for _ in range(2)] == [str(number)] * 2
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK


async def test_a_stream_survives_a_slow_reader() -> None:
    megabyte = b"m" * (1 << 20)
    async with lane() as (address, _, _server), grpc.aio.insecure_channel(address) as channel:
        stream = call_stream(channel)

        async def write() -> None:
            for number in range(12):
                await stream.write(pb.ModelInferRequest(id=str(number), raw_input_contents=[megabyte]))
            await stream.done_writing()

        writing = asyncio.create_task(write())
        answers = [answer.infer_response async for answer in stream]
        await writing
        assert [answer.id for answer in answers] == [str(number // 2) for number in range(24)]
        assert all(answer.raw_output_contents == [megabyte] for answer in answers)


def call_stream(channel: grpc.aio.Channel) -> Any:
    return cast("Any", channel).stream_stream(
        STREAM.path,
        request_serializer=STREAM.request_class.SerializeToString,
        response_deserializer=STREAM.response_class.FromString,
    )()


UNBOUND = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.mark.parametrize("compression", list(grpc.Compression), ids=lambda value: value.name)
async def test_large_messages(compression: grpc.Compression) -> None:
    content = bytes(range(256)) * (50 << 12)  # 50 MiB
    async with lane() as (address, _, _server), grpc.aio.insecure_channel(address, UNBOUND) as channel:
        answer = await call(
            channel, INFER, pb.ModelInferRequest(raw_input_contents=[content]), compression=compression
        )
        assert answer.raw_output_contents == [content]


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
async def test_compressed_answers(compression: str) -> None:
    options = LaneOptions(compression=compression)
    async with lane(options) as (address, _, _server), grpc.aio.insecure_channel(address) as channel:
        pending = call(channel, INFER, pb.ModelInferRequest(raw_input_contents=[b"same " * 1000]))
        assert (await pending).raw_output_contents == [b"same " * 1000]
        raw = await Raw.connect(address)
        accepts = (b"grpc-accept-encoding", b"identity," + compression.encode())
        block = head_block((b"content-type", b"application/grpc"), accepts)
        raw.writer.write(frames.header_frames(1, block, end_stream=False, max_frame_bytes=16_384))
        raw.writer.write(frames.frame(frames.DATA, frames.END_STREAM, 1, b"\0\0\0\0\0"))
        assert b"grpc-encoding" + bytes((len(compression),)) + compression.encode() in await raw.until(
            b"grpc-status"
        )


async def test_a_message_above_the_bound() -> None:
    options = LaneOptions(max_message_bytes=1000)
    async with lane(options) as (address, _, _server), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, INFER, pb.ModelInferRequest(raw_input_contents=[b"x" * 200_000]))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await call(channel, INFER, pb.ModelInferRequest(id="still"))).id == "still"


async def test_stop_lets_calls_finish_and_refuses_new_ones() -> None:
    method = METHODS["ServerLive"]
    async with lane() as (address, handlers, server), grpc.aio.insecure_channel(address) as channel:
        pending = call(channel, method, method.request_class(), timeout=0.3)
        await asyncio.wait_for(handlers.started.wait(), 5)
        stopping = asyncio.create_task(server.stop(5.0))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pending
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED, "it lived on until its own end"
        await asyncio.wait_for(stopping, 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, INFER, pb.ModelInferRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_connections_grow_old_without_a_lost_call() -> None:
    async with lane() as (address, _, server), grpc.aio.insecure_channel(address) as channel:
        for number in range(300):
            if number % 50 == 49:
                for connection in list(server.connections):
                    connection.drain()
            assert (await call(channel, INFER, pb.ModelInferRequest(id=str(number)))).id == str(number)


class TestGoodbye:
    """How a connection ends on which all is answered: our side first, then the peer's."""

    async def drained(self, raw: Raw, server: LaneServer) -> LaneConnection:
        """A connection that has sent its last octet."""
        await asyncio.wait_for(raw.reader.readuntil(frames.SETTINGS_ACK), 5)
        connection = next(iter(server.connections))
        connection.drain()
        await asyncio.wait_for(raw.reader.readuntil(frames.ping(b"draining")), 5)
        raw.writer.write(frames.ping_ack(b"draining"))
        assert (await asyncio.wait_for(raw.reader.read(-1), 5)).startswith(frames.goaway(0, 0)[:9])
        return connection

    async def test_what_the_peer_still_sends_resets_nothing(self) -> None:
        async with lane() as (address, _, server):
            raw = await Raw.connect(address)
            connection = await self.drained(raw, server)
            for _ in range(3):  # each would be answered by a reset, had the socket been closed
                raw.writer.write(frames.window_update(0, 1))
                await raw.writer.drain()
            connection.sweep(connection._clock())
            assert connection in server.connections
            raw.writer.close()
            async with asyncio.timeout(5):
                while server.connections:
                    await asyncio.sleep(0)

    async def test_what_can_no_longer_be_answered_is_heard_and_ends_nothing(self) -> None:
        async with lane() as (address, _, server):
            raw = await Raw.connect(address)
            connection = await self.drained(raw, server)
            heard = connection._heard_s
            raw.writer.write(frames.ping(b"too late"))
            async with asyncio.timeout(5):
                while connection._heard_s == heard:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert connection in server.connections
            raw.writer.close()

    async def test_a_peer_that_stays_is_left(self) -> None:
        async with lane(LaneOptions(goodbye_s=1.0)) as (address, _, server):
            raw = await Raw.connect(address)
            connection = await self.drained(raw, server)
            connection.sweep(connection._clock() + 2.0)
            async with asyncio.timeout(5):
                while server.connections:
                    await asyncio.sleep(0)
            raw.writer.close()


async def test_no_call_leaves_anything_behind() -> None:
    async with lane() as (address, _, server), grpc.aio.insecure_channel(address) as channel:
        for _ in range(20):
            await call(channel, INFER, pb.ModelInferRequest(raw_input_contents=[b"x" * 100_000]))
        connection = next(iter(server.connections))
        assert connection.http2.active_streams == 0
        assert connection._held_bytes == 0
        assert not connection._tasks


class Raw:
    """A peer that speaks frames by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: str) -> Raw:
        host, port = address.split(":")
        raw = cls(*await asyncio.open_connection(host, int(port)))
        raw.writer.write(frames.PREFACE + frames.settings({}))
        return raw

    async def rest(self, within_s: float = 5.0) -> bytes:
        """Everything until the server closes."""
        got = await asyncio.wait_for(self.reader.read(-1), within_s)
        self.writer.close()
        return got

    async def until(self, text: bytes, within_s: float = 5.0) -> bytes:
        """Everything until ``text`` was seen."""
        got = b""
        async with asyncio.timeout(within_s):
            while text not in got:
                got += await self.reader.read(65_536)
        self.writer.close()
        return got


def head_block(*more: tuple[bytes, bytes], method: bytes = b"POST", path: str = INFER.path) -> bytes:
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path.encode())]
    return encode_fields([*pseudo, *(more or ((b"content-type", b"application/grpc"),))])


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (head_block((b"content-type", b"text/html")), b"\x08\x03415"),
        (head_block((b"content-type", b"application/grpc"), method=b"GET"), b"\x08\x03405"),
        (head_block((b"content-type", b"application/grpc"), (b"grpc-timeout", b"soon")), b"malformed"),
    ],
    ids=["content type", "method", "timeout"],
)
async def test_heads_that_cannot_begin(block: bytes, expected: bytes) -> None:
    async with lane() as (address, _, _server):
        raw = await Raw.connect(address)
        raw.writer.write(frames.header_frames(1, block, end_stream=True, max_frame_bytes=16_384))
        await raw.until(expected)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", b"none came"),
        (b"\0\0\0\0\0" * 2, b"more came"),
        (b"\0\0\0\0\5x", b"within a message"),
        (b"\7\0\0\0\0", b"flag 7"),
    ],
    ids=["nothing", "two messages", "half a message", "flag"],
)
async def test_wrong_numbers_of_messages(data: bytes, text: bytes) -> None:
    async with lane() as (address, _, _server):
        raw = await Raw.connect(address)
        raw.writer.write(frames.header_frames(1, head_block(), end_stream=False, max_frame_bytes=16_384))
        raw.writer.write(frames.frame(frames.DATA, frames.END_STREAM, 1, data))
        assert text in await raw.until(b"grpc-message")


@pytest.mark.parametrize(
    ("announced", "pieces", "expected"),
    [
        (b"5", [b"\0\0\0\0\0"], b"grpc-status\x010"),
        (b"5", [b"\0\0", b"\0\0\0"], b"grpc-status\x010"),
        (b"6", [b"\0\0\0\0\0"], b"content-length is 6; 5 bytes came"),
        (b"4", [b"\0\0\0", b"\0\0"], b"content-length is 4; 5 bytes came"),
        (b"4", [b"\0\0\0\0\0", None], b"content-length is 4; 5 bytes came"),
        (b"5, 5", [b"\0\0\0\0\0"], frames.rst_stream(1, 1)),
        (b"-5", [b"\0\0\0\0\0"], frames.rst_stream(1, 1)),
        (b"9" * 1000, [b"\0\0\0\0\0"], frames.rst_stream(1, 1)),
    ],
    ids=["right", "in pieces", "more", "less", "before trailers", "two", "negative", "long"],
)
async def test_a_length_that_was_announced(announced: bytes, pieces: list[bytes | None], expected: bytes) -> None:
    """RFC 9113, 8.1.1: another length makes the request malformed. ``None`` stands for trailers."""
    async with lane() as (address, _, _server):
        raw = await Raw.connect(address)
        block = head_block((b"content-type", b"application/grpc"), (b"content-length", announced))
        raw.writer.write(frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block))
        for number, piece in enumerate(pieces, 1):
            ends = frames.END_STREAM if number == len(pieces) else 0
            kind = frames.HEADERS if piece is None else frames.DATA
            raw.writer.write(
                frames.frame(kind, ends | (frames.END_HEADERS if piece is None else 0), 1, piece or b"")
            )
        await raw.until(expected)


class TestHostilePeers:
    """Others on the same lane are served while one misbehaves; what it can make us hold is bounded."""

    async def test_half_open_connections_are_closed(self) -> None:
        async with lane(LaneOptions(greeting_s=0.05)) as (address, _, server):
            host, port = address.split(":")
            silent = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
            for connection in list(server.connections):
                connection.sweep(connection._opened_s + 1.0)
            for reader, writer in silent:
                await asyncio.wait_for(reader.read(-1), 5)
                writer.close()

    async def test_a_peer_that_reads_nothing_is_left(self) -> None:
        """It is not read any more once its answers pile up, or refused once its calls do; others are served."""
        async with lane(LaneOptions(blocked_s=1.0)) as (address, _, server):
            host, port = address.split(":")
            with socket.socket() as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                peer.connect((host, int(port)))
                peer.setblocking(False)
                flooding = asyncio.create_task(self._flood_with_calls(peer))
                while not flooding.done() and not any(one._blocked_since_s for one in server.connections):
                    await asyncio.sleep(0.01)
                async with grpc.aio.insecure_channel(address) as channel:
                    assert (await call(channel, INFER, pb.ModelInferRequest(id="other"))).id == "other"
                for one in list(server.connections):
                    one.sweep(one._clock() + 2.0)
                await asyncio.wait_for(flooding, 5)

    @staticmethod
    async def _flood_with_calls(peer: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(peer, frames.PREFACE + frames.settings({}))
            for stream_id in range(1, 2_000_001, 2):
                await loop.sock_sendall(
                    peer,
                    frames.header_frames(stream_id, head_block(), end_stream=False, max_frame_bytes=16_384)
                    + frames.frame(frames.DATA, frames.END_STREAM, stream_id, b"\0\0\0\0\0"),
                )

    async def test_unfinished_messages_are_bounded_together(self) -> None:
        async with lane(LaneOptions(max_held_bytes=1 << 20)) as (address, _, server):
            raw = await Raw.connect(address)
            for stream_id in range(1, 41, 2):
                raw.writer.write(
                    frames.header_frames(stream_id, head_block(), end_stream=False, max_frame_bytes=16_384)
                )
                for piece in [b"\0\0\x10\0\0" + b"x" * 16_000] + [b"x" * 16_000] * 5:
                    raw.writer.write(frames.frame(frames.DATA, 0, stream_id, piece))
            await raw.until(b"unfinished messages")
            assert all(connection._held_bytes <= 1 << 20 for connection in server.connections)

    @pytest.mark.parametrize("method", [INFER, STREAM], ids=["unary", "stream"])
    async def test_whole_messages_that_wait_are_bounded_too(self, method: services.Method) -> None:
        """A bomb of a few octets becomes a message of 60 KiB: without END_STREAM no unary call begins, and without
        window no streaming one goes on."""
        bomb = frame_message(bytes(60 << 10), b"gzip")
        more = ((b"content-type", b"application/grpc"), (b"grpc-encoding", b"gzip"))
        async with lane(LaneOptions(max_held_bytes=1 << 20)) as (address, _, server):
            raw = await Raw.connect(address)
            raw.writer.write(frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 0}))
            for stream_id in range(1, 41, 2):
                block = head_block(*more, path=method.path)
                raw.writer.write(
                    frames.header_frames(stream_id, block, end_stream=False, max_frame_bytes=16_384)
                    + frames.frame(frames.DATA, 0, stream_id, bomb) * (1 if method is INFER else 3)
                )
            await raw.until(b"unfinished messages")
            assert all(connection._held_bytes <= 1 << 20 for connection in server.connections)

    async def test_a_large_bomb_stays_packed_until_its_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Unfolding it where it is read would stop everybody: two hundred of them fit into one read."""
        unfolded: list[str] = []

        def counted(message: bytes, *how: Any) -> bytes:
            unfolded.append(threading.current_thread().name)
            return decompress(message, *how)

        monkeypatch.setattr(line, "decompress", counted)
        bomb = frame_message(bytes(4 << 20), b"gzip")
        block = head_block((b"content-type", b"application/grpc"), (b"grpc-encoding", b"gzip"))
        pieces = [bomb[start : start + 16_000] for start in range(0, len(bomb), 16_000)]
        async with lane() as (address, _, server):
            raw = await Raw.connect(address)
            for stream_id in range(1, 401, 2):
                raw.writer.write(frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block))
                for piece in pieces:
                    raw.writer.write(frames.frame(frames.DATA, 0, stream_id, piece))
            raw.writer.write(frames.ping(b"allthere"))
            await asyncio.wait_for(raw.reader.readuntil(frames.ping_ack(b"allthere")), 5)
            (connection,) = server.connections
            assert 0 < connection._held_bytes < 400 * len(bomb)
            assert not unfolded
            for stream_id in range(1, 21, 2):
                raw.writer.write(frames.frame(frames.DATA, frames.END_STREAM, stream_id))
            got = b""
            async with asyncio.timeout(20):
                while got.count(b"grpc-status\x013") < 10:  # zeros are no message
                    got += await raw.reader.read(65_536)
            assert len(unfolded) == 10
            assert set(unfolded) == {"unpacker_0"}
            raw.writer.close()

    @pytest.mark.parametrize("method", [INFER, STREAM], ids=["unary", "stream"])
    async def test_answers_without_window_are_not_kept_for_ever(self, method: services.Method) -> None:
        async with lane() as (address, _, server):
            raw = await Raw.connect(address)
            raw.writer.write(frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 0}))
            for stream_id in (1, 3):
                raw.writer.write(
                    frames.header_frames(
                        stream_id, head_block(path=method.path), end_stream=False, max_frame_bytes=16_384
                    )
                    + frames.frame(frames.DATA, frames.END_STREAM, stream_id, frame_message(b""))
                )
            (connection,) = server.connections
            while len(connection.http2._blocked) < 2:
                await asyncio.sleep(0.001)
            for later_s in (0.0, 61.0):
                connection.sweep(connection._clock() + later_s)
            got = await raw.until(frames.rst_stream(3, 8))
            assert frames.rst_stream(1, 8) in got
            await asyncio.sleep(0)
            assert not connection.http2.active_streams
            assert not connection._tasks

    async def test_a_call_that_ends_early_holds_nothing(self) -> None:
        async with lane() as (address, _, server):
            raw = await Raw.connect(address)
            message = frame_message(b"")
            raw.writer.write(
                frames.header_frames(1, head_block(path=WATCH.path), end_stream=False, max_frame_bytes=16_384)
                + frames.frame(frames.DATA, 0, 1, message * 3 + b"\0\0\1\0\0half")
            )
            got = b""
            while b"grpc-status" not in got:
                got += await asyncio.wait_for(raw.reader.read(65_536), 5)
            assert [connection._held_bytes for connection in server.connections] == [0]
            raw.writer.close()

    async def test_trailers_of_a_call_that_was_refused_at_once(self) -> None:
        """Both frames come in one read: the second belongs to a call that is answered already."""
        async with lane() as (address, _, _server):
            raw = await Raw.connect(address)
            block = head_block(path="/no.such/Method")
            trailers = encode_fields([(b"x-checksum", b"1")])
            raw.writer.write(
                frames.header_frames(1, block, end_stream=False, max_frame_bytes=16_384)
                + frames.header_frames(1, trailers, end_stream=True, max_frame_bytes=16_384)
                + frames.ping(b"andafter")
            )
            assert b"not offered here" in await raw.until(frames.ping_ack(b"andafter"))

    async def test_a_silent_peer_is_asked_and_then_left(self) -> None:
        async with lane(LaneOptions(keepalive_s=10.0, keepalive_timeout_s=1.0)) as (address, _, server):
            raw = await Raw.connect(address)
            await asyncio.wait_for(raw.reader.read(1), 5)
            connection = next(iter(server.connections))
            connection.sweep(connection._heard_s + 11.0)
            connection.sweep(connection._heard_s + 13.0)
            assert frames.ping(b"areyouok") in await raw.rest()
