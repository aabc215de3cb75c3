"""The worker processes of one server: kept running, and brought to agree on one state.

Theory. Each slot is kept by one task: start a worker, let it join, wait for its death, start another. A *member*
is a worker that takes part in agreements. The first workers are members from the start, since there is nothing
yet that they could have missed; a later one first prepares the state in force and becomes a member under
the lock that also guards agreements, so it cannot miss one. Invariants:

- the members that serve all serve ``current``: a member that cannot say that it committed is killed;
- a state becomes ``current`` only after every member prepared it;
- what has become impossible to load since then never keeps a worker from joining: it joins without (*lacks* it),
  unless it could load nothing at all, and tries again with every later agreement.

Time and processes come in as parameters (``clock``, ``launch``), so that tests decide both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from rapide.server.child import Child, Launch, cause_of
from rapide.server.control import (
    Abort,
    Apply,
    Commit,
    Committed,
    Describe,
    Described,
    Drain,
    Failure,
    Prepare,
    Prepared,
    ServedModel,
    ServerState,
    Start,
    VersionFailure,
)
from rapide.server.reserve import Reserve
from rapide.server.restarts import Restarts

logger = logging.getLogger(__name__)

COMMIT_TIMEOUT_S = 10.0
"""Committing swaps a table in memory, or opens ports; a worker that cannot do it within this is stuck."""
MAX_FAILED_STARTS = 5
"""Deaths of a slot before it ever served, in a row, after which a server that serves nothing gives up."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an attempt to agree ended: ``agreed``, or the first reason why not."""

    agreed: bool = False
    versions: tuple[VersionFailure, ...] = ()
    failure: Failure | None = None
    lost: str = ""
    """A worker died or did not answer in time: what happened, in words."""
    is_suspicious: bool = False
    """Whether that was while it loaded, so that what it loaded may be the cause."""

    def __str__(self) -> str:
        versions = "; ".join(f"{bad.model}/{bad.version}: {bad.reason}" for bad in self.versions)
        return self.lost or versions or (self.failure.message if self.failure else "agreed")


class Crew:
    """All slots. ``start`` begins; ``changing`` must be held by whoever calls ``agree``."""

    def __init__(
        self,
        launch: Launch,
        orders: list[Start],
        on_apply: Callable[[Child, Apply], None],
        *,
        start_timeout_s: float,
        prepare_timeout_s: float,
        has_reserve: bool = False,
        commit_timeout_s: float = COMMIT_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``orders`` holds one Start per slot."""
        self.workers: dict[int, Child] = {}
        self.current: tuple[int, ServerState] | None = None
        self.changing = asyncio.Lock()
        self.gave_up: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()
        self.on_lost_state: Callable[[], None] = lambda: None
        """Called when nobody serves any more and the state in force cannot be loaded again."""
        self._reserve = Reserve(launch, is_kept=has_reserve)
        self._orders = orders
        self._on_apply = on_apply
        self._start_timeout_s = start_timeout_s
        self._prepare_timeout_s = prepare_timeout_s
        self._commit_timeout_s = commit_timeout_s
        self._clock = clock
        self._round = 0
        self._leaving = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._expected = {order.slot for order in orders}
        self._arrived = asyncio.Event()

    @property
    def serving(self) -> list[Child]:
        return [child for child in self.workers.values() if child.serving_since_s is not None and not child.gone]

    @property
    def members(self) -> list[Child]:
        return [child for child in self.workers.values() if child.member and not child.gone]

    @property
    def lacking(self) -> list[VersionFailure]:
        """What is in force and some members could not load."""
        return [bad for child in self.members for bad in child.lacking]

    def start(self) -> None:
        self._keepers = [asyncio.create_task(self._keep(order)) for order in self._orders]

    async def wait_for_members(self) -> None:
        """Returns once there is a member, and at the start: once every slot's first worker has come or died."""
        while self._expected or not self.members:
            self._arrived.clear()
            await self._arrived.wait()

    async def agree(self, state: ServerState) -> Agreement:
        """Brings all members to ``state``, or none."""
        self._round += 1
        round_, members = self._round, self.members
        asked = [asyncio.create_task(self._prepare(worker, round_, state)) for worker in members]
        agreement = Agreement(agreed=bool(members), lost="" if members else "no worker is running")
        for answer in asyncio.as_completed(asked):
            agreement = await answer
            if not agreement.agreed:
                break
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        if agreement.agreed:
            self.current = round_, state
            await asyncio.gather(*(self._commit(worker, round_) for worker in members))
        else:
            for worker in members:
                worker.tell(Abort(round_))
        return agreement

    async def describe(self) -> list[ServedModel]:
        """What a serving worker says it serves; empty if none can say."""
        async with self.changing:
            for worker in self.serving:
                try:
                    report = await worker.ask(Describe(), Described, self._commit_timeout_s)
                except TimeoutError:
                    continue
                if isinstance(report, Described):
                    return report.models
        return []

    async def drain(self, grace_s: float, drain_s: float) -> bool:
        """Lets every worker finish and exit; False if some had to be killed."""
        self.hurry(grace_s, drain_s)
        await self._reserve.close()
        _, late = await asyncio.wait(self._keepers, timeout=grace_s + drain_s + COMMIT_TIMEOUT_S)
        await self.kill()
        return not late

    def hurry(self, grace_s: float, drain_s: float) -> None:
        """Tells every worker to finish within less time than it was given before."""
        self._leaving.set()
        for worker in self.workers.values():
            worker.tell(Drain(grace_s, drain_s))

    async def kill(self) -> None:
        """Ends all processes now."""
        self._leaving.set()
        for worker in self.workers.values():
            worker.kill()
        await asyncio.gather(*self._keepers, self._reserve.close())

    async def _keep(self, order: Start) -> None:
        restarts = Restarts()
        while not self._leaving.is_set():
            worker = await self._start(order)
            joining = asyncio.create_task(self._join(worker))
            await worker.listen(self._on_apply)
            joining.cancel()
            code = await worker.exit_code()
            del self.workers[order.slot]
            self._has_come(order.slot)
            if not self._leaving.is_set():
                await self._pause(self._bury(worker, code, restarts))

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._leaving.wait()

    def _has_come(self, slot: int) -> None:
        self._expected.discard(slot)
        self._arrived.set()

    async def _start(self, order: Start) -> Child:
        started = await self._reserve.take()
        worker = Child(order.slot, started.process, started.channel)
        self.workers[order.slot] = worker
        worker.tell(Drain(0, 0) if self._leaving.is_set() else order)
        return worker

    async def _join(self, worker: Child) -> None:
        while True:
            async with self.changing:
                in_force = self.current
                if in_force is None:
                    worker.member = True
                    self._has_come(worker.slot)
                    return
            agreement = await self._prepare(worker, *in_force, self._start_timeout_s, is_in_force=True)
            async with self.changing:
                agreement = self._worth_joining(worker, agreement, in_force[1])
                if not agreement.agreed:
                    self._refuse(worker, agreement)
                    return
                # Otherwise the state moved on while this worker was loading the old one: once more.
                if self.current is in_force:
                    worker.member = True
                    await self._commit(worker, in_force[0])
                    self._has_come(worker.slot)
                    logger.info("worker %d (pid %d) has joined", worker.slot, worker.process.pid)
                    return

    def _worth_joining(self, worker: Child, agreement: Agreement, state: ServerState) -> Agreement:
        """Whether one that lacks something is better than none. Not if it has nothing to answer with: it would
        only fail requests that the others can answer. Nor if it is the first after all have died: then a new
        start from the repository finds the next best versions."""
        lacking = worker.prepared_without
        planned = sum(len(model["versions"]) for model in state.plan["models"]) if lacking else 0
        if agreement.agreed and lacking and (len(lacking) >= planned or not self.serving):
            return Agreement(versions=tuple(lacking))
        return agreement

    def _refuse(self, worker: Child, agreement: Agreement) -> None:
        """A worker that can load nothing of what the others serve must not take requests."""
        if not self.serving:
            self.current = None
            worker.member = True
            self._has_come(worker.slot)
            self.on_lost_state()
            return
        reason = str(agreement)
        worker.failure = worker.failure or Failure(
            "BrokenVersion", f"it can load nothing of what is being served: {reason}"
        )
        worker.kill()

    async def _prepare(
        self,
        worker: Child,
        round_: int,
        state: ServerState,
        timeout_s: float | None = None,
        *,
        is_in_force: bool = False,
    ) -> Agreement:
        timeout_s = timeout_s or self._prepare_timeout_s
        try:
            report = await worker.ask(Prepare(round_, state, is_in_force), Prepared, timeout_s, round_)
        except TimeoutError:
            return Agreement(lost=f"worker {worker.slot} was not ready within {timeout_s:g} s", is_suspicious=True)
        if not isinstance(report, Prepared):
            doing = "while preparing" if worker.has_started else "before it could load anything"
            return Agreement(lost=f"worker {worker.slot} died {doing}", is_suspicious=worker.has_started)
        worker.prepared_without = report.lacking
        agreed = not report.versions and report.failure is None
        return Agreement(agreed, tuple(report.versions), report.failure)

    async def _commit(self, worker: Child, round_: int) -> None:
        try:
            report = await worker.ask(Commit(round_), Committed, self._commit_timeout_s, round_)
        except TimeoutError:
            worker.failure = Failure("Internal", "it did not switch in time")
            worker.kill()
            return
        if report is not None and worker.serving_since_s is None:
            worker.serving_since_s = self._clock()
        _say_lacking(worker)
        if len(self.serving) == len(self._orders):
            self._reserve.refill()

    def _bury(self, worker: Child, code: int, restarts: Restarts) -> float:
        """Says that the worker died and why; returns the seconds to wait before the next."""
        since = worker.serving_since_s
        delay_s = restarts.delay_s(None if since is None else self._clock() - since)
        cause = worker.failure or Failure("Internal", cause_of(code))
        hopeless = cause.error == "SettingsError" or restarts.failed_starts >= MAX_FAILED_STARTS
        if since is None and hopeless and not self.serving and not self.gave_up.done():
            if cause.error != "SettingsError":
                times = f"worker {worker.slot} died {restarts.failed_starts} times before it could serve"
                cause = Failure(cause.error, f"{times}: {cause.message}", cause.hint)
            self.gave_up.set_result(cause)
        logger.error(
            "worker %d (pid %d) is gone: %s; %d others serve; %s",
            worker.slot,
            worker.process.pid,
            cause.message,
            len(self.serving),
            "replacing it now" if not delay_s else f"next attempt in {delay_s:g} s",
        )
        return delay_s


def _say_lacking(worker: Child) -> None:
    """Takes over what a worker lacks after a commit, and logs what changed."""
    before, worker.lacking = worker.lacking, worker.prepared_without
    for bad in worker.lacking:
        if bad not in before:
            logger.error("worker %d serves without %s/%d: %s", worker.slot, bad.model, bad.version, bad.reason)
    if before and not worker.lacking:
        logger.info("worker %d serves everything again", worker.slot)
