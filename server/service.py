"""What every operation means, for all doors: gRPC and HTTP differ in how they say it, not in what it does.

An inference is routed to a version, bound to its signature, run by its engine, and answered by that version alone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from rapide.server.administration import Admin, Administration
from rapide.server.catalogue import Catalogue, LoadedVersion
from rapide.server.codecs.columns import PredictAnswer, PredictCall, PredictCodec
from rapide.server.codecs.limits import DEFAULT_LIMITS
from rapide.server.codecs.named import predict_codec
from rapide.server.codecs.parameters import ReadRegion, Region, size_parameter
from rapide.server.context import CallContext
from rapide.server.control import ServerState
from rapide.server.errors import RapideError
from rapide.server.inspection import Inspection
from rapide.server.outputs import Chosen, Outputs
from rapide.server.runs import Answer, Outcome
from rapide.server.settings import Settings
from rapide.server.shared_memory import SharedMemory
from rapide.server.telemetry.connections import ConnectionMeter
from rapide.server.telemetry.telemetry import Telemetry
from rapide.server.tensors import Array, InferRequest, InferResponse, bind

TIMEOUT_PARAMETER: Final = "timeout"
"""Triton's request parameter: microseconds that the answer is worth waiting for."""

Landed = Callable[[InferResponse | Exception], None]
"""Takes an answer, or why there is none: a domain error, or whatever went wrong in making it."""
Made = TypeVar("Made")


class InferenceService:
    """The operations of one worker. Lives on its event loop."""

    def __init__(self, catalogue: Catalogue, settings: Settings, telemetry: Telemetry, admin: Admin) -> None:
        self.settings = settings
        self.shared_memory = SharedMemory()
        self.administration = Administration(admin, catalogue, telemetry, self.shared_memory, settings)
        self.inspection = Inspection(catalogue, settings, telemetry)
        self.codec_limits = DEFAULT_LIMITS
        self.read_region: ReadRegion | None = self.shared_memory.read if settings.shared_memory else None
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._views: WeakKeyDictionary[LoadedVersion, _View] = WeakKeyDictionary()
        self.closing = asyncio.Event()
        """Set when streams that would go on for ever should end."""

    # Inference.

    async def infer(self, request: InferRequest, context: CallContext) -> InferResponse:
        """The model's answer. Raises RapideError; ``context`` says who answers as soon as that is known."""
        version = self.route(request.model_name, request.model_version, context)
        return await self._run(version, request, context)

    async def predict(self, model: str, version: str, call: PredictCall, context: CallContext) -> PredictAnswer:
        """Named predictions for named features. Raises RapideError."""
        loaded = self.route(model, version, context)
        request, read = self._view(loaded).codec.request(call)
        return read(await self._run(loaded, request, context))

    def submit(self, request: InferRequest, context: CallContext, done: Landed) -> Callable[[], bool]:
        """As ``infer``, for doors without a task for each request: ``done`` gets the answer later, on the loop.

        Raises RapideError for what can be told at once. Gives what cancels the request: True if ``done`` will not
        be called then.
        """
        version = self.route(request.model_name, request.model_version, context)
        return self._submit(version, request, context, done)

    def submit_predict(
        self,
        model: str,
        version: str,
        call: PredictCall,
        context: CallContext,
        done: Callable[[PredictAnswer | Exception], None],
    ) -> Callable[[], bool]:
        """As ``predict``, in the way of ``submit``."""
        loaded = self.route(model, version, context)
        request, read = self._view(loaded).codec.request(call)

        def landed(outcome: InferResponse | Exception) -> None:
            done(outcome if isinstance(outcome, Exception) else _attempt(lambda: read(outcome)))

        return self._submit(loaded, request, context, landed)

    def finished(self, context: CallContext, code: str) -> None:
        """Tells telemetry that an inference ended: ``ok`` or the domain error's name. Once for each, also
        refused."""
        who = context.answered_by
        recorder = self._telemetry.recorder(who.model, who.version) if who else self._telemetry.unrouted
        recorder.finished(context, code, time.monotonic() - context.received_s, context.rows)

    def left(self, version: LoadedVersion, context: CallContext, code: str) -> None:
        """As ``finished``, of a request that ``version`` had taken in: the hot ways' end."""
        recorder = version.recorder
        recorder.in_flight(-1)
        recorder.finished(context, code, time.monotonic() - context.received_s, context.rows)

    def route(self, model: str, version: str, context: CallContext) -> LoadedVersion:
        """The version that answers; ``context`` says so from here on. Raises NotFound, Unavailable,
        InvalidRequest."""
        route = self._catalogue.router.resolve(
            model,
            version or context.pinned_version,
            context.label,
            context.user_key,
            random.random(),  # noqa: S311 - shares of traffic, not secrets
        )
        context.answered_by = route.target.answered_by(route.label)
        return route.target

    async def _run(self, version: LoadedVersion, request: InferRequest, context: CallContext) -> InferResponse:
        arrays, chosen, deadline_s = self._bound(version, request, context)
        recorder = version.recorder
        recorder.in_flight(1)
        try:
            answer = await version.engine.infer(arrays, deadline_s)
        finally:
            recorder.in_flight(-1)
        return self._response(version, request, context, chosen, answer)

    def _submit(
        self, version: LoadedVersion, request: InferRequest, context: CallContext, done: Landed
    ) -> Callable[[], bool]:
        arrays, chosen, deadline_s = self._bound(version, request, context)
        recorder = version.recorder

        def landed(outcome: Outcome) -> None:
            recorder.in_flight(-1)
            if isinstance(outcome, RapideError):
                done(outcome)
            else:
                done(_attempt(lambda: self._response(version, request, context, chosen, outcome)))

        def cancel() -> bool:
            is_cancelled = ticket.cancel()
            if is_cancelled:
                recorder.in_flight(-1)
            return is_cancelled

        ticket = version.engine.submit(arrays, deadline_s, landed)
        recorder.in_flight(1)
        return cancel

    def _bound(
        self, version: LoadedVersion, request: InferRequest, context: CallContext
    ) -> tuple[list[Array], Sequence[Chosen], float]:
        """What the engine needs, and which outputs are wanted. Raises InvalidRequest."""
        signature = version.model.signature
        arrays = bind(request, signature)
        chosen = self._view(version).outputs.choose(request.outputs)
        context.rows = arrays[0].shape[0] if signature.batchable else 1
        recorder = version.recorder
        if recorder.looks:
            recorder.look(arrays)
        return arrays, chosen, _deadline_s(request, context) if request.parameters else context.deadline_s

    def _response(
        self,
        version: LoadedVersion,
        request: InferRequest,
        context: CallContext,
        chosen: Sequence[Chosen],
        answer: Answer,
    ) -> InferResponse:
        context.queue_s = answer.queue_s
        context.compute_s = answer.compute_s
        outputs = self._view(version).outputs.make(chosen, answer.outputs, self._write_region)
        return InferResponse(version.model.name, version.model.version, request.id, outputs)

    def _write_region(self, region: Region, data: bytes | memoryview) -> None:
        self.shared_memory.write(region.name, region.offset, data, region.byte_size)

    def _view(self, version: LoadedVersion) -> _View:
        view = self._views.get(version)
        if view is None:
            view = self._views[version] = _View(version)
        return view

    def connections(self, protocol: str) -> ConnectionMeter:
        """Where the door of ``protocol`` (``grpc``, ``http``) tells of its connections."""
        return ConnectionMeter(self._telemetry.scalar, protocol)

    # From one state of all workers to the next. The catalogue has its own part in each step.

    def prepare(self, state: ServerState, *, is_in_force: bool = False) -> None:
        """Makes sure that ``commit`` will succeed. Raises RapideError, and then nothing has changed.
        ``is_in_force``: as in ``control.Prepare``."""
        self._telemetry.check(state.trace, state.log)
        self.shared_memory.prepare(state.regions, is_in_force=is_in_force)

    def commit(self, state: ServerState) -> None:
        """Switches to what was prepared, after the catalogue has; the first time, the server becomes ready."""
        self.shared_memory.commit()
        self._telemetry.apply(state.trace, state.log)
        known = {(problem["model"], problem["version"]) for problem in state.problems}
        lacking = self._catalogue.lacked - known
        self._telemetry.scalar("rapide_repository_problems").set(len(state.problems) + len(lacking))
        self.inspection.serve(state.problems, state.available)

    def abort(self) -> None:
        """Forgets what was prepared."""
        self.shared_memory.abort()

    def unready(self) -> None:
        """Says from now on that others should be asked; requests are still answered."""
        self.inspection.unready()

    def close(self) -> None:
        """Ends watchers, and streams once what they have asked is answered."""
        self.closing.set()
        self.inspection.close()


class _View:
    """What is made once for each loaded version, to answer its requests."""

    __slots__ = ("codec", "outputs")

    def __init__(self, version: LoadedVersion) -> None:
        signature, manifest = version.model.signature, version.model.manifest
        self.outputs = Outputs(signature, manifest)
        self.codec: PredictCodec = (
            predict_codec(signature, manifest.features, manifest.predictions)
            if manifest
            else predict_codec(signature)
        )


def _attempt(make: Callable[[], Made]) -> Made | Exception:
    """What ``make`` makes, or the exception that it raises."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - given to the caller, who tells it from what was made
        return error


def _deadline_s(request: InferRequest, context: CallContext) -> float:
    """The caller's deadline, or Triton's ``timeout`` parameter where that comes first."""
    timeout_us = size_parameter(request.parameters, TIMEOUT_PARAMETER, "the request")
    return min(context.deadline_s, context.received_s + timeout_us * 1e-6) if timeout_us else context.deadline_s
