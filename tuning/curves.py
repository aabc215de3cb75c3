"""Which curves are measured, in which order, and which of them are worth simulating with.

The whole grid of knobs would take an hour. Instead each variant is measured with each number of threads; those
that nothing else dominates have each further knob turned alone; what helped is turned together. Each step is
skipped where it cannot win (the child gives up early, see ``curve_child``)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rapide.server.repository.fields import Fields
from rapide.tuning.budget import Over, never
from rapide.tuning.curve import Curve, Point
from rapide.tuning.errors import TuningError
from rapide.tuning.inputs import Inputs
from rapide.tuning.knobs import Knobs, bases, neighbours, together

CHILD_WITHIN_S: Final = 90.0
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MOST_USUAL: Final = 256
"""Rows that small requests come together to, where many come."""
LONGEST_US: Final = 400_000.0
POINT_S: Final = 0.12


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tuned: one version of one model, and what its profile's requests are like."""

    models: str
    model: str
    version: int
    variants: tuple[str, ...]
    """Names; ``("",)`` where it has none."""
    largest_rows: int
    """Of a request."""
    inputs: Inputs = field(default_factory=Inputs)
    """What the rows of its runs are like."""


@dataclass(slots=True)
class Curves:
    """All curves measured so far. ``failed``: knobs that make no session, and why."""

    done: dict[Knobs, Curve] = field(default_factory=dict)
    failed: dict[Knobs, str] = field(default_factory=dict)


Measure = Callable[[Knobs, Sequence[int], dict[str, float]], "Curve | str"]
"""Of knobs, rows, and the rival's µs by rows: the curve, or why there is none."""


def sizes_for(subject: Subject) -> tuple[int, ...]:
    """The sizes of runs to measure: powers of two up to twice the largest request, MOST_USUAL at least. Beyond, a
    curve goes on as a line."""
    return tuple(size for size in SIZES if size <= max(MOST_USUAL, 2 * subject.largest_rows))


def explore(
    subject: Subject,
    cores: int,
    measure: Measure,
    known: Curves,
    on_step: Callable[[str, float], None],
    over: Over = never,
) -> list[Curve]:
    """The curves that are worth simulating with, the default's first. Fills ``known`` as it goes.

    ``on_step`` hears what is measured next and the share that is done. When it is ``over``, only what is known
    already is taken. Raises TuningError where nothing runs.
    """
    rows = sizes_for(subject)
    wanted = list(bases(subject.variants, cores))
    for number, knobs in enumerate(wanted):
        on_step(f"measuring {knobs.words}", 0.5 * number / len(wanted))
        if not known.done or not over():
            _obtain(knobs, rows, measure, known, rivals=[])
    found = [known.done[knobs] for knobs in wanted if knobs in known.done]
    if not found:
        reasons = "; ".join(sorted(set(known.failed.values()))) or "nothing could be measured"
        raise TuningError(f"{subject.model}/{subject.version} cannot be measured: {reasons}.")
    kept = _undominated(found, rows)
    for number, curve in enumerate(kept):
        on_step(f"turning the knobs of {curve.knobs.words}", 0.5 + 0.5 * number / len(kept))
        found += _turned(curve, cores, rows, measure, known, over)
    return _undominated([known.done[curve.knobs] for curve in found], rows)


def _turned(
    base: Curve, cores: int, rows: Sequence[int], measure: Measure, known: Curves, over: Over
) -> Iterator[Curve]:
    """Curves around ``base`` that are better than it, also than a second measurement of it."""
    around = list(neighbours(base.knobs, cores))
    is_new = any(knobs not in known.done and knobs not in known.failed for knobs in around)
    tried = [
        known.done.get(knobs) if over() else _obtain(knobs, rows, measure, known, rivals=[base])
        for knobs in around
    ]
    if over():
        yield from (curve for curve in tried if curve is not None and _is_better(curve, base))
        return
    if is_new and any(curve is not None and _is_better(curve, base) for curve in tried):
        again = measure(base.knobs, rows, {})
        base = known.done[base.knobs] = base if isinstance(again, str) else base.merged(again)
    better = [curve for curve in tried if curve is not None and _is_better(curve, base)]
    yield from better
    joint = together(base.knobs, [curve.knobs for curve in better])
    curve = None if joint is None else _obtain(joint, rows, measure, known, rivals=[base])
    if curve is not None and all(_is_better(curve, other) for other in [base, *better]):
        yield curve


def _is_better(curve: Curve, base: Curve) -> bool:
    largest = min(curve.points[-1].rows, base.points[-1].rows)
    return curve.beats(base, [point.rows for point in curve.points if point.rows <= largest])


def _obtain(
    knobs: Knobs, rows: Sequence[int], measure: Measure, known: Curves, rivals: Sequence[Curve]
) -> Curve | None:
    if knobs not in known.done and knobs not in known.failed:
        against = {str(point.rows): point.us for curve in rivals for point in curve.points}
        found = measure(knobs, rows, against)
        if isinstance(found, str):
            known.failed[knobs] = found
        else:
            known.done[knobs] = found
    return known.done.get(knobs)


def _undominated(curves: Iterable[Curve], rows: Sequence[int]) -> list[Curve]:
    """Without those that another one is better than; the one that the server would take by itself stays first."""
    curves = list(curves)
    first = curves[0]
    return [first, *(curve for curve in curves[1:] if not curve.is_dominated(curves, _covered(curve, rows)))]


def _covered(curve: Curve, rows: Sequence[int]) -> list[int]:
    """The sizes that were measured: a curve that was given up early must not be judged by what was not seen."""
    largest = curve.points[-1].rows
    return [each for each in rows if each <= largest] or [1]


def in_child(subject: Subject, cpus: Sequence[int], effort: float = 1.0) -> Measure:
    """Measures in a child process on the processors ``cpus``, for ``effort`` times as long as usual."""

    def measure(knobs: Knobs, rows: Sequence[int], against: dict[str, float]) -> Curve | str:
        job: dict[str, Any] = {
            "models": subject.models,
            "model": subject.model,
            "version": subject.version,
            "knobs": knobs.to_json(),
            "rows": list(rows),
            "point_s": POINT_S * effort,
            "longest_us": LONGEST_US,
            "inputs": subject.inputs.to_json(),
            "against": against,
        }
        command = [sys.executable, "-P", "-m", "rapide.tuning.curve_child", json.dumps(list(cpus))]
        try:
            said = subprocess.run(
                command,
                input=json.dumps(job),
                capture_output=True,
                text=True,
                check=False,
                timeout=CHILD_WITHIN_S,
            )
        except subprocess.TimeoutExpired:
            return f"{knobs.words}: not measured within {CHILD_WITHIN_S:g} s"
        return read_findings(knobs, said.stdout, said.stderr, said.returncode)

    return measure


def read_findings(knobs: Knobs, printed: str, complained: str, code: int) -> Curve | str:
    """The curve in what a child printed, or why there is none."""
    findings = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    failed = [finding["failed"] for finding in findings if "failed" in finding]
    points = [Point.read(Fields(finding["point"])) for finding in findings if "point" in finding]
    loaded = [finding["loaded"] for finding in findings if "loaded" in finding]
    if failed or not points or not loaded:
        last = " ".join(complained.strip().splitlines()[-1:])
        return f"{knobs.words}: {failed[0] if failed else f'its process ended with code {code}. {last}'}"
    return Curve(knobs, tuple(points), loaded[0]["load_ms"], loaded[0]["memory_bytes"])
