"""What a worker costs beside the model, on this machine: the constants of the simulator.

Theory. A request costs far more on a worker that slept than on one that works: its caches hold other things, its
core was halted (measured here: 270 µs of processor time for a lone request, 35 in a flood). So every cost is its
*warm* value times a factor that falls from ``1 + extra_cold`` to 1 as the worker works and rises again as it
sleeps, both exponentially. The rest is small: waking up, a part for each tick of the loop, a part for each
request, the hops to a thread and back, and what is done when the answers are out, which only the next request
feels; and one turn of the loop takes more than another, for no reason that is known here, and so do the runs that
it starts. A run takes more than its curve says, for there it ran again and again with its memory at hand: by a
factor that holds on a warm worker, and on a cold one by another and by a constant. Beyond the worker there
are the client and the network, constant but for how late the generator sends. And all that runs is interrupted by
the machine now and then, and all that sleeps is now and then woken late."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Final

from rapide.server.repository.fields import FieldError, Fields

MOST_SAMPLES: Final = 512
FITTED: Final = (
    *("network_us", "tick_us", "read_us", "answer_us", "after_us", "extra_cold", "cools_us", "warms_us"),
    *("hop_us", "thread_us", "spread", "run_scale", "cold_run_us", "cold_run"),
)
"""What ``fitting.fit`` finds by least squares; ``stall_scale`` comes after it, the others are
measured."""


@dataclass(frozen=True, slots=True)
class Costs:
    """In the units of the names; ``extra_cold`` is a factor, and ``spread`` has none."""

    network_us: float = 70.0
    """Client and network, there and back, of one request alone."""
    send_us: float = 3.0
    """What the load generator needs to send: many at once leave one after another."""
    receive_us: float = 12.0
    """What it needs to read an answer."""
    tick_us: float = 12.0
    """For each turn of the loop that has something to run or to answer: waking up, forming the batch, recording
    it."""
    read_us: float = 8.0
    """For each request: reading, decoding, queueing."""
    answer_us: float = 12.0
    """For each answer: encoding, writing; the next one waits for it."""
    after_us: float = 15.0
    """For each turn of the loop, when its answers are out: recording them, going to sleep."""
    extra_cold: float = 2.0
    """How many times its warm cost a worker that has slept for long needs more, for everything but the model."""
    cools_us: float = 5000.0
    """Time constant of getting cold."""
    warms_us: float = 500.0
    """Time constant of getting warm, in time worked."""
    run_scale: float = 1.1
    """What a run takes on a warm worker, times what its curve says: there it ran again and again."""
    cold_run_us: float = 30.0
    """What a run takes more on a cold worker, however many rows it has."""
    cold_run: float = 0.3
    """And times what its curve says, by which it takes more there: memory that others have used meanwhile."""
    hop_us: float = 8.0
    """What a run on a thread costs the loop when it starts, and again when it is back."""
    thread_us: float = 12.0
    """Until a thread is awake, and again until the loop hears of it."""
    spread: float = 0.4
    """How much a turn of the loop, and the runs that it starts, take now more and now less than usual: the
    standard deviation of the logarithm."""
    client_apart: float = 0.0
    """1 where the load generator has cores of its own, 0 where it shares the server's."""
    fold_us: float = 170.0
    """What recording takes now and then, to add what is new to its totals."""
    stall_scale: float = 1.0
    """How often stalls and late wakings strike this server, times what ``stall_meter`` saw."""
    stalls_per_s: float = 0.0
    """How often in a second of work the machine takes a core away: the meter's figure times ``stall_scale``."""
    stall_us: tuple[float, ...] = field(default=(0.0,))
    """Samples of for how long."""
    late_share: float = 0.0
    """Of all wakings of a process, those that come late, likewise."""
    late_waking_us: tuple[float, ...] = field(default=(0.0,))
    """Samples of by how much."""
    late_us: tuple[float, ...] = field(default=(0.0,))
    """Samples of how late the generator sends."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, fields: Fields) -> Costs:
        """Raises FieldError."""
        known = {each.name for each in dataclasses.fields(cls)}
        sampled = {"late_us", "stall_us", "late_waking_us"}
        values: dict[str, Any] = {
            name: fields.optional_number(name) for name in fields.raw if name in known - sampled
        }
        values |= {name: tuple(map(float, fields.raw.get(name, [0.0]))) for name in sampled}
        costs = cls(**values)
        numbers = [values[name] for name in values if name not in sampled]
        samples = [values[name] for name in sampled]
        if not (
            all(number is not None and number >= 0 for number in numbers)
            and all(each and all(0 <= sample < math.inf for sample in each) for each in samples)
            and min(costs.cools_us, costs.warms_us) > 0
            and costs.late_share <= 1
        ):
            raise FieldError("costs are finite numbers that are not negative; some of these are not.")
        return costs
