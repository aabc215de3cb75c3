"""Why each choice was made, in words: what the simulator says of the configuration with that one choice undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rapide.server.tuning_file import ModelTuning
from rapide.tuning.configuration import Configuration, default_configuration
from rapide.tuning.search import Setting, typical
from rapide.tuning.simulator import Outcome
from rapide.tuning.slo import percentile, seconds

_WORDS = {
    "variant": "the variant of the model",
    "intra_op_threads": "threads within a run",
    "allow_spinning": "threads that wait by spinning",
    "graph_level": "how far the graph is rewritten",
    "arena": "memory kept between runs",
    "dynamic_block_base": "how finely parallel loops are cut",
    "max_rows_per_run": "rows in one run of the runtime",
    "max_batch_rows": "rows run together",
    "max_delay_us": "how long a batch waits for company",
    "max_queue_rows": "rows that may wait",
    "sessions": "runs at a time in a worker",
    "inline_below_us": "which runs happen on the event loop",
}


def reasons(chosen: Configuration, setting: Setting) -> Iterator[tuple[str, str]]:
    """What was chosen and why, for everything that differs from the defaults; one line where nothing does."""
    default = default_configuration(setting.cores)
    if chosen == default:
        yield "defaults", "no configuration was clearly better than what the server does by itself"
        return
    got = typical(chosen, setting)
    if chosen.workers != default.workers:
        undone = replace(chosen, workers=default.workers)
        yield f"workers = {chosen.workers}", _compared(got, undone, f"{default.workers} workers", setting)
    for name, value in ModelTuning().to_json().items():
        now = getattr(chosen.tuning, name)
        if now == value:
            continue
        undone = replace(chosen, tuning=replace(chosen.tuning, **{name: value}))
        if undone.knobs not in {curve.knobs for curve in setting.curves}:
            yield f"{name} = {now}", f"{_WORDS[name]}: {_measured(chosen, setting)}"
        elif undone.tuning.max_queue_rows < undone.tuning.max_batch_rows:
            yield f"{name} = {now}", f"{_WORDS[name]}: follows from the size of the batches"
        else:
            yield f"{name} = {now}", f"{_WORDS[name]}: {_compared(got, undone, f'{value}', setting)}"


def _compared(one: Outcome, undone: Configuration, what: str, setting: Setting) -> str:
    percent = setting.slo.main.percent
    other = typical(undone, setting)
    with_s, without_s = percentile(one.latency_s, percent), percentile(other.latency_s, percent)
    decided = "" if with_s <= without_s else "; the replays decided otherwise"
    return (
        f"p{percent:g} {seconds(with_s)} as chosen, {seconds(without_s)} with {what}; processor time per request "
        f"{_cpu_us(one.cpu_s, setting)} and {_cpu_us(other.cpu_s, setting)} µs (simulated{decided})"
    )


def _measured(chosen: Configuration, setting: Setting) -> str:
    """What a run takes by the curve of the choice, and by that of the model as it is: the curve with one knob
    undone was worse than another one everywhere, and is not known any more."""
    curves = (setting.curve_of(chosen.knobs), setting.curves[0])
    rows = min(chosen.tuning.max_batch_rows, *(curve.points[-1].rows for curve in curves))
    with_us, without_us = (" and ".join(f"{curve.run_us(each):.1f}" for each in (1, rows)) for curve in curves)
    return (
        f"runs of 1 and of {rows} rows take {with_us} µs by the measured curve of {curves[0].knobs.words}, "
        f"{without_us} by that of {curves[1].knobs.words}"
    )


def _cpu_us(cpu_s: float, setting: Setting) -> str:
    return f"{cpu_s / max(1, setting.traffic.count) * 1e6:.0f}"
