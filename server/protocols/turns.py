"""Turns on one event loop: whoever brings more than a moment's work stands in line with the rest of it.

Theory. An event loop hands a protocol whatever one read brought, up to 256 KB: thousands of calls, if they are
small or bad. Were they worked on at once, each of some hundred such connections would hold up everybody for a good
part of a second. So a connection works on what it has read piece by piece, for a share of time, and stands in line
when that is used up: its socket is not read any more, and it goes on when its turn comes. All who stand in line
have TURN_S together; then the loop goes round for everything else, and more than once where the line is long: it
accepts one connection each time (libuv since 1.45), and newcomers must not wait behind hundreds. Work done at once
is on credit: it is paid by standing in line that much longer. Hence somebody who asks little waits for some
milliseconds, however many ask for much; and whoever is alone loses nothing: the line is then as long as he is.

Envoy bounds requests for each turn (``http.max_requests_per_io_cycle``), nginx reads a bounded buffer, h2 counts
resets. Time is what others lose here, so time is what is counted: a call may cost two microseconds or two hundred.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

TURN_S = 1e-3
"""What those in line may take of one turn of the loop: others wait that much longer. The loop costs 2 % of it."""
SHARE_S = 5e-4
"""What one read may take at once: a hundred usual calls, more than any batch gains from."""
ROUND_FOR = 32
MAX_ROUNDS = 8
"""How often the loop goes round between two turns: once more for so many who stand in line, at most so often."""
FREE_SHARE = 0.05
CREDIT_S = 2e-3
"""Whoever takes less than FREE_SHARE of the loop's time, and no CREDIT_S at once, never stands in line. The credit
is several shares: an ordinary call of somebody who asks now and then takes longer than one where caches are cold,
or the processor is somebody else's for a moment, and would stand behind hundreds for it."""
CALL_S = 1e-4
"""What a call costs that becomes a task, beside its reading: roughly, but what it takes later cannot be seen."""
MAX_WAITING_BYTES = 256 << 20
"""What all in line may have brought. It has been read before anybody could refuse it: beyond, whoever comes is cut
off."""

TakeTurn = Callable[[], float]
"""Works for a share of time; gives the seconds that it took, with those that were owed."""


class Turns:
    """The line of one event loop."""

    __slots__ = ("_line", "_rounds", "_waiting_bytes", "is_busy")

    def __init__(self) -> None:
        self._line: deque[tuple[TakeTurn, int]] = deque()
        self._waiting_bytes = 0
        self._rounds = 1
        self.is_busy = False
        """Whether somebody stands in line."""

    def join(self, take_turn: TakeTurn, waiting_bytes: int, loop: asyncio.AbstractEventLoop) -> bool:
        """Puts somebody at the end of the line, which ``loop`` calls up; False: there is no room for what he has
        brought."""
        if self._waiting_bytes + waiting_bytes > MAX_WAITING_BYTES:
            return False
        self._waiting_bytes += waiting_bytes
        self._line.append((take_turn, waiting_bytes))
        if not self.is_busy:
            self.is_busy = True
            loop.call_soon(self._run, loop)
        return True

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._rounds -= 1
        if self._rounds > 0:
            loop.call_soon(self._run, loop)
            return
        left_s = TURN_S
        line = self._line
        try:
            while line and left_s > 0.0:
                take_turn, waiting_bytes = line.popleft()
                self._waiting_bytes -= waiting_bytes
                left_s -= take_turn()
        finally:
            self._rounds = min(1 + len(line) // ROUND_FOR, MAX_ROUNDS)
            if line:
                loop.call_soon(self._run, loop)
            else:
                self.is_busy = False


class Place:
    """One connection's place in the line, and what it owes. Instants are seconds of a monotonic clock."""

    __slots__ = ("_at_s", "_loop", "_owed_s", "_take_turn", "in_line", "turns")

    def __init__(self, turns: Turns, take_turn: TakeTurn, loop: asyncio.AbstractEventLoop) -> None:
        self.turns = turns
        self._loop = loop
        self._take_turn = take_turn
        self.in_line = False
        self._owed_s = 0.0
        """Taken at once; to be paid in line, or by being quiet."""
        self._at_s = 0.0

    def owe(self, took_s: float, now_s: float) -> bool:
        """Whether it has taken too much, at once or of late, and ought to stand in line."""
        self._owed_s = max(0.0, self._owed_s - (now_s - self._at_s) * FREE_SHARE) + took_s
        self._at_s = now_s
        return self._owed_s > CREDIT_S

    def join(self, waiting_bytes: int) -> bool:
        """Stands in line, if it does not yet; False where there is no room."""
        if not self.in_line:
            self.in_line = self.turns.join(self._take_turn, waiting_bytes, self._loop)
        return self.in_line

    def leave(self) -> float:
        """Its turn has come: gives what it has paid, in seconds."""
        self.in_line = False
        owed_s, self._owed_s = self._owed_s, 0.0
        return owed_s
