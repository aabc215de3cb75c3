"""Sends requests at their instants, whatever comes back, and times each from the instant at which it was due.

One thread, one loop, no library's event loop: those have timers a millisecond wide and cost more than the sockets
do. Each turn sends what is due (one write for a connection), reads what has come, and otherwise sleeps in
``select``, whose timeout is in microseconds, until the next instant. With ``spin_s`` it wakes so much earlier and
looks at the clock until then: more punctual where a core is free for it, a core taken from the server where not.

Invariants: a request's latency and lateness are written once, at its end and at its sending. What cannot be sent
because every connection is full or broken waits in ``_held``, in order; that wait is part of its latency but not
of the generator's lateness, since the server is its cause.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rapide.loadtests.wire.connection import (
    ANSWERED,
    IN_FLIGHT,
    LOST,
    TIMED_OUT,
    UNREACHABLE,
    Broken,
    Connection,
    code_name,
)

MOST_AT_ONCE = 64
"""Requests sent in one turn: when many are due, answers are read in between."""
CHORES_EVERY_S = 0.1
READ_BYTES = 262_144
REHEARSALS, REHEARSE_AGAIN_S = 50, 0.1
BUSY_CODES = frozenset({8, 14, 429, 503})
"""RESOURCE_EXHAUSTED, UNAVAILABLE and what HTTP calls them: worth another try before a run begins."""
RETRY_AFTER_S = 0.05
"""A broken connection is opened again so soon; after each failure twice as late, up to the next figure."""
RETRY_AT_LEAST_EVERY_S = 1.0
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


@dataclass(frozen=True, slots=True)
class Options:
    """``most_connections``: opened as they are needed; ``connections`` of them at the start."""

    connections: int
    most_connections: int
    timeout_s: float
    spin_s: float = 0.0


@dataclass(slots=True)
class Record:
    """What is found out, by request; views on memory that may be another process's too.

    ``counters``: requests sent, ended, answered well; nanoseconds that the loop had nothing to do, and lasted.
    ``codes`` are NOT_SENT and ``lateness_s`` 0 before the run.
    """

    latency_s: Any
    lateness_s: Any
    codes: Any
    counters: Any


class _Lane:
    """A connection and its socket. Not open: broken, and not tried again yet. Up: connected."""

    __slots__ = (
        "asked",
        "connection",
        "is_free",
        "is_open",
        "is_up",
        "retry_at_s",
        "retry_in_s",
        "sock",
        "unsent",
        "up_at_s",
    )

    def __init__(self) -> None:
        self.connection: Connection[Any]
        self.sock: socket.socket
        self.is_open = False
        self.is_up = False
        self.is_free = False
        """Among the generator's free lanes."""
        self.unsent = b""
        self.asked: list[int] = []
        """Numbers asked since the last write."""
        self.up_at_s = 0.0
        self.retry_at_s = 0.0
        self.retry_in_s = RETRY_AFTER_S


class Refused(Exception):
    """The server does not answer a call of this run as it should; the message is its reason."""


def _rehearse(lane: _Lane, call: Any) -> None:
    """Asks until the answer is good, for a server may still be busy with the end of an earlier run. Blocking."""
    for attempt in range(REHEARSALS):
        if attempt:
            time.sleep(REHEARSE_AGAIN_S)
        code = _ask_and_wait(lane, call)
        if code not in BUSY_CODES:
            break
    if code != ANSWERED:
        raise Refused(f"{code_name(code)}: {lane.connection.errors.get(code, '')}")
    lane.connection.errors.clear()


def _ask_and_wait(lane: _Lane, call: Any) -> int:
    """The code of one answer."""
    ended: list[tuple[int, int]] = []
    lane.connection.ask(0, call)
    while not ended:
        lane.sock.sendall(lane.connection.take())
        data = lane.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        try:
            ended = lane.connection.receive(data)
        except Broken as error:
            raise ConnectionError(str(error)) from None
    return ended[0][1]


class Generator:
    """One run: requests at ``due_s`` (seconds from the start, ascending), over connections to ``address``.

    ``calls[call_of[i]]`` is what request i sends.
    """

    def __init__(
        self,
        address: tuple[str, int],
        new_connection: Callable[[], Connection[Any]],
        due_s: Any,
        calls: Sequence[Any],
        call_of: Any,
        options: Options,
        record: Record,
        *,
        stop_fd: int = -1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        family, _, _, _, place = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        self._address, self._family, self._place = address, family, place
        self._new_connection = new_connection
        self._due_s = due_s
        self._calls = calls
        self._call_of = call_of
        self._options = options
        self._record = record
        self._stop_fd = stop_fd
        self._clock = clock
        self._count = len(due_s)
        self._start_s = 0.0
        self._poller = select.epoll()
        self._lanes: list[_Lane] = []
        self._by_fd: dict[int, _Lane] = {}
        self._free: deque[_Lane] = deque()
        self._held: deque[int] = deque()
        self._next = 0
        self._ended = 0
        self._well = 0
        self._chores_at_s = 0.0
        self._last_up_s = 0.0
        self._is_stopped = False
        self._rested_s = 0.0
        self.errors: dict[int, str] = {}
        """By code, the first reason in words."""
        self.gone = ""
        """Why the run was broken off: the server was away for longer than a request may take."""

    def connect(self, rehearsal: Sequence[Any]) -> None:
        """Opens the first connections, each warmed by one of the calls in ``rehearsal``, which are all asked once.

        Blocking. Raises OSError where there is nobody, Refused for a call that is not answered well.
        """
        wanted = self._options.connections
        for turn in range(max(wanted, len(rehearsal))):
            if turn < wanted:
                lane = _Lane()
                lane.connection = self._new_connection()
                lane.sock = socket.create_connection(self._address, self._options.timeout_s)
                self._lanes.append(lane)
            _rehearse(self._lanes[turn % wanted], rehearsal[turn % len(rehearsal)])
        for lane in self._lanes:
            self._adopt(lane, lane.sock)
            self._up(lane)
        if self._stop_fd >= 0:
            self._poller.register(self._stop_fd, _READ)

    def run(self, start_s: float) -> None:
        """Sends everything, ``start_s`` on the clock being the instant 0, and waits for the answers."""
        self._start_s = start_s
        self._last_up_s = max(0.0, self._clock() - start_s)
        while self._ended < self._count and not self._is_stopped:
            self._turn()
        self._note_progress()

    def close(self) -> None:
        """Closes the connections."""
        for lane in self._lanes:
            if lane.is_open:
                lane.sock.close()
        self._poller.close()

    def _turn(self) -> None:
        now_s = self._clock() - self._start_s
        if self._next < self._count and self._due_s[self._next] <= now_s:
            self._send_due(now_s)
        if self._chores_at_s <= now_s:
            self._chores(now_s)
        for fd, event in self._poller.poll(0) or self._wait():
            self._on_event(fd, event)

    def _wait(self) -> list[tuple[int, int]]:
        """Sleeps until something comes or the next request is due."""
        now_s = self._clock()
        wake_s = self._chores_at_s
        is_for_request = self._next < self._count and self._due_s[self._next] < wake_s
        if is_for_request:
            wake_s = self._due_s[self._next]
        wake_s += self._start_s
        rest_s = wake_s - now_s - (self._options.spin_s if is_for_request else 0.0)
        if rest_s > 0:
            select.select((self._poller,), (), (), rest_s)
            events = self._poller.poll(0)
        else:
            events = []
            while not events and self._clock() < wake_s:
                events = self._poller.poll(0)
        self._rested_s += max(0.0, self._clock() - max(now_s, self._start_s))
        return events

    def _send_due(self, now_s: float) -> None:
        number = self._next
        end = min(self._count, number + MOST_AT_ONCE)
        due_s, free, touched = self._due_s, self._free, []
        while number < end and due_s[number] <= now_s:
            if free and not self._held:
                lane = free.popleft()
                if not lane.asked:
                    touched.append(lane)
                self._ask(lane, number)
            else:
                self._hold(number)
            number += 1
        self._next = number
        for lane in touched:
            self._write(lane)

    def _ask(self, lane: _Lane, number: int) -> None:
        """``lane`` has been taken from the free ones, and goes back to their end if it has room."""
        connection = lane.connection
        connection.ask(number, self._calls[self._call_of[number]])
        lane.asked.append(number)
        if connection.has_room:
            self._free.append(lane)
        else:
            lane.is_free = False

    def _hold(self, number: int) -> None:
        """No connection has room; one more is opened where that is allowed."""
        self._record.lateness_s[number] = self._clock() - self._start_s - self._due_s[number]
        self._held.append(number)
        if len(self._lanes) < self._options.most_connections:
            lane = _Lane()
            self._lanes.append(lane)
            self._open(lane)

    def _release(self, lane: _Lane) -> None:
        """``lane`` may have room again: held requests take it, or it waits among the free ones."""
        if lane.is_free or not lane.is_up or not lane.connection.has_room:
            return
        lane.is_free = True
        self._free.append(lane)
        while self._held and self._free:
            self._ask(self._free.popleft(), self._held.popleft())

    def _write(self, lane: _Lane) -> None:
        """Sends what the connection has to say, and notes how late that is for the requests in it."""
        if not lane.is_open:
            return
        data = lane.connection.take()
        if lane.asked:
            now_s, record = self._clock() - self._start_s, self._record
            for number in lane.asked:
                if not record.lateness_s[number]:
                    record.lateness_s[number] = now_s - self._due_s[number]
                record.codes[number] = IN_FLIGHT
            lane.asked.clear()
        if lane.unsent:
            lane.unsent += data
            return
        if not data:
            return
        try:
            sent = lane.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._down(lane, str(error))
            return
        if sent < len(data):
            lane.unsent = data[sent:]
            self._poller.modify(lane.sock.fileno(), _READ | _WRITE)

    def _on_event(self, fd: int, event: int) -> None:
        lane = self._by_fd.get(fd)
        if lane is None:  # the stop signal; or a socket that this very turn closed
            self._is_stopped = self._is_stopped or fd == self._stop_fd
            return
        if not lane.is_up:
            self._connected(lane)
        elif event & _WRITE:
            self._send_rest(lane)
        if event & ~_WRITE and lane.is_up:
            self._read(lane)

    def _read(self, lane: _Lane) -> None:
        if not lane.is_open:
            return
        try:
            data = lane.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._down(lane, str(error))
            return
        now_s = self._clock() - self._start_s
        broken = "" if data else "the server closed the connection"
        try:
            ended = lane.connection.receive(data)
        except Broken as error:
            ended, broken = error.ended, str(error)
        record = self._record
        for number, code in ended:
            record.latency_s[number] = now_s - self._due_s[number]
            record.codes[number] = code
            self._ended += 1
            if code == ANSWERED:
                self._well += 1
        if broken:
            self._down(lane, broken)
            return
        self._release(lane)
        self._write(lane)
        if lane.connection.is_closing and not any(lane.connection.in_flight()):
            self._down(lane, "the server closed the connection")

    def _send_rest(self, lane: _Lane) -> None:
        try:
            sent = lane.sock.send(lane.unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._down(lane, str(error))
            return
        lane.unsent = lane.unsent[sent:]
        if not lane.unsent:
            self._poller.modify(lane.sock.fileno(), _READ)

    def _end(self, number: int, code: int) -> None:
        """A request that ends without an answer."""
        self._record.latency_s[number] = self._clock() - self._start_s - self._due_s[number]
        self._record.codes[number] = code
        self._ended += 1

    def _open(self, lane: _Lane) -> None:
        """Begins to connect, without waiting; whether it succeeded, the poller tells."""
        lane.connection = self._new_connection()
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.setblocking(False)
        error = sock.connect_ex(self._place)
        self._adopt(lane, sock)
        if error in (0, errno.EINPROGRESS):
            self._poller.modify(sock.fileno(), _READ | _WRITE)
        else:
            self._down(lane, os.strerror(error))

    def _adopt(self, lane: _Lane, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        lane.sock = sock
        lane.is_open = True
        self._by_fd[sock.fileno()] = lane
        self._poller.register(sock.fileno(), _READ)

    def _connected(self, lane: _Lane) -> None:
        error = lane.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._down(lane, os.strerror(error))
            return
        self._poller.modify(lane.sock.fileno(), _READ)
        self._up(lane)
        self._write(lane)

    def _up(self, lane: _Lane) -> None:
        lane.is_up = True
        lane.up_at_s = self._clock() - self._start_s
        self._release(lane)

    def _down(self, lane: _Lane, why: str) -> None:
        """The lane's socket is gone, and with it what was in flight on it; ``_chores`` opens it again."""
        fd = lane.sock.fileno()
        self._poller.unregister(fd)
        del self._by_fd[fd]
        lane.sock.close()
        lane.is_open = False
        now_s = self._clock() - self._start_s
        if lane.is_up:
            self._last_up_s = now_s
            if now_s - lane.up_at_s > RETRY_AFTER_S:
                lane.retry_in_s = 0.0
        lane.is_up = False
        if lane.is_free:
            lane.is_free = False
            self._free.remove(lane)
        lost = list(lane.connection.in_flight())
        for number in lost:
            self._end(number, LOST)
        if lost:
            self.errors.setdefault(LOST, why)
        for code, text in lane.connection.errors.items():
            self.errors.setdefault(code, text)
        lane.unsent = b""
        lane.asked.clear()
        lane.retry_at_s = now_s + lane.retry_in_s
        lane.retry_in_s = min(max(2 * lane.retry_in_s, RETRY_AFTER_S), RETRY_AT_LEAST_EVERY_S)
        if lane.retry_at_s <= now_s:
            self._open(lane)

    def _chores(self, now_s: float) -> None:
        self._chores_at_s = now_s + CHORES_EVERY_S
        for lane in self._lanes:
            if not lane.is_open and lane.retry_at_s <= now_s:
                self._open(lane)
        self._time_out(now_s)
        if any(lane.is_up for lane in self._lanes):
            self._last_up_s = now_s
        elif now_s - self._last_up_s > self._options.timeout_s:
            self.gone = f"no connection to {self._address[0]}:{self._address[1]} for {self._options.timeout_s:g} s"
            self._is_stopped = True
            while self._held:
                self._end(self._held.popleft(), UNREACHABLE)
        self._note_progress()

    def _time_out(self, now_s: float) -> None:
        oldest_s = now_s - self._options.timeout_s
        while self._held and self._due_s[self._held[0]] < oldest_s:
            reachable = any(lane.is_up for lane in self._lanes)
            self._end(self._held.popleft(), TIMED_OUT if reachable else UNREACHABLE)
        for lane in self._lanes:
            if not lane.is_up:
                continue
            late = [number for number in lane.connection.in_flight() if self._due_s[number] < oldest_s]
            for number in late:
                self._end(number, TIMED_OUT)
                if not lane.connection.give_up(number):
                    self._down(lane, "given up")
                    break
            else:
                if late:
                    self._release(lane)
                    self._write(lane)

    def _note_progress(self) -> None:
        counters = self._record.counters
        counters[0], counters[1], counters[2] = self._next - len(self._held), self._ended, self._well
        counters[3] = int(self._rested_s * 1e9)
        counters[4] = int((self._clock() - self._start_s) * 1e9)

    def collect_errors(self) -> dict[int, str]:
        """By code, the first reason that anybody gave in words."""
        for lane in self._lanes:
            if lane.is_open:
                for code, text in lane.connection.errors.items():
                    self.errors.setdefault(code, text)
        return self.errors
