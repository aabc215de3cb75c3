"""Decides what the workers should serve: what the repository says, administrators ask, and turned out broken.

Every way to a new state ends in ``Crew.agree``. Two kinds of change differ in what happens when that fails:
one that somebody asked for (``apply``) is refused and told to them; one that follows the repository (``follow``)
leaves out what is broken and goes on with the rest.

A version that takes a worker *down* (out of memory, a crash in native code) is found by exclusion: after the first
such death new versions are taken one at a time, and the one during which workers died twice is broken.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from rapide.server.changes import change_state
from rapide.server.control import Change, LoadModel, ServerState, UnloadModel
from rapide.server.crew import Agreement, Crew
from rapide.server.descriptions import describe_changes
from rapide.server.errors import BrokenVersion, Conflict, NotFound, RapideError, RepositoryError, Unavailable
from rapide.server.repository.local import LocalRepository
from rapide.server.repository.plan import PlannedModel, PlannedVersion, ServingPlan, plan
from rapide.server.repository.policy import VersionPolicy
from rapide.server.repository.snapshot import Problem, RepositorySnapshot
from rapide.server.rollover import BrokenVersions, new_versions, with_one_more
from rapide.server.settings import Settings
from rapide.server.tuning_folder import UNTUNED, TuningFolder

logger = logging.getLogger(__name__)

_MAX_DEATHS = 2
"""One death may have another cause (somebody's kill -9); the same again while loading the same version has not."""
_LOOKS = 5
_MAX_SETTLING_S = 0.2
"""A file without a manifest is taken when two looks in a row find it unchanged: a call looks so often."""
_Seen = TypeVar("_Seen")
_EVERYTHING = "*"
_EMPTY = ServerState(plan=ServingPlan().to_json())


class Conductor:
    """One per server, in the supervisor. Repository calls block, so they run on a thread, one at a time."""

    def __init__(
        self, settings: Settings, repository: LocalRepository, crew: Crew, tuning: TuningFolder = UNTUNED
    ) -> None:
        """``settings`` are resolved: the number of workers is known."""
        self._settings = settings
        self._tuning = tuning
        self._policy = VersionPolicy.parse(settings.version_policy)
        self._repository = repository
        self._crew = crew
        self._explicit: frozenset[str] | None = (
            frozenset(settings.load) if settings.control == "explicit" else None
        )
        self._broken = BrokenVersions()
        self._deaths: Counter[PlannedVersion] = Counter()
        self._one_by_one = False
        self._fingerprint: Hashable = None
        self._settled = False
        """Whether the last look led to what the repository asks for; if not, look again however it looks."""
        self._reading = asyncio.Lock()
        self._complaint = ""
        self._told: set[str] = set()

    @property
    def state(self) -> ServerState:
        """What is in force."""
        return self._crew.current[1] if self._crew.current is not None else _EMPTY

    async def first(self) -> None:
        """Gets everything loaded that can be. Raises a RapideError where there is nothing that can be served."""
        while not self._settled:
            await self._crew.wait_for_members()
            await self._pursue(await self._read(self._repository.scan))
        self._check_first(ServingPlan.from_json(self.state.plan))

    async def follow(self, forced: bool = False) -> None:
        """Serves what the repository asks for now. ``forced`` gives broken versions another chance."""
        if forced:
            self._broken = self._broken.forgiven()
            self._settled = False
        try:
            snapshot = await self._read(self._look)
            self._complain("")
            if snapshot is not None:
                await self._pursue(snapshot)
        except RapideError as error:
            self._settled = False
            self._complain(str(error))

    async def apply(self, change: Change) -> None:
        """Does what an administrator asked, in all workers or in none. Raises the domain error that says why."""
        if isinstance(change, LoadModel | UnloadModel):
            snapshot = await self._snapshot_for(change)
            async with self._crew.changing:
                await self._load_or_unload(change, snapshot)
        else:
            async with self._crew.changing:
                await self._demand(change_state(self.state, change))

    def lost_state(self) -> None:
        """Nobody serves any more and what was served cannot be loaded again: start over from the repository."""
        self._settled = False

    def _look(self) -> RepositorySnapshot | None:
        """What the repository holds, or None if that is what we know already."""
        fingerprint = self._repository.fingerprint()
        if self._settled and fingerprint == self._fingerprint:
            return None
        snapshot = self._repository.scan()
        self._fingerprint = fingerprint
        return snapshot

    async def _read(self, look: Callable[[], _Seen]) -> _Seen:
        """Looks at the repository, which may be slow, on a thread. Raises RepositoryError."""
        async with self._reading:
            try:
                return await asyncio.to_thread(look)
            except OSError as error:
                raise RepositoryError(f"the repository cannot be read: {error.strerror or error}.") from error

    async def _pursue(self, snapshot: RepositorySnapshot) -> None:
        done = False
        while not done:
            async with self._crew.changing:
                done = await self._step(snapshot)

    def _check_first(self, served: ServingPlan) -> None:
        path, control = self._repository.path, self._settings.control
        reasons = "".join(f"\n  {problem}" for problem in sorted(self._told))
        missing = (self._explicit or frozenset()) - {model.name for model in served.models} - {_EVERYTHING}
        if missing:
            absent = "".join(self._why_absent(sorted(missing)))
            raise NotFound(
                f"cannot load {', '.join(sorted(missing))} from {path}.{absent}{reasons}",
                hint=_models_there(self.state.available),
            )
        if not served.models and reasons:
            raise BrokenVersion(f"nothing in {path} can be served:{reasons}")
        if not served.models and control == "none":
            raise RepositoryError(f"there is no model in {path}.", hint="Publish one: rapide convert --help.")

    def _why_absent(self, names: list[str]) -> Iterator[str]:
        """A line for each of the models that the repository's problems do not explain."""
        troubled, policy = {problem["model"] for problem in self.state.problems}, self._settings.version_policy
        for name in names:
            if name not in self.state.available and name not in troubled:
                yield f"\n  {name[:128]}: there is no such model"
            elif name not in troubled:
                yield f"\n  {name}: the version policy {policy} chooses none of its versions"

    async def _step(self, snapshot: RepositorySnapshot) -> bool:
        """One attempt to get closer to ``snapshot``; True when there is nothing more to try now."""
        before = self.state
        served = ServingPlan.from_json(before.plan)
        goal = self._goal(snapshot, served)
        step = with_one_more(goal, served) if self._one_by_one else goal
        state = self._state(before, step, snapshot)
        self._tell(self._broken.problems(snapshot))
        if state == before and self._crew.current is not None and not self._crew.lacking:
            self._settled = True
            return True
        agreement = await self._crew.agree(state)
        if agreement.agreed:
            self._say_changes(served, step)
            self._settled = step == goal
            self._one_by_one = self._one_by_one and not self._settled
            return self._settled
        if agreement.versions:
            return not self._mark(agreement, step)
        if agreement.failure is not None:
            raise agreement.failure.to_error()
        self._suspect(agreement, new_versions(step, served))
        return True

    def _goal(self, snapshot: RepositorySnapshot, served: ServingPlan) -> ServingPlan:
        models = None if self._explicit is None or _EVERYTHING in self._explicit else self._explicit
        chosen = plan(self._broken.healthy(snapshot, served), self._policy, models)
        return self._tuning.apply(chosen, self._settings.workers)

    def _state(self, before: ServerState, goal: ServingPlan, snapshot: RepositorySnapshot) -> ServerState:
        return replace(
            before,
            plan=goal.to_json(),
            available={name: list(model.versions) for name, model in snapshot.models.items()},
            problems=[
                {"model": problem.model, "version": problem.version, "reason": problem.reason}
                for problem in self._broken.problems(snapshot)
            ],
        )

    async def _snapshot_for(self, change: LoadModel | UnloadModel) -> RepositorySnapshot:
        """The repository now, and not in the middle of a copy of the model. Raises Conflict, RepositoryError."""
        if self._explicit is None:
            raise Conflict(
                f"models are not loaded and unloaded by call: control is {self._settings.control}.",
                hint="Publish to the repository instead, or start with --control explicit.",
            )
        for _ in range(_LOOKS):
            snapshot = await self._read(self._repository.scan)
            if not any(problem.transient and problem.model == change.name for problem in snapshot.problems):
                break
            await asyncio.sleep(min(self._settings.poll_interval_s, _MAX_SETTLING_S))
        return snapshot

    async def _load_or_unload(self, change: LoadModel | UnloadModel, snapshot: RepositorySnapshot) -> None:
        served = ServingPlan.from_json(self.state.plan)
        models = {model.name: model for model in served.models}
        if isinstance(change, LoadModel):
            models[change.name] = self._chosen(change.name, snapshot, served)
        elif models.pop(change.name, None) is None and change.name not in snapshot.models:
            raise _no_such_model(change.name, snapshot)
        goal = ServingPlan(tuple(models[name] for name in sorted(models)))
        await self._demand(self._state(self.state, goal, snapshot), goal)
        lacking = [bad for bad in self._crew.lacking if isinstance(change, LoadModel) and bad.model == change.name]
        if lacking:
            raise BrokenVersion(f"some workers cannot load {Agreement(versions=tuple(lacking))}.")
        self._say_changes(served, goal)
        self._explicit = frozenset(models)

    def _chosen(self, name: str, snapshot: RepositorySnapshot, served: ServingPlan) -> PlannedModel:
        """What to serve of model ``name``. Raises NotFound or BrokenVersion."""
        self._broken = self._broken.forgiven(name)
        only = plan(self._broken.healthy(snapshot, served), self._policy, {name})
        if only.models:
            return self._tuning.apply(only, self._settings.workers).models[0]
        reasons = [str(problem) for problem in snapshot.problems if problem.model == name]
        if reasons:
            raise BrokenVersion(f"model {name!r} cannot be loaded: {'; '.join(reasons)}.")
        raise _no_such_model(name, snapshot)

    async def _demand(self, state: ServerState, goal: ServingPlan | None = None) -> None:
        """Agrees on ``state`` or raises why not."""
        if state == self.state and not self._crew.lacking:
            return
        agreement = await self._crew.agree(state)
        if agreement.agreed:
            return
        if goal is not None:
            self._mark(agreement, goal)
        if agreement.versions:
            raise BrokenVersion(f"{agreement}. Nothing has changed.")
        if agreement.failure is not None:
            raise agreement.failure.to_error()
        raise Unavailable(f"{agreement.lost}; nothing has changed.", hint="Try again.")

    def _mark(self, agreement: Agreement, goal: ServingPlan) -> bool:
        """Remembers the versions that failed; False if none of them was asked for."""
        planned = {(version.model, version.version): version for version in goal.versions}
        known = [(planned.get((bad.model, bad.version)), bad.reason) for bad in agreement.versions]
        for version, reason in known:
            if version is not None:
                self._broken = self._broken.marked(version, reason)
        return any(version is not None for version, _ in known)

    def _suspect(self, agreement: Agreement, suspects: list[PlannedVersion]) -> None:
        """A worker was lost on the way to new versions: find out which of them is to blame."""
        logger.warning("the change was undone: %s; it is tried again", agreement)
        if not agreement.is_suspicious:
            return
        self._one_by_one = True
        if len(suspects) == 1:
            self._deaths[suspects[0]] += 1
            if self._deaths[suspects[0]] >= _MAX_DEATHS:
                del self._deaths[suspects[0]]
                self._broken = self._broken.marked(suspects[0], f"{agreement}, more than once")

    def _tell(self, problems: list[Problem]) -> None:
        """Logs each problem once."""
        now = {str(problem) for problem in problems}
        for text in sorted(now - self._told):
            logger.error("not served: %s", text)
        for text in sorted(self._told - now):
            logger.info("no longer a problem: %s", text)
        self._told = now

    def _complain(self, reason: str) -> None:
        """Logs ``reason`` once, and its end."""
        if reason and reason != self._complaint:
            logger.error("%s; what is loaded goes on being served", reason.rstrip("."))
        elif self._complaint and not reason:
            logger.info("the repository can be read again")
        self._complaint = reason

    def _say_changes(self, before: ServingPlan, after: ServingPlan) -> None:
        for line in describe_changes(before, after):
            logger.info("%s", line)


def _no_such_model(name: str, snapshot: RepositorySnapshot) -> NotFound:
    return NotFound(
        f"there is no model {name[:128]!r} in the repository.", hint=_models_there(list(snapshot.models))
    )


def _models_there(names: Iterable[str]) -> str:
    return f"Models there are: {', '.join(list(names)[:8]) or 'none'}."
