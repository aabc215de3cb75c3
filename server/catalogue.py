"""What is loaded in this process, and the change from one state of it to the next.

Theory. A ServingPlan is *prepared* (what is missing is loaded on threads, beside the traffic; nothing visible
happens), then *committed* or *aborted*. Committing swaps one reference, ``router``, so every request is routed
wholly by the old plan or wholly by the new one. What the new plan does not hold is drained: it answers what it has
queued, then goes. What both hold stays as it is, engine, queue and all. Commit cannot fail: all that can fail was
done before.

A request that resolves a route and submits to its engine without awaiting in between never meets a closing engine.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from rapide.server.batching import BatchPolicy
from rapide.server.busy_poll import BusyPoll
from rapide.server.context import AnsweredBy
from rapide.server.control import VersionFailure
from rapide.server.engine import Engine
from rapide.server.errors import RapideError
from rapide.server.model import Model, SessionOptions, load_model
from rapide.server.repository.plan import PlannedModel, PlannedVersion, ServingPlan
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.routing import ModelTargets, Router
from rapide.server.settings import Settings
from rapide.server.telemetry.inputs import dynamic_axes
from rapide.server.telemetry.recorder import Recorder
from rapide.server.trials import TrialLimits, Trials
from rapide.server.tuning_file import ModelTuning, in_force

_log = logging.getLogger(__name__)

Key = tuple[str, int]
"""Model and version."""
Load = Callable[[VersionEntry, str], Model]
"""Of a version and its tuning (``PlannedVersion.tuning``)."""
MakeEngine = Callable[[Model, Recorder, str], Engine]
MakeRecorder = Callable[[str, str, str], Recorder]
"""Of model, version, digest (``Telemetry.recorder``)."""


class VersionState(enum.StrEnum):
    """What this process does with a version."""

    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"
    UNLOADING = "unloading"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One line of the repository index. ``reason`` says why it is broken."""

    model: str
    version: int
    state: VersionState
    reason: str = ""


@dataclass(eq=False, slots=True, weakref_slot=True)
class LoadedVersion:
    """A version that can answer. ``identity`` changes when its files do."""

    identity: str
    entry: VersionEntry
    model: Model
    engine: Engine
    recorder: Recorder
    tuning: str = ""
    """Of its plan (``PlannedVersion.tuning``)."""
    state: VersionState = VersionState.LOADING
    _answered_by: dict[str, AnsweredBy] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Model and version."""
        return self.entry.model, self.entry.version

    def answered_by(self, label: str) -> AnsweredBy:
        """Who answers, for a request that came by ``label`` (of a Route: labels are few). Made once for each."""
        known = self._answered_by.get(label)
        if known is None:
            known = AnsweredBy(self.model.name, self.model.version, label, self.model.digest)
            self._answered_by[label] = known
        return known


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A plan that can be committed to: what of it is ready, and what this process goes without."""

    plan: ServingPlan
    ready: dict[Key, LoadedVersion]
    lacking: dict[PlannedVersion, VersionFailure]


class Catalogue:
    """Everything that one worker has loaded. Lives on its event loop; only loading happens on threads."""

    def __init__(
        self,
        load: Load,
        make_engine: MakeEngine,
        make_recorder: MakeRecorder,
        loaders: Executor,
        *,
        drain_s: float,
    ) -> None:
        """``drain_s``: how long requests may take to finish in a version that is no longer served."""
        self.router: Router[LoadedVersion] = Router({})
        self._load = load
        self._make_engine = make_engine
        self._make_recorder = make_recorder
        self._loaders = loaders
        self._drain_s = drain_s
        self._serving: dict[Key, LoadedVersion] = {}
        self._preparing: set[int] = set()
        self._prepared: dict[int, _Prepared] = {}
        self._lacking: dict[Key, str] = {}
        """What the plan in force holds and this process could not load: the versions' identities."""
        self._loading: Counter[Key] = Counter()
        self._broken: dict[Key, str] = {}
        self._unloading: dict[LoadedVersion, asyncio.Task[None]] = {}

    async def prepare(self, plan_id: int, plan: ServingPlan, *, is_in_force: bool = False) -> list[VersionFailure]:
        """Loads what ``plan`` holds and is not loaded yet. Gives the versions that forbid it, and why.

        What others serve already is no reason to refuse: it is ``lacking`` until a later plan's attempt succeeds.
        That is all of a plan that ``is_in_force``, and what was lacking before.
        """
        self._preparing.add(plan_id)
        results = await asyncio.gather(*[self._obtain(version) for version in plan.versions])
        failed = {
            version: result
            for version, result in zip(plan.versions, results, strict=True)
            if isinstance(result, VersionFailure)
        }
        lacking = {
            version: failure
            for version, failure in failed.items()
            if is_in_force or self._lacking.get((version.model, version.version)) == version.identity
        }
        refused = [failure for version, failure in failed.items() if version not in lacking]
        if plan_id in self._preparing and not refused:
            ready = {result.key: result for result in results if isinstance(result, LoadedVersion)}
            self._prepared[plan_id] = _Prepared(plan, ready, lacking)
        self._preparing.discard(plan_id)
        return refused

    def lacking(self, plan_id: int) -> list[VersionFailure]:
        """What is to be served without, after committing to ``plan_id``, and why."""
        prepared = self._prepared.get(plan_id)
        return list(prepared.lacking.values()) if prepared is not None else []

    def commit(self, plan_id: int) -> None:
        """Switches to the plan that was prepared as ``plan_id`` and not refused, in one step."""
        prepared = self._prepared.pop(plan_id)
        versions = prepared.ready
        before, self._serving = self._serving, versions
        self.router = Router({model.name: _targets(model, versions) for model in prepared.plan.models})
        for version in versions.values():
            version.state = VersionState.READY
            version.recorder.state("ready")
        for version in before.values():
            if versions.get(version.key) is not version:
                self._unload(version)
        # What else failed on the way here is the supervisor's to remember: it knows when the files change.
        self._broken = {(bad.model, bad.version): bad.reason for bad in prepared.lacking.values()}
        self._lacking = {(version.model, version.version): version.identity for version in prepared.lacking}

    def abort(self, plan_id: int) -> None:
        """Forgets what was prepared as ``plan_id``, or still is: what was loaded for it alone is let go."""
        self._preparing.discard(plan_id)
        self._prepared.pop(plan_id, None)

    @property
    def lacked(self) -> set[Key]:
        """What the plan in force holds and this process could not load."""
        return set(self._lacking)

    def serving(self) -> list[LoadedVersion]:
        """What answers now."""
        return list(self._serving.values())

    def statuses(self) -> list[VersionStatus]:
        """Every version that this process knows about, by model and version."""
        found = {version.key: VersionStatus(*version.key, version.state) for version in self._unloading}
        found |= {key: VersionStatus(*key, VersionState.BROKEN, reason) for key, reason in self._broken.items()}
        found |= {key: VersionStatus(*key, VersionState.LOADING) for key in +self._loading}
        found |= {key: VersionStatus(*key, version.state) for key, version in self._serving.items()}
        return [found[key] for key in sorted(found)]

    async def close(self, drain_s: float) -> None:
        """Refuses new requests everywhere and finishes those that wait, within ``drain_s`` seconds."""
        serving, self._serving = self._serving, {}
        for version in serving.values():
            self._unload(version, drain_s)
        await asyncio.gather(*self._unloading.values())

    async def _obtain(self, planned: PlannedVersion) -> LoadedVersion | VersionFailure:
        """The version as it is loaded already, or loaded now, or why it cannot be."""
        key = planned.model, planned.version
        for versions in (self._serving, *[prepared.ready for prepared in self._prepared.values()]):
            known = versions.get(key)
            if known is not None and known.identity == planned.identity:
                return known
        self._loading[key] += 1
        try:
            return await self._load_version(planned)
        except RapideError as error:
            reason = str(error).removeprefix(f"{planned.model}/{planned.version}: ")
        except Exception as error:  # noqa: BLE001 - one version's failure, whatever it is, is only its own
            _log.exception("loading %s/%d failed", planned.model, planned.version)
            reason = f"an unexpected {type(error).__name__} happened; the log has the details"
        finally:
            self._loading[key] -= 1
        self._broken[key] = reason
        return VersionFailure(planned.model, planned.version, reason)

    async def _load_version(self, planned: PlannedVersion) -> LoadedVersion:
        def load() -> tuple[VersionEntry, Model]:
            entry = planned.open()
            return entry, self._load(entry, planned.tuning)

        entry, model = await asyncio.get_running_loop().run_in_executor(self._loaders, load)
        recorder = self._make_recorder(model.name, model.version, model.digest)
        recorder.watch(dynamic_axes(model.signature))
        engine = self._make_engine(model, recorder, planned.tuning)
        engine.start()
        return LoadedVersion(planned.identity, entry, model, engine, recorder, planned.tuning)

    def _unload(self, version: LoadedVersion, drain_s: float | None = None) -> None:
        version.state = VersionState.UNLOADING
        if version.key not in self._serving:
            version.recorder.state("draining")
        drain_s = self._drain_s if drain_s is None else drain_s
        self._unloading[version] = asyncio.get_running_loop().create_task(self._drain(version, drain_s))

    async def _drain(self, version: LoadedVersion, drain_s: float) -> None:
        await version.engine.close(drain_s)
        del self._unloading[version]
        if version.key not in self._serving:
            version.recorder.state("unloaded")


def _targets(model: PlannedModel, versions: Mapping[Key, LoadedVersion]) -> ModelTargets[LoadedVersion]:
    loaded = {
        planned.version: versions[model.name, planned.version]
        for planned in model.versions
        if (model.name, planned.version) in versions
    }
    return ModelTargets(
        loaded, model.labels, frozenset(planned.version for planned in model.versions) - loaded.keys()
    )


def catalogue_of(
    settings: Settings, make_recorder: MakeRecorder, runners: Executor, loaders: Executor
) -> Catalogue:
    """A catalogue as ``settings`` say. ``runners``: threads for models too slow for the loop."""

    @functools.cache
    def busy_poll() -> BusyPoll | None:
        span_s = settings.busy_poll_us * 1e-6
        return BusyPoll(asyncio.get_running_loop(), span_s) if span_s else None

    def make_engine(model: Model, recorder: Recorder, text: str) -> Engine:
        tuning = _tuning_of(settings, text)
        policy = BatchPolicy(
            max_batch_rows=tuning.max_batch_rows,
            max_queue_rows=tuning.max_queue_rows,
            max_delay_s=tuning.max_delay_us * 1e-6,
        )
        return Engine(
            model,
            policy,
            executor=runners,
            recorder=recorder,
            sessions=tuning.sessions,
            inline_below_us=tuning.inline_below_us,
            busy_poll=busy_poll(),
        )

    trials = Trials(
        settings.trial,
        TrialLimits(settings.trial_memory_bytes, settings.trial_timeout_s),
        Path(settings.state_dir) if settings.state_dir else None,
    )

    def load(entry: VersionEntry, text: str) -> Model:
        tuning = _tuning_of(settings, text)
        options, variant = session_options(tuning), _variant_of(entry, tuning)
        trials.ensure(entry, dataclasses.asdict(options), variant)
        return load_model(entry, options, variant)

    return Catalogue(load, make_engine, make_recorder, loaders, drain_s=settings.drain_s)


def session_options(tuning: ModelTuning) -> SessionOptions:
    """What of ``tuning`` is the runtime's business."""
    return SessionOptions(
        threads=tuning.intra_op_threads,
        spinning=tuning.allow_spinning,
        graph_level=tuning.graph_level,
        arena=tuning.arena,
        dynamic_block_base=tuning.dynamic_block_base,
        max_rows_per_run=tuning.max_rows_per_run,
    )


def _variant_of(entry: VersionEntry, tuning: ModelTuning) -> str:
    """The tuned variant, if the version has it: another version of the same bytes may have no variants."""
    variants = () if entry.manifest is None else entry.manifest.variants
    if tuning.variant and tuning.variant not in {variant.name for variant in variants}:
        _log.warning("%s/%d has no variant %r, which is tuned for", entry.model, entry.version, tuning.variant)
        return ""
    return tuning.variant


def _tuning_of(settings: Settings, text: str) -> ModelTuning:
    return in_force(settings, ModelTuning.from_text(text) if text else None)
