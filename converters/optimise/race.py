"""The child process that times graphs against each other: one thread, as a server would run them, in turn within
one process, so that whatever else the machine does hits all of them alike.

A *round* runs each graph some times at one number of rows and keeps the median. What is compared is the ratio to
the original within the round; the middle of all rounds, and the quarter on either side, are what the choice
rests on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rapide.converters.arrays import load_arrays
from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError
from rapide.converters.optimise.arrays import as_request, resized
from rapide.converters.optimise.rows import INPUT, part
from rapide.server.model.session import Session, SessionOptions
from rapide.server.repository.manifest import read_manifest
from rapide.server.tensors import Array

_LEAST_ROUNDS, _MOST_ROUNDS = 5, 25
_ROUND_S = 0.01
"""How long one graph runs in one round, at least once."""
_MOST_RUNS = 64
_MOST_BATCHES = 64


def main(job: dict[str, Any], channel: Channel) -> None:
    """Answers ``{"latency_us": {name: {rows: µs}}, "ratios": {name: {rows: [quarter, middle, three
    quarters]}}}``."""
    manifest = read_manifest(Path(job["version"]))
    if manifest is None:
        raise ConversionError("its manifest is gone")
    feeds = part(load_arrays(Path(job["folder"]) / "rows.npz"), INPUT)
    arrays = as_request(feeds, manifest.signature)
    sizes = job["sizes"] if manifest.signature.batchable else [len(arrays[0])]
    sessions: dict[str, Session] = {}
    for name, path in job["graphs"].items():
        session = Session(Path(path).read_bytes(), Path(), has_external_data=False, options=SessionOptions())
        signature = manifest.signature
        session.select([spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs])
        sessions[name] = session
    latency: dict[str, dict[str, float]] = {name: {} for name in sessions}
    ratios: dict[str, dict[str, list[float]]] = {name: {} for name in sessions}
    for rows in sizes:
        channel.step(f"timing {len(sessions)} variants at {rows} row{'s' * (rows != 1)}")
        batches = batches_of(arrays, rows) if manifest.signature.batchable else [arrays]
        found = rounds(sessions, batches, float(job["budget_s"]) / len(sizes))
        for name, times in found.items():
            latency[name][str(rows)] = round(statistics.median(times) * 1e6, 2)
            ratios[name][str(rows)] = _quarters(times, found[job["original"]])
    channel.answer({"latency_us": latency, "ratios": ratios})


def batches_of(arrays: list[Array], rows: int) -> list[list[Array]]:
    """Different batches of ``rows`` rows: the processor learns the way that one row takes through a tree, and a
    forest that sees it again and again looks twice as fast as it is."""
    starts = range(0, max(1, len(arrays[0]) - rows + 1), max(1, rows))[:_MOST_BATCHES]
    return [resized([array[start : start + rows] for array in arrays], rows) for start in starts]


def rounds(
    sessions: Mapping[str, Session], batches: Sequence[list[Array]], budget_s: float
) -> dict[str, list[float]]:
    """Graph → seconds of one run, by round. Every graph gets the same batches in the same order."""
    runs = {name: _runs(session, batches[0]) for name, session in sessions.items()}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    end_s = time.perf_counter() + budget_s
    names = list(sessions)
    for number in range(_MOST_ROUNDS):
        if number >= _LEAST_ROUNDS and time.perf_counter() > end_s:
            break
        for name in names if number % 2 else reversed(names):
            times[name].append(_median_s(sessions[name], batches, runs[name]))
    return times


def _runs(session: Session, batch: list[Array]) -> int:
    session.run(batch)  # the first run of a shape allocates
    begun_s = time.perf_counter()
    session.run(batch)
    return max(1, min(_MOST_RUNS, int(_ROUND_S / max(1e-6, time.perf_counter() - begun_s))))


def _median_s(session: Session, batches: Sequence[list[Array]], runs: int) -> float:
    times = []
    for number in range(runs):
        batch = batches[number % len(batches)]
        begun_s = time.perf_counter()
        session.run(batch)
        times.append(time.perf_counter() - begun_s)
    return statistics.median(times)


def _quarters(times: Sequence[float], original: Sequence[float]) -> list[float]:
    ratios = sorted(time_s / base_s for time_s, base_s in zip(times, original, strict=True))
    quarters = statistics.quantiles(ratios, n=4, method="inclusive")
    return [round(value, 4) for value in quarters]
