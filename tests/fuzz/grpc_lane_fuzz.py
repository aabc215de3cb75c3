"""gRPC on the lane: message framing against a plain reading of the rules, heads, and whole connections.

    python -m tests.fuzz.grpc_lane_fuzz --seconds 3600          (more ways to run it: campaign.py)

The lane's inputs are scripts of HTTP/2 frames (http2_script.py), with the owner's acts read as what may happen to
a connection: time that passes, a drain, a transport that takes no more.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Any, cast

import hpack

from rapide.proto import open_inference_pb2 as pb
from rapide.proto import services
from rapide.server.codecs.limits import DEFAULT_LIMITS
from rapide.server.context import CallContext
from rapide.server.errors import InvalidRequest, NotFound, RapideError, TooLarge
from rapide.server.protocols.grpc_call import Procedure, parse
from rapide.server.protocols.grpc_door import GrpcDoor
from rapide.server.protocols.grpc_lane.framing import PREFIX, MessageReader, decompress, frame_message
from rapide.server.protocols.grpc_lane.head import interpret_head
from rapide.server.protocols.grpc_lane.line import LaneConnection
from rapide.server.protocols.grpc_lane.options import LaneOptions
from rapide.server.protocols.grpc_lane.server import LaneServer
from rapide.server.protocols.http2 import frames
from rapide.server.protocols.http2.faults import StreamFault
from rapide.server.protocols.http2.header_blocks import encode_fields
from rapide.server.protocols.turns import SHARE_S
from tests.fuzz.campaign import Target, main
from tests.fuzz.http2_fuzz import LIMITS, frames_of
from tests.fuzz.http2_script import Act, Client, Performed, script, steps
from tests.fuzz.wires import Loop, Wire

# -- framing ---------------------------------------------------------------------------------------------------

ENCODINGS = (b"identity", b"gzip", b"deflate", b"snappy")
BOUND_BYTES = 3000


def plain_reading(data: bytes, encoding: bytes) -> list[bytes] | type[RapideError]:
    """The messages of a call whose DATA is ``data``, or how it fails."""
    messages = []
    while data:
        if len(data) < 5:
            return InvalidRequest
        flag, length, rest = data[0], int.from_bytes(data[1:5], "big"), data[5:]
        if flag > 1 or (flag and encoding == b"identity"):
            return InvalidRequest
        if length > BOUND_BYTES:
            return TooLarge
        if length > len(rest):
            return InvalidRequest
        message, data = rest[:length], rest[length:]
        if flag:
            try:
                message = decompress(message, encoding, BOUND_BYTES)
            except RapideError as error:
                return type(error)
        messages.append(message)
    return messages


def attempt_framing(data: bytes) -> None:
    encoding, data = ENCODINGS[data[0] % 4 if data else 0], data[1:]
    expected = plain_reading(data, encoding)
    for cut in (cut for cut in (1, 3, 5, 100, 4000, 1 << 30) if len(data) < 600 * cut):
        reader = MessageReader(BOUND_BYTES, encoding)
        messages: list[bytes] = []
        outcome: list[bytes] | type[RapideError] = messages
        try:
            for start in range(0, len(data), cut):
                piece = b"before" + data[start : start + cut] + b"behind"
                messages += reader.feed(piece, 6, len(piece) - 6)
                assert reader.waiting_bytes <= BOUND_BYTES + 5
            reader.finish()
        except RapideError as error:
            outcome = type(error)
        assert outcome == expected


def grow_framing(random: Random) -> bytes:
    encoding = random.randrange(4)
    parts = [bytes([encoding])]
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        message = random.choice((b"", b"x", random.randbytes(40), bytes(3000), bytes(3001), bytes(100_000)))
        kind = random.choice((ENCODINGS[encoding], b"identity", b"gzip", b"deflate"))
        framed = frame_message(message, kind)
        if random.random() < 0.1:
            framed = PREFIX.pack(random.choice((0, 1, 2)), random.choice((0, 7, 3000, 2**32 - 1))) + framed[5:]
        parts.append(framed)
    return b"".join(parts)


def seeds_framing() -> list[bytes]:
    return [
        b"\0" + frame_message(b"one") + frame_message(b"") + frame_message(b"two"),
        b"\1" + PREFIX.pack(1, len(small := gzip.compress(b"text" * 50, mtime=0))) + small,
        b"\2" + PREFIX.pack(1, len(small := zlib.compress(b"text" * 50))) + small,
    ]


# -- heads -----------------------------------------------------------------------------------------------------


def attempt_head(data: bytes) -> None:
    """``data`` is a header block."""
    try:
        fields = [(bytes(name), bytes(value)) for name, value in hpack.Decoder(2000).decode(data, raw=True)]
    except (hpack.HPACKError, IndexError):
        return
    try:
        head = interpret_head(fields)
    except StreamFault:
        return
    assert head.path
    assert head.timeout_s is None or head.timeout_s >= 0
    assert all(isinstance(value, str) for value in head.metadata.values())
    GrpcDoor(cast("Any", None), lambda: "made").context(head.metadata, head.timeout_s)


def grow_head(random: Random) -> bytes:
    names: tuple[bytes, ...] = (
        b"te",
        b"grpc-timeout",
        b"grpc-encoding",
        b"grpc-accept-encoding",
        b"content-type",
        b"x-request-id",
    )
    names += (
        b"traceparent",
        b"rapide-user-key",
        b"x-bin",
        b":path",
        b":method",
        b"connection",
        b"X",
        b"",
        b"\xff",
    )
    values: tuple[bytes, ...] = (
        b"trailers",
        b"1S",
        b"99999999H",
        b"000m",
        b"-1S",
        b"S",
        b"",
        b"gzip",
        b"a,b,,c",
        b"application/grpc",
    )
    values += (b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"\xff\xfe", b"a\nb", b"x" * 300, b"POST", b"/m")
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/m")] if random.random() < 0.9 else []
    fields += [(random.choice(names), random.choice(values)) for _ in range(random.randrange(6))]
    return encode_fields(fields)


# -- connections -----------------------------------------------------------------------------------------------

_METHODS = {method.name: method for method in services.methods(services.OPEN_INFERENCE)}
_WATCH = next(method for method in services.methods(services.HEALTH) if method.name == "Watch")
OPTIONS = [
    LaneOptions(max_message_bytes=20_000, max_held_bytes=50_000, blocked_s=5.0, keepalive_s=20.0, http2=limits)
    for limits in LIMITS
]


class NoModels:
    """What the hot way asks of the service."""

    codec_limits = DEFAULT_LIMITS

    def route(self, model: str, _version: str, _context: CallContext) -> Any:
        raise NotFound(f"there is no model {model!r}")


async def _echo(_service: Any, _context: CallContext, request: Any) -> Any:
    return pb.ModelInferResponse(id=request.id, raw_output_contents=request.raw_input_contents)


async def _refuse(_service: Any, _context: CallContext, request: Any) -> Any:
    raise NotFound(f"no model {request.name!r}")


async def _double(_service: Any, _context: CallContext, given: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for raw in given:
        request = parse(pb.ModelInferRequest, raw)
        for _ in range(2):
            yield pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse(id=request.id))


async def _count(_service: Any, _context: CallContext, _request: Any) -> AsyncIterator[Any]:
    for _ in range(3):
        yield _WATCH.response_class(status=1)


PROCEDURES = [
    Procedure(_METHODS["ModelInfer"], _echo),
    Procedure(_METHODS["ModelReady"], _refuse),
    Procedure(_METHODS["ModelStreamInfer"], _double),
    Procedure(_WATCH, _count),
]


class Heard(logging.Handler):
    """Keeps what the lane logs as an error: it should never."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def listening() -> Iterator[Heard]:
    heard = Heard()
    log = logging.getLogger("rapide.server.protocols.grpc_lane")
    log.addHandler(heard)
    try:
        yield heard
    finally:
        log.removeHandler(heard)


def attempt_lane(data: bytes) -> None:
    if not data:
        return
    loop = Loop()
    try:
        with listening() as heard:
            _drive(loop, OPTIONS[data[0] % len(OPTIONS)], data[1:])
        assert not heard.records, heard.records[0].exc_info
    finally:
        loop.close()


def _drive(loop: Loop, options: LaneOptions, data: bytes) -> None:
    now_s = [0.0]
    ids = iter(range(1, 1 << 30))
    door = GrpcDoor(cast("Any", None), lambda: f"made-{next(ids)}")
    # Each look at the clock costs time, so that long reads use their share up and stand in line.
    looks = count()
    server = LaneServer(
        cast("Any", NoModels()), door, PROCEDURES, options, clock=lambda: now_s[0] + next(looks) * SHARE_S / 3
    )
    line = loop.asyncio.run_until_complete(_connection(server))
    wire = Wire(loop.asyncio, line)
    for step in steps(data):
        if wire.is_lost:
            break
        if isinstance(step, Performed):
            _happen(step, line, now_s)
        elif not wire.is_closing() and not wire.is_paused:
            for start in range(0, len(step), _PIECE_BYTES):
                if not wire.is_closing():
                    line.data_received(step[start : start + _PIECE_BYTES])
        loop.settle()
        assert 0 <= line._held_bytes <= options.max_held_bytes
    list(frames_of(bytes(wire.written)))
    wire.lose()
    loop.settle()
    assert line._held_bytes == 0
    assert not line._tasks
    assert not line.http2.active_streams
    assert not server.connections


_PIECE_BYTES = 40_000


async def _connection(server: LaneServer) -> LaneConnection:
    """A connection wants a running loop."""
    return server.connection()


def _happen(performed: Performed, line: LaneConnection, now_s: list[float]) -> None:
    match performed.act:
        case Act.PASS_TIME:
            now_s[0] += performed.number % 100 / 10
            line.sweep(now_s[0])
        case Act.GO_AWAY:
            line.drain()
        case Act.PAUSE if line._blocked_since_s is None:
            line.pause_writing()
        case Act.RESUME | Act.RESPOND if line._blocked_since_s is not None:
            line.resume_writing()


def _head(path: str, *more: tuple[bytes, bytes], method: bytes = b"POST") -> bytes:
    pseudo = [(b":method", method), (b":scheme", b"http"), (b":path", path.encode())]
    return encode_fields([*pseudo, *(more or ((b"content-type", b"application/grpc"),))])


_GRPC = (b"content-type", b"application/grpc")
HEADS = (
    *(_head(procedure.method.path) for procedure in PROCEDURES),
    _head(PROCEDURES[0].method.path),
    _head(PROCEDURES[0].method.path, _GRPC, (b"grpc-timeout", b"1m")),
    _head(PROCEDURES[2].method.path, _GRPC, (b"grpc-encoding", b"gzip"), (b"grpc-accept-encoding", b"gzip")),
    _head(PROCEDURES[0].method.path, _GRPC, (b"grpc-encoding", b"gzip")),
    _head("/no.such/Method"),
    _head(PROCEDURES[0].method.path, (b"content-type", b"text/html")),
    _head(PROCEDURES[0].method.path, _GRPC, method=b"GET"),
    _head(PROCEDURES[0].method.path, _GRPC, (b"grpc-timeout", b"soon")),
    _head(PROCEDURES[0].method.path, _GRPC, (b"Upper", b"case")),
)


def _messages() -> tuple[bytes, ...]:
    raw = pb.ModelInferRequest(model_name="m", id="1", raw_input_contents=[bytes(8)])
    raw.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    usual = raw.SerializeToString()
    raw.raw_input_contents[0] = bytes(15_000)
    raw.inputs[0].shape[:] = [1, 3750]
    large = raw.SerializeToString()
    return (
        *(frame_message(usual),) * 3,
        frame_message(large),
        frame_message(usual) * 5,
        frame_message(b""),
        frame_message(usual, b"gzip"),
        frame_message(bytes(100_000), b"gzip"),
        frame_message(bytes(19_000), b"gzip"),
        frame_message(usual)[:-3],
        frame_message(bytes(20_001))[:16_000],
        b"\2\0\0\0\1x",
        frame_message(b"\xff" * 10),
        b"",
    )


def grow_lane(random: Random) -> bytes:
    return script(random, Client(HEADS, _messages()))


def seeds_lane() -> list[bytes]:
    opening = b"\1" + frames.PREFACE + frames.settings({})
    body = frames.frame(frames.DATA, frames.END_STREAM, 1, _messages()[0])
    return [
        opening + frames.header_frames(1, head, end_stream=False, max_frame_bytes=16_384) + body
        for head in HEADS[:4]
    ]


TARGETS = [
    Target("grpc_framing", attempt_framing, seeds_framing(), grow_framing),
    Target("grpc_head", attempt_head, [grow_head(Random(seed)) for seed in range(4)], grow_head),
    Target("grpc_lane", attempt_lane, seeds_lane(), grow_lane),
]

if __name__ == "__main__":
    raise SystemExit(main(__doc__, TARGETS))
