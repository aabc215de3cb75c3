"""Many connections on one server.

    python -m rapide.loadtests.crowd --http-port 8000 --grpc-port 8001 --model car-price

Opens idle connections, half on each door, each used once and then kept; then active ones, which ask again as soon
as they are answered; and at the end asks every idle one once more. It tells what a connection costs the server in
memory, and whether anybody starved: the smallest share of the answers and the longest wait among the active ones.

Memory is that of the processes on this machine that listen on the two ports (null where there are none), without
what the kernel keeps for each socket.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rapide.loadtests.payloads import describe, random_payloads
from rapide.loadtests.wire.lane import Lane, OpenLane, grpc_opener, http_opener

AT_ONCE = 50
"""Connections that are opened at a time: fewer than any listener's backlog."""
ANSWER_WITHIN_S = 30.0
INFER = "/inference.GRPCInferenceService/ModelInfer"
DOORS = ("http", "grpc")


@dataclass(frozen=True, slots=True)
class Shares:
    """How the active connections of one door fared. ``longest_wait_ms`` is the longest that any of them waited for
    an answer, ``smallest_share`` the fewest answers of one over the mean of all."""

    connections: int
    answers: int
    failures: int
    smallest_share: float
    p50_ms: float
    p99_ms: float
    longest_wait_ms: float


@dataclass(frozen=True, slots=True)
class Crowd:
    """What was found. ``bytes_per_…`` are the server's resident memory, null where it could not be read."""

    idle: int
    active: int
    seconds: float
    bytes_per_idle_connection: int | None
    bytes_per_active_connection: int | None
    answers_per_s: float
    shares: dict[str, Shares]
    idle_answered_after: int
    """Of the idle connections, those that were still served at the end."""

    @property
    def line(self) -> str:
        memory = (
            "unknown" if self.bytes_per_idle_connection is None else f"{self.bytes_per_idle_connection:,} bytes"
        )
        shares = ", ".join(
            f"{door}: smallest share {share.smallest_share:.2f}, longest wait {share.longest_wait_ms:.0f} ms"
            for door, share in self.shares.items()
        )
        return (
            f"{self.idle} idle connections at {memory} each ({self.idle_answered_after} still served at the end), "
            f"{self.active} active ones with {self.answers_per_s:,.0f} answers/s; {shares}"
        )


class Asker:
    """One connection that asks again when it is answered, while it may."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.waits_s: list[float] = []
        self.failures = 0
        self._asked_s = 0.0
        self._is_asking = False
        self._answered = asyncio.Event()
        lane.answered = self._on_answered

    async def ask_once(self) -> bool:
        """Whether it is answered well, within ANSWER_WITHIN_S."""
        self._answered.clear()
        before = self.failures
        self._ask()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), ANSWER_WITHIN_S)
            return self.failures == before
        return False

    def start(self) -> None:
        self.waits_s.clear()
        self._is_asking = True
        self._ask()

    def stop(self) -> None:
        """Asks no more; a question that still waits counts with the time that it has waited."""
        self._is_asking = False
        if self.lane.in_flight:
            self.waits_s.append(time.perf_counter() - self._asked_s)

    def _ask(self) -> None:
        self._asked_s = time.perf_counter()
        self.lane.send(0)

    def _on_answered(self, _number: int, well: bool) -> None:
        self._answered.set()
        if not well:
            self.failures += 1
            self._is_asking = False
        elif self._is_asking:
            self.waits_s.append(time.perf_counter() - self._asked_s)
            self._ask()


async def crowd(
    doors: dict[str, OpenLane], ports: Sequence[int], *, idle: int, active: int, seconds: float
) -> Crowd:
    """``idle`` connections kept and ``active`` ones asking for ``seconds``, spread over ``doors``."""
    await _close(await _open(doors, AT_ONCE))  # what the first connections cost, none after them does
    empty_bytes = resident_bytes(ports)
    kept = await _open(doors, idle)
    idle_bytes = resident_bytes(ports)
    asking = await _open(doors, active)
    begun_s = time.perf_counter()
    for asker in asking.values():
        for one in asker:
            one.start()
    await asyncio.sleep(seconds)
    took_s = time.perf_counter() - begun_s
    active_bytes = resident_bytes(ports)
    for asker in asking.values():
        for one in asker:
            one.stop()
    shares = {door: _shares(askers) for door, askers in asking.items()}
    still = [await one.ask_once() for askers in kept.values() for one in askers]
    await _close(asking)
    await _close(kept)
    return Crowd(
        idle=idle,
        active=active,
        seconds=seconds,
        bytes_per_idle_connection=_each(empty_bytes, idle_bytes, idle),
        bytes_per_active_connection=_each(idle_bytes, active_bytes, active),
        answers_per_s=sum(share.answers for share in shares.values()) / took_s,
        shares=shares,
        idle_answered_after=sum(still),
    )


async def _open(doors: dict[str, OpenLane], count: int) -> dict[str, list[Asker]]:
    """``count`` connections, as many on each door as on the others, each of which was answered once.

    Raises ConnectionError where one was not.
    """
    opened: dict[str, list[Asker]] = {}
    for place, (door, open_lane) in enumerate(doors.items()):
        share = count // len(doors) + (place < count % len(doors))
        askers = opened[door] = []
        while len(askers) < share:
            lanes = await asyncio.gather(*(open_lane() for _ in range(min(AT_ONCE, share - len(askers)))))
            new = [Asker(lane) for lane in lanes]
            if not all(await asyncio.gather(*(one.ask_once() for one in new))):
                raise ConnectionError(f"a connection to the {door} port was not answered")
            askers += new
    return opened


async def _close(opened: dict[str, list[Asker]]) -> None:
    for askers in opened.values():
        for one in askers:
            one.lane.close()
    await asyncio.sleep(0)


def _shares(askers: Sequence[Asker]) -> Shares:
    answers = [len(one.waits_s) for one in askers]
    waits_ms = np.array([wait_s for one in askers for wait_s in one.waits_s] or [np.nan]) * 1e3
    p50_ms, p99_ms = (float(value) for value in np.percentile(waits_ms, [50, 99]))
    mean = sum(answers) / len(answers)
    return Shares(
        connections=len(askers),
        answers=sum(answers),
        failures=sum(one.failures for one in askers),
        smallest_share=min(answers) / mean if mean else 0.0,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        longest_wait_ms=float(waits_ms.max()),
    )


def _each(before_bytes: int | None, after_bytes: int | None, count: int) -> int | None:
    if before_bytes is None or after_bytes is None or not count:
        return None
    return (after_bytes - before_bytes) // count


def resident_bytes(ports: Sequence[int]) -> int | None:
    """Resident memory of this machine's processes that listen on ``ports``; None where we see nobody."""
    wanted = {inode for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / table, ports)}
    pids = {
        path.parts[2]
        for path in Path("/proc").glob("[0-9]*/fd/*")
        if wanted and _target(path).removeprefix("socket:[").removesuffix("]") in wanted
    }
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") if pages else None


def _listening(table: Path, ports: Sequence[int]) -> list[str]:
    """The inodes of sockets in state LISTEN (0A) on ``ports`` (proc(5), /proc/net/tcp)."""
    if not table.exists():
        return []
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) in ports]


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed meanwhile, or another user's
        return ""


def doors_of(host: str, http_port: int, grpc_port: int, model: str) -> dict[str, OpenLane]:
    """Both doors, asking ``model`` for one row. Raises OSError where the server or the model is not there."""
    payload = next(random_payloads(model, "", describe(f"http://{host}:{http_port}", model), rows=1, count=1))
    json_headers = {"content-type": "application/json"}
    return {
        "http": http_opener(host, http_port, payload.path, json_headers, payload.to_json()),
        "grpc": grpc_opener(host, grpc_port, INFER, payload.to_protobuf().SerializeToString()),
    }


def allow_many_files() -> None:
    """Raises this process's bound on open files, which what it starts inherits, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: Sequence[str] | None = None) -> int:
    """The figures as JSON on standard output, and in one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--model", required=True)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--active", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args(arguments)
    allow_many_files()
    doors = doors_of(options.host, options.http_port, options.grpc_port, options.model)
    found = asyncio.run(
        crowd(
            doors,
            (options.http_port, options.grpc_port),
            idle=options.idle,
            active=options.active,
            seconds=options.seconds,
        )
    )
    print(json.dumps(asdict(found), indent=2))
    print(found.line, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
