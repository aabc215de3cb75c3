"""One call on the lane: from its messages to its answer, through the door that all gRPC servers share.

A call is a small object that owns its stream. It never writes bytes itself: it tells its connection what to send,
and the connection decides when.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Protocol

from rapide.server.context import CallContext
from rapide.server.errors import DeadlineExceeded, InvalidRequest, RapideError, TooLarge
from rapide.server.protocols.callers import answer_headers
from rapide.server.protocols.grpc_call import Procedure
from rapide.server.protocols.grpc_details import NAME as DETAILS
from rapide.server.protocols.grpc_door import Failure, GrpcDoor
from rapide.server.protocols.grpc_lane.framing import ACCEPT_ENCODING, MessageReader, Packed, frame_message
from rapide.server.protocols.grpc_lane.head import CallHead
from rapide.server.protocols.grpc_lane.trailers import CONTENT_TYPE, OK, trailers
from rapide.server.protocols.http2.connection import Http2Connection
from rapide.server.protocols.http2.header_blocks import encode_fields
from rapide.server.protocols.http2.stream import Stream

INBOX_BYTES = 1 << 20
"""What a streaming call may hold unread before its peer gets no more credit."""
MESSAGE_BYTES = 64
"""What an unread message costs beside its octets: tiny ones would else be held by the hundred thousand."""
_IDENTITY = b"identity"


class Line(Protocol):
    """What a call needs of its connection."""

    http2: Http2Connection[CallHead]
    door: GrpcDoor
    max_message_bytes: int
    compression: bytes

    def hold(self, size_bytes: int) -> None:
        """Counts bytes of unfinished messages. Raises TooLarge above the connection's bound."""

    def release(self, size_bytes: int) -> None: ...

    def write_soon(self) -> None:
        """There is something to send."""

    def refuse(self, stream: Stream, context: CallContext, error: RapideError) -> str:
        """Ends a call that has sent nothing yet with a status; gives the code's name for telemetry."""

    def take_hot(self, stream: Stream, procedure: Procedure, buffer: bytes, start: int, end: int) -> bool:
        """Whether the hot way has taken the call's only message."""

    def learn(self, procedure: Procedure, raw: bytes) -> None:
        """The general way has answered ``raw``."""

    async def unpack(self, message: Packed, encoding: bytes) -> bytes:
        """Decompresses where nobody waits for it. Raises what ``framing.decompress`` raises."""

    async def turn(self, more: bool) -> None:
        """Before each message of a streaming call: one read may bring ``more``, and thousands, none of which waits
        for anything else."""

    def spawn(self, call: Call) -> asyncio.Task[None]: ...


class Call:
    """What unary and streaming calls have in common."""

    __slots__ = (
        "_came_bytes",
        "_context",
        "_held_bytes",
        "_is_headed",
        "_line",
        "_procedure",
        "_reader",
        "_stream",
        "task",
    )

    def __init__(self, line: Line, stream: Stream, procedure: Procedure) -> None:
        head: CallHead = stream.head
        self._line = line
        self._stream = stream
        self._procedure = procedure
        self._context: CallContext = line.door.context(head.metadata, head.timeout_s)
        self._reader = MessageReader(line.max_message_bytes, head.encoding)
        self._came_bytes = 0
        self._held_bytes = 0
        self._is_headed = False
        self.task: asyncio.Task[None] | None = None

    def feed(self, buffer: bytes, start: int, end: int, ended: bool) -> None:
        """More of the request; ``ended``: the last of it."""
        if not self._stream.sending:
            return  # answered already, by an event of the same read
        try:
            self._came_bytes += end - start
            messages = self._reader.feed(buffer, start, end)
            if ended:
                self._reader.finish()
                self._check_length()
            self.take(messages, ended)
            self._hold(self._reader.waiting_bytes + self.kept_bytes())
        except RapideError as error:
            self.fail(error)

    def _check_length(self) -> None:
        """Raises InvalidRequest where the peer has announced another length than it sent (RFC 9113, 8.1.1)."""
        head: CallHead = self._stream.head
        if head.content_bytes is not None and head.content_bytes != self._came_bytes:
            raise InvalidRequest(f"content-length is {head.content_bytes}; {self._came_bytes} bytes came")

    def take(self, messages: list[bytes], ended: bool) -> None:
        raise NotImplementedError

    def kept_bytes(self) -> int:
        """Whole messages that nobody works on yet."""
        raise NotImplementedError

    def drop(self) -> None:
        """Lets go of them: the call itself may live on in what else the same read brought."""
        raise NotImplementedError

    async def run(self) -> None:
        raise NotImplementedError

    def gone(self) -> None:
        """Nobody waits for the answer any more."""
        self._hold(0)
        self.drop()
        if self.task is not None:
            self.task.cancel()

    def fail(self, error: RapideError) -> None:
        """Ends the call with a status."""
        if self._is_headed:
            failure = Failure.of(error)
            block = trailers(failure.code, failure.text) + encode_fields(failure_fields(failure))
            self._line.http2.send_trailers(self._stream, block)
            self._line.write_soon()
        else:
            self._line.refuse(self._stream, self._context, error)
        self.gone()

    def _hold(self, size_bytes: int) -> None:
        change = size_bytes - self._held_bytes
        self._held_bytes = size_bytes
        if change > 0:
            self._line.hold(change)
        elif change:
            self._line.release(-change)

    async def _unpacked(self, message: bytes) -> bytes:
        if not isinstance(message, Packed):
            return message
        head: CallHead = self._stream.head
        return await self._line.unpack(message, head.encoding)

    def _encoding(self) -> bytes:
        """How answers are compressed: as the server is set up, where the caller reads that."""
        wanted = self._line.compression
        head: CallHead = self._stream.head
        return wanted if wanted in head.accepts else _IDENTITY

    def _head_block(self, encoding: bytes) -> bytes:
        fields = [CONTENT_TYPE, *octets(answer_headers(self._context))]
        if encoding != _IDENTITY:
            fields.append((b"grpc-encoding", encoding))
        fields.append((b"grpc-accept-encoding", ACCEPT_ENCODING))
        return encode_fields(fields, status=200)


class UnaryCall(Call):
    """One message for one message."""

    __slots__ = ("_given", "_is_packed")

    def __init__(self, line: Line, stream: Stream, procedure: Procedure) -> None:
        super().__init__(line, stream, procedure)
        self._given: list[bytes] = []
        self._is_packed = False
        """Its message is to be decompressed, and counts as held until it is answered."""

    def take(self, messages: list[bytes], ended: bool) -> None:
        self._given += messages
        if len(self._given) > 1 or (ended and not self._given):
            came = "more" if self._given else "none"
            raise InvalidRequest(f"{self._procedure.method.name} takes one message; {came} came")
        if not ended:
            return
        raw = self._given[0]
        self._is_packed = isinstance(raw, Packed)
        if not self._is_packed and self._line.take_hot(self._stream, self._procedure, raw, 0, len(raw)):
            self._given = []
        else:
            self.task = self._line.spawn(self)

    def kept_bytes(self) -> int:
        return 0 if self.task is not None and not self._is_packed else sum(map(len, self._given))

    def drop(self) -> None:
        self._given = []

    async def run(self) -> None:
        try:
            async with _until(self._context, self._procedure):
                raw = await self._unpacked(self._given[0])
                if self._is_packed:
                    self._given = []
                    self._hold(len(raw))
                answer = await self._line.door.unary(self._procedure, self._context, raw)
        except TimeoutError:
            self.fail(DeadlineExceeded("the deadline passed before the call was done"))
        except RapideError as error:
            self.fail(error)
        else:
            encoding = self._encoding()
            framed = frame_message(answer, encoding)
            self._line.http2.respond(self._stream, self._head_block(encoding), framed, OK)
            self._line.write_soon()
            self._line.learn(self._procedure, raw)
        finally:
            self._hold(0)


class StreamCall(Call):
    """Many answers, for one message or for many."""

    __slots__ = ("_arrived", "_drained", "_inbox", "_inbox_bytes", "_is_complete")

    def __init__(self, line: Line, stream: Stream, procedure: Procedure) -> None:
        super().__init__(line, stream, procedure)
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._is_complete = False
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self.task = line.spawn(self)

    def take(self, messages: list[bytes], ended: bool) -> None:
        self._inbox.extend(messages)
        self._inbox_bytes += sum(map(len, messages)) + MESSAGE_BYTES * len(messages)
        self._is_complete = ended
        if self._inbox_bytes > INBOX_BYTES:
            self._stream.paused = True
        self._arrived.set()

    def kept_bytes(self) -> int:
        return self._inbox_bytes

    def drop(self) -> None:
        self._inbox.clear()
        self._inbox_bytes = 0

    def drained(self) -> None:
        """What waited for the peer's window has been sent."""
        self._drained.set()

    async def run(self) -> None:
        try:
            async with _until(self._context, self._procedure):
                await self._answer()
        except TimeoutError:
            self.fail(DeadlineExceeded("the deadline passed before the call was done"))
        except RapideError as error:
            self.fail(error)
        finally:
            self._hold(0)

    async def _answer(self) -> None:
        http2, stream, line = self._line.http2, self._stream, self._line
        encoding = self._encoding()
        http2.send_head(stream, self._head_block(encoding))
        self._is_headed = True
        line.write_soon()
        given = self._messages() if self._procedure.method.client_streaming else await self._only_message()
        answers = line.door.stream(self._procedure, self._context, given)
        async with aclosing(answers):
            async for answer in answers:
                self._drained.clear()
                is_sent = http2.send_data(stream, frame_message(answer, encoding))
                line.write_soon()
                if not is_sent:
                    await self._drained.wait()
        http2.send_trailers(stream, OK)
        line.write_soon()

    async def _messages(self) -> AsyncIterator[bytes]:
        while True:
            while self._inbox:
                await self._line.turn(len(self._inbox) > 1)
                if not self._inbox:
                    break  # the call has ended meanwhile
                message = self._inbox.popleft()
                self._inbox_bytes -= len(message) + MESSAGE_BYTES
                message = await self._unpacked(message)
                self._hold(self._reader.waiting_bytes + self._inbox_bytes)
                if self._stream.paused and self._inbox_bytes <= INBOX_BYTES // 2:
                    self._line.http2.resume(self._stream)
                    self._line.write_soon()
                yield message
            if self._is_complete:
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def _only_message(self) -> bytes:
        messages = self._messages()
        async for message in messages:
            return message
        raise InvalidRequest(f"{self._procedure.method.name} takes one message; none came")


def _until(context: CallContext, procedure: Procedure) -> asyncio.Timeout:
    """Bounds a call by its deadline, unless the engine does that (``infers``)."""
    if procedure.infers or context.deadline_s == float("inf"):
        return asyncio.timeout(None)
    return asyncio.timeout(max(0.0, context.deadline_s - time.monotonic()))


def octets(fields: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode("ascii", "replace")) for name, value in fields)


def failure_fields(failure: Failure) -> tuple[tuple[bytes, bytes], ...]:
    """What the trailers of a failed call say beside code and text. Binary values go as Base64 without padding."""
    fields = octets(failure.trailers)
    if not failure.details:
        return fields
    return (*fields, (DETAILS.encode(), base64.b64encode(failure.details).rstrip(b"=")))


def bound_held(held_bytes: int, bound_bytes: int) -> None:
    """Raises TooLarge where one connection would hold too much of unfinished messages."""
    if held_bytes > bound_bytes:
        raise TooLarge(
            f"{held_bytes} bytes of unfinished messages are on this connection; at most {bound_bytes} are held",
            hint="Send large messages one after the other.",
        )
