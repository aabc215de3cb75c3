"""The process that starts a server's workers and keeps them: ports, signals, the repository's changes, the end.

It answers no request and imports neither numpy nor onnxruntime nor any protocol: it has to be there when
workers are not. What workers should serve is the ``Conductor``'s business, that they run the ``Crew``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rapide.server.child import Child, Process
from rapide.server.conductor import Conductor
from rapide.server.control import Applied, Apply, Failure, ServedModel, Start
from rapide.server.cores import WorkerCount, choose_workers, read_cores
from rapide.server.crew import Crew
from rapide.server.errors import RapideError
from rapide.server.repository.local import LocalRepository, open_repository
from rapide.server.repository.plan import ServingPlan, plan
from rapide.server.repository.policy import VersionPolicy
from rapide.server.settings import Settings, ports_of, sockets_of
from rapide.server.sockets import reserve
from rapide.server.state_folder import StateFolder
from rapide.server.tls import load_tls
from rapide.server.tuning_folder import TuningFolder, open_tuning
from rapide.server.unix_sockets import UnixSockets

logger = logging.getLogger(__name__)

_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""numpy would start a thread per core that nobody here uses. malloc asks for huge pages where the kernel gives
them on demand (the glibc manual, "Memory Allocation Tunables"): a run that reads all of its weights misses the
processor's table of pages less. Whoever set these otherwise is left alone."""
_HURRY_DRAIN_S = 0.5
"""After a second signal: long enough for answers that are all but ready."""


Ready = Callable[[list[ServedModel], list[str]], None]
"""Told once: what is served, and what of it is tuned."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server that has just become ready offers."""

    settings: Settings
    """With the address, the ports and the number of workers resolved."""
    models: list[ServedModel]
    why_workers: str
    tuned: list[str]
    """Which versions run as tuning files say, in words."""


async def supervise(settings: Settings, announce: Callable[[Serving], None]) -> int:
    """Serves until a signal ends it; returns the exit code. ``announce`` is called once, when ready.

    Raises a RapideError where serving is impossible: a port in use, no model that loads, workers that cannot run.
    """
    repository = open_repository(Path(settings.models))
    load_tls(settings)  # the workers read it; what is wrong with it is told now
    ports = ports_of(settings)
    cores = read_cores()
    tuning = open_tuning(settings.tuning, cores.usable)
    count = choose_workers(settings.workers, cores)
    if not settings.workers:
        count = _tuned_workers(settings, repository, tuning, count)
    with (
        reserve(settings.host, ports) as held,
        UnixSockets(sockets_of(settings)) as unix,
        StateFolder(settings.state_dir, workers=count.workers) as folder,
    ):
        known: dict[str, Any] = dict(zip(ports, held.ports, strict=True))
        if settings.one_port:
            known["grpc_port"] = known["http_port"]
        resolved = replace(settings, **known, host=held.host, workers=count.workers, state_dir=str(folder))
        supervisor = _Supervisor(resolved, repository, unix.descriptors, tuning)
        return await supervisor.run(lambda *said: announce(Serving(resolved, said[0], count.why, said[1])))


def _tuned_workers(
    settings: Settings, repository: LocalRepository, tuning: TuningFolder, most: WorkerCount
) -> WorkerCount:
    """As many as everything that will be served was tuned for, if that is one number; at most ``most``, which
    knows how much memory there is."""
    policy = VersionPolicy.parse(settings.version_policy)
    chosen = frozenset(settings.load) if settings.control == "explicit" else None
    try:
        workers = tuning.workers(plan(repository.scan(), policy, chosen))
    except RapideError:
        return most  # who serves the repository says what is wrong with it
    return most if workers is None or workers > most.workers else WorkerCount(workers, "tuned")


class _Supervisor:
    """One run of a server. Made and used on the event loop."""

    def __init__(
        self, settings: Settings, repository: LocalRepository, unix: dict[str, int], tuning: TuningFolder
    ) -> None:
        """``unix``: descriptors of listening Unix sockets, which the workers inherit."""
        self._settings = settings
        self._tuning = tuning
        orders = [Start(slot, settings.workers, settings.to_json(), unix) for slot in range(settings.workers)]
        self._crew = Crew(
            partial(launch, inherited=tuple(unix.values())),
            orders,
            self._on_apply,
            start_timeout_s=settings.start_timeout_s,
            prepare_timeout_s=settings.prepare_timeout_s,
            has_reserve=settings.reserve,
        )
        self._conductor = Conductor(settings, repository, self._crew, tuning)
        self._crew.on_lost_state = self._start_over
        self._signals = 0
        self._stopping = asyncio.Event()
        self._rescan = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self, ready: Ready) -> int:
        self._crew.start()
        serving = asyncio.create_task(self._serve(ready))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            with self._signal_handlers():
                ends: list[asyncio.Future[Any]] = [serving, stopping, self._crew.gave_up]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if self._stopping.is_set():
                    return await self._drain(serving)
            if self._crew.gave_up.done():
                raise self._crew.gave_up.result().to_error()
            await serving
            raise AssertionError("serving ends by a signal or an error")
        finally:
            for task in (serving, stopping, *self._calls):
                task.cancel()
            await self._crew.kill()
            await asyncio.gather(serving, stopping, *self._calls, return_exceptions=True)

    async def _serve(self, ready: Ready) -> None:
        await self._conductor.first()
        tuned = self._tuning.describe(ServingPlan.from_json(self._conductor.state.plan))
        ready(await self._crew.describe(), tuned)
        watching = self._settings.control == "watch"
        while True:
            forced = await self._next_look(self._settings.poll_interval_s if watching else None)
            await self._conductor.follow(forced=forced)

    async def _next_look(self, interval_s: float | None) -> bool:
        """Waits until it is time to look at the repository again; True if somebody asked for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval_s):
                await self._rescan.wait()
        asked = self._rescan.is_set()
        self._rescan.clear()
        return asked

    async def _drain(self, serving: asyncio.Task[None]) -> int:
        serving.cancel()
        settings = self._settings
        logger.info("stopping: unready for %g s, then up to %g s to finish", settings.grace_s, settings.drain_s)
        clean = await self._crew.drain(settings.grace_s, settings.drain_s)
        logger.info("stopped" if clean else "stopped; some workers had to be killed")
        return 0 if clean else 1

    @contextlib.contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._on_hangup}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        """The first signal drains, the second hurries, the third kills."""
        self._signals += 1
        self._stopping.set()
        if self._signals == 2:
            self._crew.hurry(0.0, _HURRY_DRAIN_S)
        elif self._signals > 2:
            for child in self._crew.workers.values():
                child.kill()

    def _on_hangup(self) -> None:
        """SIGHUP asks for a rescan, unless it says that our terminal was closed."""
        if _terminal_is_gone():
            self._stop()
        else:
            self._rescan.set()

    def _start_over(self) -> None:
        self._conductor.lost_state()
        self._rescan.set()

    def _on_apply(self, child: Child, call: Apply) -> None:
        task = asyncio.create_task(self._apply(child, call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _apply(self, child: Child, call: Apply) -> None:
        failure = None
        try:
            await self._conductor.apply(call.change)
        except RapideError as error:
            failure = Failure.of(error)
        except Exception as error:
            logger.exception("an administrative call failed")
            failure = Failure.of(error)
        child.tell(Applied(call.call, failure))


async def launch(end: socket.socket, inherited: tuple[int, ...] = ()) -> Process:
    """Starts a worker process: a new interpreter, in a process group of its own, so that a ctrl-C at the terminal
    reaches the supervisor alone. ``inherited``: more descriptors that it gets."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "rapide.server.worker", str(end.fileno())),
        pass_fds=(end.fileno(), *inherited),
        stdin=asyncio.subprocess.DEVNULL,
        process_group=0,
        env={**_ENVIRONMENT, **os.environ},
    )


def _terminal_is_gone() -> bool:
    """Whether the standard input was a terminal that no longer answers."""
    try:
        os.tcgetpgrp(sys.stdin.fileno())
    except OSError as error:
        return error.errno == errno.EIO
    except (ValueError, AttributeError):  # no standard input at all
        return False
    return False
