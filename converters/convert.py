"""From a file and a sample to a published version: the conversion as a whole. Light: heavy work is in children.

    original (child)  ── graph, probe rows, the original's answers ──▶  examine (child)  ──▶  publish
          ▲                                                                  │
          └───────────────── next precision, if it was refused ──────────────┘

The first child runs the code that is stored in the model's file; the second never sees that file, so that what is
published was checked by a process which nobody else's code ran in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from rapide.converters.columns import Precision
from rapide.converters.constants import placed
from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.limits import GIB, Limits
from rapide.converters.lineage import who
from rapide.converters.metric_names import check_metric
from rapide.converters.optimise.optimise import Optimised, optimise
from rapide.converters.optimise.options import REAL_ROWS, OptimiseOptions
from rapide.converters.options import ConvertOptions
from rapide.converters.publishing import Attempt, publish_attempt
from rapide.converters.quality_bar import CONSTANT, NONE, check_bar, number_in
from rapide.converters.quality_bar import refusal as quality_refusal
from rapide.converters.sandbox import Listener, Sandbox, SandboxMaker
from rapide.converters.sources.table import Source
from rapide.converters.subject import subject_of
from rapide.converters.trial_gate import Trial
from rapide.converters.work_folder import work_folder
from rapide.server.errors import Conflict, InvalidRequest, NotFound, RapideError
from rapide.server.repository.labels import LabelChanges, apply_changes, parse_changes
from rapide.server.repository.layout import check_label_name, check_model_name, parse_version
from rapide.server.repository.local import LocalRepository
from rapide.server.repository.manifest import Manifest
from rapide.server.trials import try_version

ORIGINAL = "rapide.converters.original"
EXAMINE = "rapide.converters.examine"
"""The modules of the two children."""

_RULES = (CONSTANT, NONE)
_SPEED_ROWS = (1, 32)
_PROFILE_SHARES = (0.5, 0.95)
_NEXT = 10**9
"""Stands for the number that the new version will have, where it is not known yet."""


@dataclass(frozen=True, slots=True)
class Published:
    """What came out. ``attempts``: in the order tried; ``chosen`` was published."""

    version: int
    folder: Path
    manifest: Manifest
    attempts: tuple[Attempt, ...]
    chosen: Attempt
    notes: tuple[str, ...]
    label: str
    elapsed_s: float
    optimised: Optimised | None = None
    """What ``--optimise`` made of it; a version of its own, if any variant was worth it."""

    @property
    def labelled(self) -> int:
        """The version that ``label``, if there is one, was given to."""
        return (self.optimised and self.optimised.version) or self.version


def convert(
    options: ConvertOptions, listener: Listener, *, sandbox: SandboxMaker = Sandbox, trial: Trial = try_version
) -> Published:
    """Converts, checks and publishes. ``sandbox`` makes the processes that work, ``trial`` tries what came out.
    The listener also hears a ``"caution"``, before code that is stored in a model runs.

    Raises ConversionError (GateRefused where a check failed) or another RapideError; then nothing was published.
    """
    started_s = time.monotonic()
    check_model_name(options.name)
    _check_repository(options.repository)
    _speed_rows(options)  # a profile that cannot be read is told before anything is opened
    _check_label(options)
    _check_parent(options)
    _check_classes(options)
    check_metric(options.metric, options.target)
    check_bar(options.baseline, options.hurdle, options.metric, options.target)
    notes: list[str] = []

    def listen(kind: str, text: str) -> None:
        if kind != "step":
            notes.append(text)
        listener(kind, text)

    with work_folder("rapide-convert-") as folder:
        listen("step", "looking for the model")
        options = placed(options, folder)
        named = options.model
        subject = subject_of(named, folder, options.limits)
        options = replace(options, model=subject.path, origin=subject.origin)
        _check_sample(options, subject.source)
        if subject.source.runs_code:
            listener("caution", _caution(named, options.limits))
        facts, attempts, chosen = _attempts(options, subject.source, folder, listen, sandbox)
        try:
            _check_gates(options, chosen)
            listen("step", "publishing")
            version, manifest = publish_attempt(options, folder, facts, chosen, trial)
        except GateRefused as error:
            error.report = {**_found(attempts), "chosen": chosen.precision}
            raise
        optimised = _optimised(options, folder, version, listen, sandbox, trial) if options.optimise else None
    _set_label(options, (optimised and optimised.version) or version)
    return Published(
        version=version,
        folder=options.repository / options.name / str(version),
        manifest=manifest,
        attempts=attempts,
        chosen=chosen,
        notes=tuple(notes),
        label=options.label,
        elapsed_s=time.monotonic() - started_s,
        optimised=optimised,
    )


def _optimised(
    options: ConvertOptions, folder: Path, version: int, listener: Listener, sandbox: SandboxMaker, trial: Trial
) -> Optimised | None:
    """Variants of ``version``, judged on the sample's rows. Whatever goes wrong with them, the version stands."""
    chosen = OptimiseOptions(
        repository=options.repository,
        name=options.name,
        version=version,
        rows=folder / REAL_ROWS,
        max_loss=options.max_loss,
        limits=options.limits,
    )
    try:
        return optimise(chosen, listener, sandbox=sandbox, trial=trial)
    except RapideError as error:
        listener("note", f"version {version} is published as converted; making variants of it failed: {error}")
        return None


def label_changes(text: str, version: int) -> LabelChanges:
    """The change that ``--label`` asks for: ``stable``, or ``canary:10%`` for a share of requests.

    Raises InvalidRequest for other texts.
    """
    if not text:
        return LabelChanges({})
    label, colon, share = text.partition(":")
    check_label_name(label)
    try:
        return parse_changes([f"{label}={version}{colon}{share}"])
    except InvalidRequest:  # it shows the change, which nobody wrote
        raise InvalidRequest(
            f"--label {text[:96]!r} is neither a label nor a label with a share of the requests",
            hint=f"Write --label {label}, or --label {label}:10% for a share.",
        ) from None


def _check_repository(folder: Path) -> None:
    """Raises ConversionError for a place where nothing can be published: work would be done for nothing."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ConversionError(f"--to {folder}: {there} is no folder", hint="Name the folder of the repository.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConversionError(f"--to {folder}: {there} may not be written to")


def _check_label(options: ConvertOptions) -> None:
    """Refuses a label that could not be set afterwards: without it the new version would answer everybody.

    Raises InvalidRequest, Conflict.
    """
    changes = label_changes(options.label, version=_NEXT)
    if not changes.set:
        return
    try:
        labels = LocalRepository(options.repository).labels(options.name)
    except RapideError:  # no such model yet, or no repository
        labels = {}
    try:
        apply_changes(labels, changes, {_NEXT, *(target.version for target in labels.values())})
    except Conflict as error:
        raise Conflict(
            error.message,
            hint=f"Nothing was published. Say first who takes the rest: rapide label {options.repository} "
            f"{options.name} stable=VERSION; the first version of a model takes --label stable.",
        ) from error


def _check_parent(options: ConvertOptions) -> None:
    """Raises NotFound for a parent that is no version of the model."""
    folder = options.repository / options.name
    if options.parent is None or (options.parent > 0 and (folder / str(options.parent)).is_dir()):
        return
    names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    versions = sorted(version for version in map(parse_version, names) if version is not None)
    raise NotFound(
        f"--parent {options.parent}: {options.name} has no such version",
        hint=f"Versions there are: {', '.join(map(str, versions)) or 'none'}.",
    )


def _check_classes(options: ConvertOptions) -> None:
    """Raises InvalidRequest for a name that two classes would have."""
    twice = sorted({name for name in options.classes if options.classes.count(name) > 1})
    if twice:
        raise InvalidRequest(
            f"--classes gives the name {twice[0][:96]!r} to two classes", hint="Give each class a name of its own."
        )


def _set_label(options: ConvertOptions, version: int) -> None:
    changes = label_changes(options.label, version)
    if not changes.set:
        return
    try:
        LocalRepository(options.repository).set_labels(options.name, changes, who=who(), why="rapide convert")
    except RapideError as error:
        raise ConversionError(
            f"version {version} is published, but the label {options.label!r} could not be set: {error}",
            hint=f"Set it with: rapide label {options.repository} {options.name} …",
        ) from error


def _caution(model: Path, limits: Limits) -> str:
    return (
        f"Opening {model} runs code that is stored in it: in a child process, with at most "
        f"{limits.memory_bytes / GIB:g} GiB of memory, {limits.time_s:g} s, and no network."
    )


def _check_sample(options: ConvertOptions, source: Source) -> None:
    if options.sample is not None and not options.sample.is_file():
        problem = "is no file" if options.sample.exists() else "does not exist"
        raise ConversionError(f"the sample {options.sample} {problem}")
    if options.sample is None and (source.needs_sample or options.target):
        raise ConversionError(
            f"converting {source.name} models needs --sample: real rows as in training",
            hint="Some tens of rows do: .parquet or .csv for columns, .npz for tensors.",
        )


def _attempts(
    options: ConvertOptions, source: Source, folder: Path, listener: Listener, sandbox: SandboxMaker
) -> tuple[dict[str, Any], tuple[Attempt, ...], Attempt]:
    """Tries precisions, cheapest first, until one passes in full. Returns what the original is, all attempts, and
    the one to publish. Raises GateRefused, with the tables, if none passes; ConversionError if none can be
    made."""
    job = {
        "model": str(options.model.resolve()),
        "sample": "" if options.sample is None else str(options.sample.resolve()),
        "source": source.name,
        "source_module": source.module,
        "target": options.target,
        "rule": "" if number_in(options.baseline) is not None or options.baseline in _RULES else options.baseline,
        "classes": list(options.classes),
        "folder": str(folder),
    }
    attempts: list[Attempt] = []
    unusable: list[ConversionError] = []
    with sandbox(ORIGINAL, job, folder=folder, limits=options.limits, listener=listener) as original:
        facts: dict[str, Any] = original.ask()
        for precision in _precisions(options, facts):
            candidate = original.ask({"precision": precision})
            if "refused" in candidate:
                unusable.append(ConversionError(**candidate["refused"]))
                continue
            try:
                job = _examination_job(options, folder, facts, precision, candidate)
                with sandbox(EXAMINE, job, folder=folder, limits=options.limits, listener=listener) as examiner:
                    examination = examiner.ask()
            except GateRefused as error:
                unusable.append(error)
                continue
            attempts.append(Attempt(precision, examination))
            if attempts[-1].passed and not attempts[-1].reservations:
                break
    passed = sorted((each for each in attempts if each.passed), key=lambda each: len(each.reservations))
    if passed:
        return facts, tuple(attempts), passed[0]
    if not attempts:
        raise unusable[0]
    raise _refusal(options, attempts, unusable)


def _precisions(options: ConvertOptions, facts: Mapping[str, Any]) -> list[Precision]:
    possible = cast("list[Precision]", facts["precisions"])
    if options.precision == "auto":
        return possible
    return [options.precision]


def _examination_job(
    options: ConvertOptions,
    folder: Path,
    facts: Mapping[str, Any],
    precision: Precision,
    candidate: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "may_start_processes": False,
        "graph": str(folder / f"{precision}.onnx"),
        "arrays": str(folder / f"{precision}.npz"),
        "columns": facts["columns"],
        "outputs": facts["outputs"],
        "class_values": facts["class_values"],
        "task": facts["description"]["task"],
        "sets": candidate["sets"],
        "takes_missing": facts.get("takes_missing", []),
        "metric": options.metric,
        "baseline": options.baseline,
        "hurdle": options.hurdle,
        "speed_rows": list(_speed_rows(options)),
        "max_difference": options.max_difference,
        "max_flips": options.max_flips,
        "keep_rows": options.optimise,
    }


def _speed_rows(options: ConvertOptions) -> tuple[int, ...]:
    """Rows in one run to be timed: one, some, and those that the usage profile says are usual and many."""
    if options.profile is None:
        return _SPEED_ROWS
    from rapide.profiles.document import Profile  # noqa: PLC0415 - needs numpy, which the command does without

    rows = Profile.load(options.profile).find(options.name).rows
    if not rows.count:
        return _SPEED_ROWS
    seen = {max(1, round(rows.quantile(share))) for share in _PROFILE_SHARES}
    return tuple(sorted({*_SPEED_ROWS, *seen}))


def _check_gates(options: ConvertOptions, chosen: Attempt) -> None:
    """Raises GateRefused for a graph that answers like the original, but not well or fast enough."""
    quality = chosen.examination["quality_gate"]
    if quality is not None and quality["fault"]:
        raise quality_refusal(quality["fault"])
    one_row_us = float(chosen.examination["latency_us"]["1"])
    if options.max_latency_us is not None and one_row_us > options.max_latency_us:
        raise GateRefused(
            "speed",
            f"one row takes {one_row_us:.0f} µs on this machine; the limit is {options.max_latency_us:g} µs. "
            "Nothing was published.",
            hint="Train a smaller model, or raise --max-latency-us.",
        )


def _refusal(options: ConvertOptions, attempts: list[Attempt], unusable: list[ConversionError]) -> GateRefused:
    best = attempts[-1]
    binding = [row for row in best.examination["table"] if not row["advisory"]]
    flips = sum(row["over"] for row in binding if row["is_label"])
    over = [row for row in binding if row["over"] and not row["is_label"]]
    parts = []
    if flips > options.max_flips:
        parts.append(f"{flips} labels differ (limit {options.max_flips})")
    if over:
        worst = max(over, key=lambda row: float(row["worst_absolute"]))
        rows = sum(row["over"] for row in over)
        parts.append(
            f"{rows} answers differ by more than the limit, the worst by {float(worst['worst_absolute']):.3g} in "
            f"{worst['output']!r} ({worst['set']})"
        )
    tried = ", ".join(attempt.precision for attempt in attempts)
    return GateRefused(
        "parity",
        f"the ONNX graph does not answer like the original: {' and '.join(parts)}. Tried: {tried}. "
        "Nothing was published.",
        hint=_remedy(options, attempts, unusable),
        report=_found(attempts),
    )


def _found(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """What a refusal reports: what was found of each precision that was tried."""
    return {"attempts": [{"precision": each.precision, **each.examination} for each in attempts]}


def _remedy(options: ConvertOptions, attempts: list[Attempt], unusable: list[ConversionError]) -> str:
    if options.precision != "auto":
        return "Leave --precision out: double inputs are then tried where single ones do not do."
    hint = (
        "The table shows where. If such a difference does not matter to you, raise --max-difference or "
        "--max-flips; else train with an estimator that converts faithfully (docs/guides/convert.md)."
    )
    binding = [row for row in attempts[-1].examination["table"] if not row["advisory"] and row["over"]]
    ties = sum(row["ties"] for row in binding)
    if ties and ties == sum(row["over"] for row in binding):
        hint = (
            "In each of these rows the original finds the two likeliest classes equally likely, so that rounding "
            f"decides which it says: --max-flips {ties} lets them pass, if that does not matter to you."
        )
    if not attempts[-1].examination["signature"]["batchable"]:
        hint = (
            "The graph mixes the rows of a request (a mean over dimension 0, for example), and not as the "
            f"original does: export it with a dynamic first dimension. {hint}"
        )
    if unusable:
        hint = f"Double precision, which might have helped, is not possible: {unusable[-1].message}. {hint}"
    return hint
