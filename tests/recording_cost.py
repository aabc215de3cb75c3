"""What recording costs a request: a real server with its recorder, with less of it, and with none, in turn.

``python -m tests.recording_cost`` (or scripts/recording-cost). Method: one worker of the real server in this
process, pinned to one core; h2load on another one sends a fixed number of requests over gRPC, again and again.
In turn the recorder is as it is, without what the usage profile alone needs (metrics and statistics go on), and
replaced by methods that do nothing. What counts is the processor time of this process by request, and the
differences within each group of three rounds, whose order rotates: so the machine's moods, and whatever is the
same for all, cancel out. Needs h2load (Debian: nghttp2-client) and two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from rapide.proto import open_inference_pb2 as pb
from rapide.server.engine import Engine
from rapide.server.telemetry import recorder
from rapide.server.telemetry.recorder import Recorder
from rapide.server.telemetry.version_block import ARRIVALS, BATCHES, FINISHED
from tests import models
from tests.doors import opened
from tests.versions import publish_version

LOADS: Final = {"1 in flight": ("1", "1"), "32 in flight": ("8", "4"), "256 in flight": ("16", "16")}
"""Name → h2load's connections, and streams on each."""


def request() -> bytes:
    """A framed ModelInfer of one row of four floats."""
    row = np.arange(4, dtype=np.float32)
    message = pb.ModelInferRequest(
        model_name="linear",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=(1, 4))],
        raw_input_contents=[row.tobytes()],
    ).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


async def round_s(target: str, data: Path, load: tuple[str, str], requests: int, core: int) -> float:
    """Seconds of this process's processor time by request."""
    connections, streams = load
    command = [
        *("taskset", "-c", str(core), "h2load", "-n", str(requests), "-c", connections, "-m", streams),
        *("-d", str(data), "-H", "content-type: application/grpc", "-H", "te: trailers"),
        f"http://{target}/inference.GRPCInferenceService/ModelInfer",
    ]
    begun_s = time.process_time()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    took_s = time.process_time() - begun_s
    succeeded = re.search(rb"(\d+) succeeded", printed)
    if succeeded is None or int(succeeded[1]) != requests:
        raise RuntimeError(f"not all of {requests} requests were answered:\n{printed.decode()}")
    return took_s / requests


# What the recorder did before it recorded usage: the same rings, without concurrency, deadlines, overhead, sums of
# waiting, answers and looks.


def _arrival(self: Any, now_s: float, rows: int) -> None:
    number = self._arrival_n
    place = number & recorder._RECENT_MASK
    self._arrival_s[place] = now_s
    self._arrival_rows[place] = rows
    self._arrival_n = number = number + 1
    self._cursors[ARRIVALS] = number
    if number == self._fold_at[ARRIVALS]:
        self._fold_ring(ARRIVALS)


def _finished(self: Any, context: Any, code: str, duration_s: float, rows: int) -> None:
    answered = context.answered_by
    names = (code, context.protocol, context.encoding, answered.label if answered else "")
    kind = self._kinds.get(names)
    if kind is None:
        kind = self._new_kind(names)
    number = self._finished_n
    place = (number & recorder._RING_MASK) * recorder._FINISHED_BYTES
    self._pack_finished(self._finished, place, duration_s, 0.0, math.inf, context.payload_bytes, kind, rows)
    self._finished_n = number = number + 1
    self._cursors[FINISHED] = number
    if number == self._fold_at[FINISHED]:
        self._fold_ring(FINISHED)


def _batch(
    self: Any,
    requests: int,
    rows: int,
    queue_s: Sequence[float],
    compute_s: float,
    reason: str,
    input_s: float = 0.0,
) -> None:
    number = self._batch_n
    index = self._reasons.get(reason)
    if index is None:
        index = self._new_reason(reason)
    place = (number & recorder._RING_MASK) * recorder._BATCH_BYTES
    self._pack_batch(self._batches, place, compute_s, input_s, 0.0, 0.0, requests, rows, index)
    self._batch_n = number = number + 1
    self._cursors[BATCHES] = number
    if number == self._fold_at[BATCHES]:
        self._fold_ring(BATCHES)
    self._waits(queue_s)


def _deliver_alone(self: Any, _runs: Any, outcomes: Any) -> None:
    self._deliver(outcomes)


def _nothing(*_: Any) -> None:
    """The silent recorder's every method."""


_NO_LOOKS = {(Recorder, "look"): _nothing, (Engine, "_answer"): _deliver_alone}
ARMS: Final[dict[str, dict[tuple[type, str], Callable[..., None]]]] = {
    "recorded": {},
    "metrics alone": {
        **_NO_LOOKS,
        (Recorder, "arrival"): _arrival,
        (Recorder, "finished"): _finished,
        (Recorder, "batch"): _batch,
    },
    "silent": {
        **_NO_LOOKS,
        **{(Recorder, name): _nothing for name in ("arrival", "finished", "batch", "in_flight", "waiting")},
    },
}
"""What each round replaces: class and method → what stands there instead."""


@contextmanager
def arm(name: str) -> Iterator[None]:
    real = {(owner, method): owner.__dict__[method] for owner, method in ARMS[name]}
    for (owner, method), stand_in in ARMS[name].items():
        setattr(owner, method, stand_in)
    try:
        yield
    finally:
        for (owner, method), original in real.items():
            setattr(owner, method, original)


async def rounds_us(
    target: str, data: Path, load: tuple[str, str], groups: int, requests: int, core: int
) -> dict[str, list[float]]:
    """Microseconds by request, for each arm by group."""
    found: dict[str, list[float]] = {name: [] for name in ARMS}
    names = list(ARMS)
    for group in range(groups):
        for place in range(len(names)):
            name = names[(group + place) % len(names)]
            with arm(name):
                found[name].append(await round_s(target, data, load, requests, core) * 1e6)
    return found


def told(name: str, found: Mapping[str, Sequence[float]]) -> str:
    """One line: the medians of the arms, and the differences within the groups."""
    medians = "  ".join(f"{arm_} {statistics.median(took):6.2f}" for arm_, took in found.items())
    recorded, metrics, silent = (found[arm_] for arm_ in ARMS)
    return (
        f"{name:<13} {medians} µs   the profile adds {_difference(recorded, metrics)}   "
        f"all recording {_difference(recorded, silent)}"
    )


def _difference(one: Sequence[float], other: Sequence[float]) -> str:
    """The median, and its 95 % interval by order statistics: a round that something disturbed spoils neither."""
    differences = sorted(mine - yours for mine, yours in zip(one, other, strict=True))
    count = len(differences)
    outside = [sum(math.comb(count, below) for below in range(place + 1)) / 2**count for place in range(count)]
    cut = max((place + 1 for place in range(count // 2) if outside[place] <= 0.025), default=0)
    low, high = differences[cut], differences[count - 1 - cut]
    return f"{statistics.median(differences):5.2f} µs ({low:.2f} to {high:.2f})"


async def measure(groups: int, requests: int, core: int, folder: Path) -> None:
    publish_version(folder / "models", "linear", models.linear())
    data = folder / "request"
    data.write_bytes(request())
    async with opened(folder / "models", folder / "state", grpc_engine="lane") as doors:
        for name, load in LOADS.items():
            count = requests // 4 if load == ("1", "1") else requests
            await rounds_us(doors.grpc, data, load, 1, count, core)  # warms up
            print(told(name, await rounds_us(doors.grpc, data, load, groups, count, core)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=24, help="of three rounds, for each load (default: 24)")
    parser.add_argument("--requests", type=int, default=12_000, help="of each round (default: 12000)")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("This needs two cores: one for the server, one for h2load.", file=sys.stderr)
        return 1
    os.sched_setaffinity(0, cores[:1])
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(arguments.groups, arguments.requests, cores[1], Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
