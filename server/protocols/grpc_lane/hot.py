"""The hot way of ModelInfer: what usually comes, read by pattern, queued, and answered from precomputed bytes.

    template match → arrays (views) → route → engine.submit … one run for a tick … → head + tensors + trailers

``HotWay.take`` says False to anything unusual, before it has had any effect; the call then goes the general way,
which is always right, and from which the patterns are learnt. So there is one meaning and two speeds: routing,
queue, deadlines, telemetry and errors are the service's and the engine's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from rapide.proto import open_inference_pb2 as pb
from rapide.server.catalogue import LoadedVersion
from rapide.server.codecs import oip_protobuf
from rapide.server.codecs.infer_template import AnswerTemplate, InferTemplate, learn
from rapide.server.context import AnsweredBy, CallContext
from rapide.server.errors import QueueFull, RapideError
from rapide.server.merging import Inputs, PackedRows, packs
from rapide.server.protocols.by_version import ByVersion
from rapide.server.protocols.callers import REQUEST_ID, Ids, begin_call
from rapide.server.protocols.grpc_lane.framing import ACCEPT_ENCODING, PREFIX
from rapide.server.protocols.grpc_lane.head import CallHead
from rapide.server.protocols.grpc_lane.trailers import CONTENT_TYPE, OK
from rapide.server.protocols.http2.header_blocks import encode_fields
from rapide.server.protocols.http2.stream import Stream
from rapide.server.protocols.raw_outputs import RawOutputs
from rapide.server.protocols.status import OK as OK_CODE
from rapide.server.protocols.usual import usual_outputs
from rapide.server.runs import Outcome, Ticket
from rapide.server.service import InferenceService

if TYPE_CHECKING:
    from rapide.server.protocols.grpc_lane.line import LaneConnection

MAX_TEMPLATES = 1024
"""Distinct patterns remembered: models × row counts × clients' habits; beyond, all are learnt anew."""
MAX_SAME_SIZE = 8
"""Patterns of one size, which are tried one after the other, the last used first: a client that names its inputs
in another order each time must not make the others' look-ups long."""
MAX_REFUSALS = 3
"""How often a message of one size may turn out to have no pattern before the size is no longer looked at."""

MAX_PACKED_BYTES = 64 * 1024
"""Larger tensors are not copied out of what was received, but looked at as arrays where they stand."""

_REQUEST_ID_NAME = b"\x00" + bytes((len(REQUEST_ID),)) + REQUEST_ID.encode()
"""A literal header field without indexing, up to its value (RFC 7541, 6.2.2)."""
_MAX_PLAIN_LENGTH = 126
_ENCODING = "protobuf-raw"


class _Plan:
    """How one version answers requests of one pattern."""

    __slots__ = ("_finite", "_heads", "_packs", "answer", "outputs", "version")

    def __init__(self, version: LoadedVersion, template: InferTemplate, indexes: Sequence[int]) -> None:
        specs = [version.model.signature.outputs[index] for index in indexes]
        self.version = version
        self._finite = [index for index, spec in enumerate(version.model.signature.inputs) if spec.finite]
        """Inputs in which every request is searched for NaN."""
        self._packs = not self._finite and template.size <= MAX_PACKED_BYTES and packs(version.model.signature)
        self.outputs = RawOutputs(specs, indexes)
        self.answer = AnswerTemplate(
            version.model.name,
            version.model.version,
            [(spec.name, spec.datatype) for spec in specs],
            [spec.shape[1:] for spec in specs],
        )
        self._heads: dict[AnsweredBy, bytes] = {}

    def inputs(self, template: InferTemplate, buffer: bytes, position: int) -> Inputs | None:
        """What the engine is given; None where the general way has to say what is wrong with it."""
        if self._packs:
            return PackedRows(template.raw(buffer, position), template.rows)
        arrays = template.arrays(buffer, position)
        if any(np.isnan(arrays[index]).any() for index in self._finite):
            return None
        return arrays

    def head(self, who: AnsweredBy, request_id: str) -> bytes:
        """The block of the answer's initial metadata."""
        known = self._heads.get(who)
        if known is None:
            fields = [(name.encode(), value.encode()) for name, value in who.headers]
            accepts = (b"grpc-accept-encoding", ACCEPT_ENCODING)
            known = self._heads[who] = (
                encode_fields([CONTENT_TYPE, accepts, *fields], status=200) + _REQUEST_ID_NAME
            )
        octets = request_id.encode()
        if len(octets) > _MAX_PLAIN_LENGTH:
            return known[: -len(_REQUEST_ID_NAME)] + encode_fields([(REQUEST_ID.encode(), octets)])
        return known + bytes((len(octets),)) + octets


class _Pattern:
    """A template, and how each version answers it."""

    __slots__ = ("plans", "template")

    def __init__(self, template: InferTemplate) -> None:
        self.template = template
        self.plans: ByVersion[_Plan | None] = ByVersion(lambda version: _plan(template, version))
        """None where requests like these must go the general way."""


_NO_STREAM: Final = Stream(0, None, 0, 0)
"""What an answered call holds. Its own stream holds the call: together they were garbage that only the collector
finds, seven objects a request, and it stopped the loop for each hundred requests."""


class HotCall:
    """One request under way. It owns its stream, as the general way's calls do."""

    __slots__ = ("_context", "_id", "_line", "_plan", "_stream", "_way", "ticket")

    def __init__(
        self,
        way: HotWay,
        line: LaneConnection,
        stream: Stream,
        plan: _Plan,
        context: CallContext,
        request_id: bytes,
    ) -> None:
        self._way = way
        self._line = line
        self._stream = stream
        self._plan = plan
        self._context = context
        self._id = request_id
        self.ticket: Ticket | None = None

    def done(self, outcome: Outcome) -> None:
        """The engine has answered."""
        context, plan, stream, line = self._context, self._plan, self._stream, self._line
        self._stream = _NO_STREAM
        line.hot_calls -= 1
        if isinstance(outcome, RapideError):
            self._fail(stream, outcome)
            return
        try:
            message = plan.answer.encode(self._id, context.rows, plan.outputs.of(outcome))
        except RapideError as error:
            self._fail(stream, error)
            return
        context.queue_s = outcome.queue_s
        context.compute_s = outcome.run.compute_s
        who = context.answered_by
        assert who is not None  # noqa: S101 - HotWay.take has routed it
        line.http2.respond(stream, plan.head(who, context.request_id), PREFIX.pack(0, len(message)) + message, OK)
        try:
            line.write_answered()
        finally:
            self._way.finished(plan.version, context, OK_CODE)

    def gone(self) -> None:
        """Nobody waits any more."""
        if self.ticket is not None and self.ticket.cancel():
            self._line.hot_calls -= 1
            self._way.finished(self._plan.version, self._context, "request_cancelled")

    def feed(self, _buffer: bytes, _start: int, _end: int, _ended: bool) -> None:
        """A request on the hot way is complete; what follows is not for it."""

    def _fail(self, stream: Stream, error: RapideError) -> None:
        self._way.finished(self._plan.version, self._context, self._line.refuse(stream, self._context, error))


class HotWay:
    """The patterns of one lane, and the way into the engine."""

    def __init__(self, service: InferenceService, ids: Ids, clock: Callable[[], float]) -> None:
        self._service = service
        self._ids = ids
        self._clock = clock
        self._by_size: dict[int, list[_Pattern]] = {}
        self._heads: list[bytes] = []
        self._refusals: dict[int, int] = {}
        self._asked: LoadedVersion | None = None
        """What the last request that was taken is for."""
        self._count = 0
        self.is_open = True
        """Whether anything is taken: tests compare both ways."""
        self.taken = 0
        """Requests that went this way."""

    def take(self, line: LaneConnection, stream: Stream, buffer: bytes, start: int, end: int) -> bool:
        """Takes the ModelInfer message in ``buffer[start:end]`` if it is a usual one."""
        found = self._find(buffer, start, end) if self.is_open else None
        if found is None:
            return False
        pattern, (request_id, position) = found
        head: CallHead = stream.head
        request = pattern.template.request
        context = begin_call("grpc", head.metadata, self._ids, self._clock(), head.timeout_s)
        try:
            version = self._service.route(request.model_name, request.model_version, context)
            plan = pattern.plans.of(version)
            if plan is None:
                return False
            inputs = plan.inputs(pattern.template, buffer, position)
            if inputs is None:
                return False
            context.encoding = _ENCODING
            context.payload_bytes = end - start
            context.rows = pattern.template.rows
            call = HotCall(self, line, stream, plan, context, request_id)
            call.ticket = version.engine.submit(inputs, context.deadline_s, call.done)
            line.hot_calls += 1
            self._asked = version
        except QueueFull as error:
            # Said here, for less than an answer costs: a server that is asked too much must not do more for that.
            self._service.finished(context, line.refuse(stream, context, error))
            self.taken += 1
            return True
        except RapideError:
            return False  # the general way says what is wrong
        recorder = version.recorder
        recorder.in_flight(1)
        if recorder.looks:
            recorder.look(pattern.template.arrays(buffer, position))
        stream.owner = call
        self.taken += 1
        return True

    def forget(self) -> None:
        """After a read that brought much: it has company."""
        self._asked = None

    def hurry(self) -> None:
        """After a read: what it brought runs at once, if it came alone."""
        version, self._asked = self._asked, None
        if version is not None:
            version.engine.hurry()

    def learn(self, raw: bytes) -> None:
        """Looks whether ``raw``, a ModelInfer message that the general way has answered, has a pattern."""
        size = len(raw)
        if self._refusals.get(size, 0) >= MAX_REFUSALS or self._find(raw, 0, size) is not None:
            return
        message = pb.ModelInferRequest.FromString(raw)
        try:
            template = learn(raw, message, oip_protobuf.decode_request(message, None, self._service.codec_limits))
        except RapideError:
            template = None  # it was answered, with what we do not look at here: tensors in shared memory
        if template is None:
            if len(self._refusals) >= MAX_TEMPLATES:
                self._refusals.clear()
            self._refusals[size] = self._refusals.get(size, 0) + 1
            return
        if self._count >= MAX_TEMPLATES:
            self._by_size.clear()
            self._heads.clear()
            self._count = 0
        patterns = self._by_size.setdefault(template.size, [])
        patterns.insert(0, _Pattern(template))
        self._count += 1
        if len(patterns) > MAX_SAME_SIZE:
            patterns.pop()
            self._count -= 1
        if template.head not in self._heads:
            self._heads.append(template.head)

    def finished(self, version: LoadedVersion, context: CallContext, code: str) -> None:
        self._service.left(version, context, code)

    def _find(self, buffer: bytes, start: int, end: int) -> tuple[_Pattern, tuple[bytes, int]] | None:
        size = end - start
        found = _first(self._by_size.get(size), buffer, start, end)
        if found is not None:
            return found
        for head in self._heads:  # with an id the size says nothing until the id's length is known
            place = start + len(head) + 1
            if place < end and buffer.startswith(head, start):
                found = _first(self._by_size.get(size - 2 - buffer[place]), buffer, start, end)
                if found is not None:
                    return found
        return None


def _first(
    patterns: list[_Pattern] | None, buffer: bytes, start: int, end: int
) -> tuple[_Pattern, tuple[bytes, int]] | None:
    """The pattern that ``buffer[start:end]`` has, and its match. It becomes the first."""
    if patterns is None:
        return None
    for place, pattern in enumerate(patterns):
        match = pattern.template.match(buffer, start, end)
        if match is not None:
            if place:
                patterns.insert(0, patterns.pop(place))
            return pattern, match
    return None


def _plan(template: InferTemplate, version: LoadedVersion) -> _Plan | None:
    """How ``version`` answers requests like ``template``; None where signature or outputs forbid it."""
    indexes = usual_outputs(template.request, version)
    return None if indexes is None else _Plan(version, template, indexes)
