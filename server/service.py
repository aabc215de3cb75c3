"""What every operation means, for all doors: gRPC and HTTP differ in how they say it, not in what it does.

An inference is routed to a version, bound to its signature, run by its engine, and answered by that version alone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from rapide import __version__
from rapide.server import model_descriptions
from rapide.server.administration import Admin, Administration
from rapide.server.catalogue import Catalogue, LoadedVersion
from rapide.server.codecs.columns import PredictAnswer, PredictCall, PredictCodec
from rapide.server.codecs.limits import DEFAULT_LIMITS
from rapide.server.codecs.named import predict_codec
from rapide.server.codecs.parameters import ReadRegion, Region, size_parameter
from rapide.server.context import CallContext
from rapide.server.control import ServerState
from rapide.server.errors import NotFound, RapideError, Unavailable
from rapide.server.model import Model
from rapide.server.outputs import Chosen, Outputs
from rapide.server.runs import Answer, Outcome
from rapide.server.settings import Settings
from rapide.server.shared_memory import SharedMemory
from rapide.server.telemetry.telemetry import Telemetry
from rapide.server.tensors import Array, InferRequest, InferResponse, bind

SERVER_NAME: Final = "rapide"
EXTENSIONS: Final = (
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
    "trace",
)
"""Of the Open Inference Protocol and Triton: what works here. ``system_shared_memory`` joins where it is
allowed."""
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
        self.codec_limits = DEFAULT_LIMITS
        self.read_region: ReadRegion | None = self.shared_memory.read if settings.shared_memory else None
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._views: WeakKeyDictionary[LoadedVersion, _View] = WeakKeyDictionary()
        self._problems: Sequence[Mapping[str, Any]] = ()
        self._available: Mapping[str, Sequence[int]] = {}
        self._is_serving = False
        self._changed = asyncio.Event()
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

    # Health.

    def server_live(self) -> bool:
        """Whether the event loop still turns: who asks, finds out."""
        return True

    def server_ready(self) -> bool:
        """Whether everything that should be served is, and will be for a while."""
        return self._is_serving

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether the version, or the one that would answer now, is ready. Raises NotFound for one never heard
        of."""
        try:
            self._catalogue.router.resolve(name, version)
        except Unavailable:
            return False
        except NotFound:
            if any(entry["name"] == name and version in {"", entry["version"]} for entry in self.index()):
                return False
            raise
        return self._is_serving

    def served(self) -> dict[str, list[str]]:
        """The loaded versions of each model, ascending."""
        return {
            name: [str(version) for version in sorted(targets.versions)]
            for name, targets in self._catalogue.router.models.items()
        }

    async def changes(self) -> AsyncIterator[None]:
        """Yields now, and then whenever readiness or what is served may have changed, until the server closes."""
        while not self.closing.is_set():
            changed = self._changed
            yield
            await changed.wait()

    # Descriptions.

    def server_metadata(self) -> dict[str, Any]:
        extensions = {*EXTENSIONS, "system_shared_memory"} if self.settings.shared_memory else EXTENSIONS
        return {"name": SERVER_NAME, "version": __version__, "extensions": sorted(extensions)}

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Of the version, or of the one that would answer now. Raises NotFound."""
        model = self._described(name, version)
        return model_descriptions.metadata(name, self.served()[name], model.signature, model.manifest)

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """Triton's ModelConfig of the version, or of the one that would answer now. Raises NotFound."""
        return model_descriptions.config(name, self._described(name, version).signature, self.settings)

    async def model_statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """Triton's statistics of a version, of all versions of a model, or of all models. Raises NotFound."""
        if name:
            self._catalogue.router.resolve(name, version)
        wanted = [
            (model, number)
            for model, numbers in self.served().items()
            for number in numbers
            if name in {"", model} and version in {"", number}
        ]
        return {"model_stats": await asyncio.to_thread(self._statistics, wanted)}

    def tf_status(self, name: str, version: str = "", label: str = "") -> dict[str, Any]:
        """TensorFlow Serving's and KServe v1's status of a model. Raises NotFound."""
        if label:
            version = self._catalogue.router.resolve(name, label=label).target.model.version
        entries = [entry for entry in self.index() if entry["name"] == name and version in {"", entry["version"]}]
        return {
            "name": name,
            "ready": self.model_ready(name, version),
            "model_version_status": [model_descriptions.tf_version_status(entry) for entry in entries],
        }

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Triton's repository index: every version that is served, on its way, or cannot be served and why."""
        return model_descriptions.index(self._catalogue.statuses(), self._problems, ready=ready)

    def repository_index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """The same, with what the repository offers and nobody has loaded."""
        known = self.index(ready=ready)
        return known if ready else known + model_descriptions.unloaded(self._available, known)

    async def overview(self) -> dict[str, Any]:
        """What the status page shows."""
        served = self.served()
        pairs = [(name, version) for name, versions in served.items() for version in versions]
        statistics = await asyncio.to_thread(self._statistics, pairs)
        return {
            "server": {"name": SERVER_NAME, "version": __version__, "ready": self.server_ready()},
            "time_s": time.time(),
            "models": model_descriptions.overview(self._catalogue.router, self.index(), statistics),
        }

    async def metrics_page(self, accept: str) -> tuple[str, bytes]:
        """Content type and text, of all workers together."""
        return await asyncio.to_thread(self._telemetry.metrics_page, accept)

    async def profile(self) -> dict[str, Any]:
        """How the models are used, by all workers together."""
        return await asyncio.to_thread(self._telemetry.profile)

    def _described(self, name: str, version: str) -> Model:
        return self._catalogue.router.resolve(name, version).target.model

    def _statistics(self, versions: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return [self._telemetry.statistics(name, version) for name, version in versions]

    # From one state of all workers to the next. The catalogue has its own part in each step.

    def prepare(self, state: ServerState) -> None:
        """Makes sure that ``commit`` will succeed. Raises RapideError, and then nothing has changed."""
        self._telemetry.check(state.trace, state.log)
        self.shared_memory.prepare(state.regions)

    def commit(self, state: ServerState) -> None:
        """Switches to what was prepared, after the catalogue has; the first time, the server becomes ready."""
        self.shared_memory.commit()
        self._telemetry.apply(state.trace, state.log)
        self._problems = state.problems
        self._available = state.available
        self._telemetry.scalar("rapide_repository_problems").set(len(state.problems))
        self._is_serving = True
        self._announce()

    def abort(self) -> None:
        """Forgets what was prepared."""
        self.shared_memory.abort()

    def unready(self) -> None:
        """Says from now on that others should be asked; requests are still answered."""
        self._is_serving = False
        self._announce()

    def close(self) -> None:
        """Ends watchers, and streams once what they have asked is answered."""
        self.closing.set()
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


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
