"""Whether a batch should be formed now, or the sockets be read once more before. Pure.

Theory. Who waits for an answer before asking again (most clients do) sends the next request while the server is
answering the others. Served as they come, N such callers fall into two halves that take turns: each run has N/2
rows and costs as much as one of N. A look at the sockets costs a microsecond or two and makes the halves one; a
lone caller would only pay for it. So it is worth a look where the last batch had company, and another one as long
as the looks bring something. Reading is what the requests found so need in any case: nothing waits idly.

The other way round, who comes alone time after time need not even wait for the loop's next turn, which is when
others would have come: such a request may run as soon as it is read.
"""

from __future__ import annotations

from typing import Final

MOST_LOOKS: Final = 3
"""Those who came first wait for the reading of those who come: not without end."""
TURNS_ALONE: Final = 3
"""So many turns with one request each, and the next one is taken to come alone, too."""


class Gathering:
    """What one engine knows of the company in which its requests come."""

    __slots__ = ("_alone", "_company", "_looks", "_seen")

    def __init__(self) -> None:
        self._alone = 0
        self._company = 1
        self._looks = 0
        self._seen = 0

    @property
    def is_alone(self) -> bool:
        """Whether requests come one at a time."""
        return self._alone >= TURNS_ALONE

    def goes_on(self, waiting: int) -> bool:
        """Whether to read the sockets once more, ``waiting`` requests being there; asked again after that."""
        if self._company < 2 or self._looks == MOST_LOOKS or waiting <= self._seen:
            return False
        self._looks += 1
        self._seen = waiting
        return True

    def ends(self, requests: int) -> None:
        """A batch of ``requests`` was formed, or so many came in one turn."""
        self._company = requests
        self._alone = self._alone + 1 if requests == 1 else 0
        self._looks = self._seen = 0
