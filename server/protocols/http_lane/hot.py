"""The hot way of infer over HTTP: what usually comes, read by pattern, queued, answered from precomputed bytes.

    template match → inputs → route → engine.submit … one run for a tick … → texts + elements

As its twin of gRPC (``grpc_lane/hot.py``) it says False to anything unusual before it has had any effect; the
general way answers that, and the patterns are learnt from what it has answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from rapide.server.catalogue import LoadedVersion
from rapide.server.codecs import oip_json
from rapide.server.codecs.binary_part import HEADER_LENGTH, parse_header_length
from rapide.server.codecs.json_template import BinaryTemplate, JsonAnswerTemplate, Template, learn
from rapide.server.context import CallContext
from rapide.server.errors import QueueFull, RapideError
from rapide.server.merging import Inputs, PackedRows, packs
from rapide.server.protocols.by_version import ByVersion
from rapide.server.protocols.callers import read_timeout
from rapide.server.protocols.http_call import BINARY, HttpReply
from rapide.server.protocols.http_door import CANCELLED, refusal
from rapide.server.protocols.http_lane.exchange import Exchange
from rapide.server.protocols.json_outputs import JsonOutputs
from rapide.server.protocols.raw_outputs import RawOutputs
from rapide.server.protocols.status import OK, refused, status_of
from rapide.server.protocols.usual import usual_outputs
from rapide.server.runs import Answer, Outcome, Ticket
from rapide.server.service import InferenceService
from rapide.server.signature import DataType

if TYPE_CHECKING:
    from rapide.server.protocols.http_lane.fast import FastDoor
    from rapide.server.protocols.http_lane.line import HttpConnection

MAX_KEYS: Final = 1024
"""Models × versions × lengths of JSON parts; beyond, all are learnt anew."""
MAX_PATTERNS: Final = 8
"""Of one key, which are tried one after the other, the last used first."""
LEARNINGS: Final = 64
"""How often a key may be learnt from without ever being used: bodies with an id of their own have no pattern."""
MAX_BODY_BYTES: Final = 64 * 1024
"""Larger bodies go the general way, whose cost is small beside theirs."""
_NO_JSON: Final = frozenset({DataType.FP16, DataType.BF16})

_Key = tuple[bytes, str | None]
"""URL and the length of the JSON part, as it came."""


class _Plan:
    """How one version answers requests of one pattern."""

    __slots__ = ("_answer", "_finite", "_json", "_packs", "_raw", "version")

    def __init__(self, version: LoadedVersion, template: Template, indexes: Sequence[int]) -> None:
        signature, reply = version.model.signature, template.reply
        specs = [(index, signature.outputs[index]) for index in indexes]
        self.version = version
        self._finite = [index for index, spec in enumerate(signature.inputs) if spec.finite]
        may_be_nan = isinstance(template, BinaryTemplate)  # JSON has none
        self._packs = template.is_packed and packs(signature) and not (self._finite and may_be_nan)
        texts = [(index, spec) for index, spec in specs if not reply.is_binary(spec.name)]
        self._json = JsonOutputs([spec for _, spec in texts], [index for index, _ in texts])
        raw = [(index, spec) for index, spec in specs if reply.is_binary(spec.name)]
        self._raw = RawOutputs([spec for _, spec in raw], [index for index, _ in raw]) if raw else None
        self._answer = JsonAnswerTemplate(
            version.model.name,
            version.model.version,
            template.request.id,
            [(spec.name, spec.datatype, spec.shape[1:]) for _, spec in specs],
            reply,
        )

    def inputs(self, template: Template, body: bytes) -> Inputs | None:
        """What the engine is given; None where ``body`` is not of the pattern, or something is wrong with it."""
        if self._packs:
            raw = template.raw(body)
            if raw is not None:
                return PackedRows(raw, template.rows)
        arrays = template.arrays(body)
        if arrays is None or any(np.isnan(arrays[index]).any() for index in self._finite):
            return None
        return arrays

    def reply(self, answer: Answer) -> HttpReply:
        """The answer of one request. Raises Internal where the model did not keep to its signature."""
        raw = self._raw.of(answer) if self._raw is not None else ()
        body, json_bytes = self._answer.encode(answer.stop - answer.start, self._json.of(answer), raw)
        if json_bytes is None:
            return HttpReply(body)
        return HttpReply(body, 200, BINARY, ((HEADER_LENGTH, str(json_bytes)),))


class _Pattern:
    """A template, and how each version answers it."""

    __slots__ = ("plans", "template")

    def __init__(self, template: Template) -> None:
        self.template = template
        self.plans: ByVersion[_Plan | None] = ByVersion(lambda version: _plan(template, version))


class _Known:
    """What is known of one key. ``credit``: how often it may still be learnt from."""

    __slots__ = ("credit", "patterns")

    def __init__(self) -> None:
        self.patterns: list[_Pattern] = []
        self.credit = LEARNINGS


class HotExchange:
    """One request under way."""

    __slots__ = ("_connection", "_context", "_exchange", "_plan", "_way", "ticket")

    def __init__(
        self, way: HttpHotWay, connection: HttpConnection, exchange: Exchange, plan: _Plan, context: CallContext
    ) -> None:
        self._way = way
        self._connection = connection
        self._exchange = exchange
        self._plan = plan
        self._context = context
        self.ticket: Ticket | None = None

    def done(self, outcome: Outcome) -> None:
        """The engine has answered."""
        context, code = self._context, OK
        try:
            if isinstance(outcome, RapideError):
                raise outcome
            reply = self._plan.reply(outcome)
            context.queue_s = outcome.queue_s
            context.compute_s = outcome.run.compute_s
        except RapideError as error:
            told = refused(error, context)
            reply, code = refusal(told), status_of(told).name
        self._way.finished(self._plan.version, context, code)
        self._way.door.reply(self._connection, self._exchange, reply, context)

    def give_up(self) -> bool:
        """Nobody waits any more."""
        is_cancelled = self.ticket is not None and self.ticket.cancel()
        if is_cancelled:
            self._way.finished(self._plan.version, self._context, CANCELLED)
        return is_cancelled


class HttpHotWay:
    """The patterns of one lane, and the way into the engine."""

    def __init__(self, service: InferenceService, door: FastDoor) -> None:
        self.door = door
        self._service = service
        self._known: dict[_Key, _Known] = {}
        self.is_open = True
        """Whether anything is taken: tests compare both ways."""
        self.taken = 0
        """Requests that went this way."""

    def take(self, connection: HttpConnection, exchange: Exchange, context: CallContext) -> bool:
        """Takes the infer request in ``exchange`` if it is a usual one."""
        headers = exchange.headers
        known = self._known.get((exchange.url, headers.get(HEADER_LENGTH)))
        if known is None or not self.is_open:
            return False
        body = exchange.whole_body()
        patterns = known.patterns
        for place, pattern in enumerate(patterns):
            if self._submit(connection, exchange, context, pattern, body):
                if place:
                    patterns.insert(0, patterns.pop(place))
                known.credit = LEARNINGS
                self.taken += 1
                return True
        return False

    def learn(self, exchange: Exchange, path: Mapping[str, str]) -> None:
        """Looks whether the request in ``exchange``, which the general way has answered, has a pattern."""
        header_length = exchange.headers.get(HEADER_LENGTH)
        key = (exchange.url, header_length)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_KEYS:
                self._known.clear()
            known = self._known[key] = _Known()
        if not known.credit or exchange.body_bytes > MAX_BODY_BYTES:
            return
        known.credit -= 1
        body = exchange.whole_body()
        if any(pattern.template.arrays(body) is not None for pattern in known.patterns):
            return  # others like it were under way when it came
        length = parse_header_length(header_length)
        try:
            request, reply = oip_json.decode_request(
                body, length, path["model"], path.get("version", ""), self._service.codec_limits
            )
            template = learn(body, length, request, reply)
        except RapideError:
            return  # it was answered, with what we do not look at here: tensors in shared memory
        if template is not None:
            known.patterns.insert(0, _Pattern(template))
            del known.patterns[MAX_PATTERNS:]

    def finished(self, version: LoadedVersion, context: CallContext, code: str) -> None:
        self._service.left(version, context, code)

    def _submit(
        self, connection: HttpConnection, exchange: Exchange, context: CallContext, pattern: _Pattern, body: bytes
    ) -> bool:
        template = pattern.template
        request = template.request
        try:
            version = self._service.route(request.model_name, request.model_version, context)
            plan = pattern.plans.of(version)
            inputs = None if plan is None else plan.inputs(template, body)
            if plan is None or inputs is None:
                return False
            read_timeout(context, exchange.headers)
            context.encoding = template.reply.encoding
            context.payload_bytes = len(body)
            context.rows = template.rows
            call = HotExchange(self, connection, exchange, plan, context)
            call.ticket = version.engine.submit(inputs, context.deadline_s, call.done)
        except QueueFull as error:  # see the twin
            told = refused(error, context)
            self._service.finished(context, status_of(told).name)
            self.door.reply(connection, exchange, refusal(told), context)
            return True
        except RapideError:
            return False  # the general way says what is wrong
        exchange.cancel = call.give_up
        recorder = version.recorder
        recorder.in_flight(1)
        if recorder.looks:
            arrays = template.arrays(body)
            assert arrays is not None  # noqa: S101 - it matched
            recorder.look(arrays)
        return True


def _plan(template: Template, version: LoadedVersion) -> _Plan | None:
    """How ``version`` answers requests like ``template``; None where signature or outputs forbid it."""
    indexes = usual_outputs(template.request, version)
    if indexes is None:
        return None
    outputs = [version.model.signature.outputs[index] for index in indexes]
    if any(spec.datatype in _NO_JSON and not template.reply.is_binary(spec.name) for spec in outputs):
        return None
    return _Plan(version, template, indexes)
