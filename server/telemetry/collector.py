"""From what the slots hold to metric families: what each name of the table means, in one place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rapide.server.telemetry import bins, process
from rapide.server.telemetry.aggregate import VersionTotals, aggregate
from rapide.server.telemetry.exposition import Family, Histogram, regroup
from rapide.server.telemetry.metrics import METRICS
from rapide.server.telemetry.process import ProcessFacts
from rapide.server.telemetry.slot_reader import ScalarSnapshot, SlotSnapshot
from rapide.server.telemetry.version_block import COMPUTE_S, ROWS, RUNS, Block
from rapide.server.telemetry.vocabulary import PROTOCOLS

SHED = ("queue_full", "deadline_exceeded", "unavailable")
OUTCOMES = ("ok", "error")
TRITON_REASONS = {
    "REJECTED": ("queue_full", "deadline_exceeded", "unavailable"),
    "CANCELED": ("request_cancelled",),
    "BACKEND": ("internal", "broken_version", "repository_error"),
}
"""Triton's reasons for failures, by our codes; every other code is OTHER."""

_DURATION_PLACES = bins.shown_bins(bins.DURATION_EDGES_S, bins.DURATION_SHOWN_S)
_ROW_PLACES = bins.shown_bins(bins.ROW_EDGES, bins.ROW_SHOWN)
_US = 1e6

Labels = tuple[str, ...]


class Collection:
    """The families of one scrape."""

    def __init__(self) -> None:
        self._families = {spec.name: Family(spec) for spec in METRICS}

    def families(self) -> list[Family]:
        return list(self._families.values())

    def set(self, name: str, labels: Labels, value: float | Histogram) -> None:
        self._families[name].samples[labels] = value

    def merge(self, scalar: ScalarSnapshot) -> None:
        """Puts one worker's scalar to those of the others."""
        family = self._families[scalar.name]
        labels = tuple(value for _, value in scalar.labels)
        before = family.samples.get(labels)
        assert not isinstance(before, Histogram)  # noqa: S101 - histograms are no scalars
        family.samples[labels] = scalar.value if before is None else family.spec.merge(before, scalar.value)


def collect(slots: Sequence[SlotSnapshot], build: Labels) -> list[Family]:
    """All families. ``build``: the label values of ``rapide_build_info``."""
    into = Collection()
    for totals in aggregate(version for slot in slots for version in slot.versions):
        name = (totals.model, totals.version)
        _requests(into, totals, name)
        if totals.model:
            _batches(into, totals, name)
            _model(into, totals, name)
            _triton(into, totals, name)
    _workers(into, slots)
    for slot in slots:
        for scalar in slot.scalars:
            into.merge(scalar)
    into.set("rapide_build_info", build, 1)
    return into.families()


def _requests(into: Collection, totals: VersionTotals, name: Labels) -> None:
    for key, number in totals.requests.items():
        into.set("rapide_requests_total", (*name, *key), number)
    durations, sums = totals.sums["duration"], totals.sums["duration_sum_s"]
    for outcome, outcome_name in enumerate(OUTCOMES):
        for protocol, protocol_name in enumerate(PROTOCOLS):
            if durations[outcome, protocol].any():
                into.set(
                    "rapide_request_duration_seconds",
                    (*name, protocol_name, outcome_name),
                    _durations(durations[outcome, protocol], float(sums[outcome, protocol])),
                )
    if totals.model:
        into.set("rapide_in_flight", name, totals.in_flight)
        into.set("rapide_cancelled_total", name, totals.count("request_cancelled"))
        into.set("rapide_request_payload_bytes_total", name, float(totals.sums["payload_sum_bytes"]))
        into.set("rapide_request_rows_total", name, float(totals.sums["rows_sum"]))
        for reason in SHED:
            into.set("rapide_shed_total", (*name, reason), totals.count(reason))


def _batches(into: Collection, totals: VersionTotals, name: Labels) -> None:
    table = totals.sums["by_batch_rows"]
    into.set(
        "rapide_queue_duration_seconds",
        name,
        _durations(totals.sums["queue"], float(totals.sums["queue_sum_s"])),
    )
    into.set(
        "rapide_compute_duration_seconds",
        name,
        _durations(totals.sums["compute"], float(table[:, COMPUTE_S].sum())),
    )
    counts = regroup([int(runs) for runs in table[:, RUNS]], _ROW_PLACES)
    into.set("rapide_batch_rows", name, Histogram(bins.ROW_SHOWN, counts, float(table[:, ROWS].sum())))
    into.set("rapide_queue_rows", name, totals.waiting_rows)
    for reason, number in totals.reasons.items():
        into.set("rapide_batches_total", (*name, reason), number)


def _model(into: Collection, totals: VersionTotals, name: Labels) -> None:
    if totals.states.keys() - {"unloaded"}:
        into.set("rapide_model_info", (*name, totals.digest), 1)
    for state, workers in {"ready": 0, **totals.states}.items():
        into.set("rapide_model_state", (*name, state), workers)


def _triton(into: Collection, totals: VersionTotals, name: Labels) -> None:
    succeeded = totals.count("ok")
    into.set("nv_inference_request_success", name, succeeded)
    named = 0
    for reason, codes in TRITON_REASONS.items():
        into.set("nv_inference_request_failure", (*name, reason), totals.count(*codes))
        named += totals.count(*codes)
    into.set("nv_inference_request_failure", (*name, "OTHER"), totals.failures - named)
    table = totals.sums["by_batch_rows"]
    into.set("nv_inference_count", name, float(table[:, ROWS].sum()))
    into.set("nv_inference_exec_count", name, float(table[:, RUNS].sum()))
    compute_s, input_s, output_s = totals.sums["request_stages_s"].tolist()
    for stage, seconds in (
        ("request", float(totals.sums["duration_sum_s"][0].sum())),
        ("queue", float(totals.sums["queue_sum_s"])),
        ("compute_input", input_s),
        ("compute_infer", compute_s),
        ("compute_output", output_s),
    ):
        into.set(f"nv_inference_{stage}_duration_us", name, round(seconds * _US))
    into.set("nv_inference_pending_request_count", name, totals.waiting_requests)


def _workers(into: Collection, slots: Iterable[SlotSnapshot]) -> None:
    """A slot has several files where a worker still drained when its successor started: they count as one."""
    by_slot: dict[int, list[SlotSnapshot]] = {}
    for slot in slots:
        if slot.header.slot >= 0:
            by_slot.setdefault(slot.header.slot, []).append(slot)
    for number, files in by_slot.items():
        name = (str(number),)
        newest = max(files, key=lambda file: (file.alive, file.header.started_ticks))
        into.set("rapide_worker_up", name, int(newest.alive))
        into.set("rapide_worker_starts_total", name, sum(file.header.lives for file in files))
        facts = process.facts(newest.header.pid) if newest.alive else None
        if facts is not None:
            _process(into, facts, name)


def _process(into: Collection, facts: ProcessFacts, name: Labels) -> None:
    into.set("rapide_worker_cpu_seconds_total", name, facts.cpu_s)
    into.set("rapide_worker_resident_memory_bytes", name, facts.resident_bytes)
    into.set("rapide_worker_open_fds", name, facts.open_files)
    into.set("rapide_worker_max_fds", name, facts.max_files)
    into.set("rapide_worker_threads", name, facts.threads)
    into.set("rapide_worker_start_time_seconds", name, facts.start_time_s)


def _durations(counts: Block, total_s: float) -> Histogram:
    coarse = regroup([int(count) for count in counts], _DURATION_PLACES)
    return Histogram(bins.DURATION_SHOWN_S, coarse, total_s)
