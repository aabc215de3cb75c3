"""What a row costs in runs of few and of many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_ROWS_PER_RUN = """\
A cap on rows per run pays where a row costs more in a large run than in a smaller one. What a row costs on one
thread, in µs, with other rows in each run, as a tuning measures and a server meets them, and with the same rows
again and again, when the processor remembers its way through the model. (The runtime's operator for trees works
through 128 rows at a time since its pull request 13835: a run of 256 rows is two of 128 to it. Before, it had a
cliff there, which is why there is this knob.)
"""


def rows_per_run(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines; ``entries``: one by model and rows, the rows rising (``evidence.caps``)."""
    yield _ROWS_PER_RUN
    yield "| model | rows | other rows, µs a row | the same rows, µs a row |"
    yield "|---|---:|---:|---:|"
    for entry in entries:
        yield f"| {entry['model']} | {entry['rows']} | {entry['other_us']:.2f} | {entry['same_us']:.2f} |"
    yield ""
    for model in dict.fromkeys(entry["model"] for entry in entries):
        known = [entry for entry in entries if entry["model"] == model]
        words = [_dearness(known, kind) for kind in ("other_us", "same_us")]
        yield f"* *{model}*: with other rows {words[0]}; with the same ones {words[1]}."


def _dearness(entries: Sequence[Mapping[str, Any]], kind: str) -> str:
    """How much dearer a row of the largest run is than where it is cheapest."""
    cheapest, largest = min(entries, key=lambda entry: entry[kind]), entries[-1]
    if cheapest is largest:
        return "a row is cheapest in the largest run, so no cap can pay"
    times = largest[kind] / cheapest[kind]
    return f"a row of a run of {largest['rows']} costs {times:.2f} times one of a run of {cheapest['rows']}"
