"""One tuning from beginning to end: look, measure, calibrate, search, prove, choose."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from rapide.server.model import SessionOptions, load_model
from rapide.server.proven import Proven
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.tuning_file import TuningFile
from rapide.tuning import busyness, calibration, fitting, sample_rows, stall_meter
from rapide.tuning.budget import Budget, Over
from rapide.tuning.configuration import Configuration, default_configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curves import Subject, explore, in_child, sizes_for
from rapide.tuning.errors import TuningError
from rapide.tuning.found import Found, Request, setting_of
from rapide.tuning.learnt import Learnt, write_whole
from rapide.tuning.notes import note
from rapide.tuning.proof import Measured, Proof, is_better, prove, telling_speed
from rapide.tuning.proven import proven, wider
from rapide.tuning.reasons import reasons
from rapide.tuning.search import Setting, configurations, leading, search, typical, window
from rapide.tuning.served import Site
from rapide.tuning.slo import percentiles
from rapide.tuning.traffic import MOST_REQUESTS
from rapide.tuning.work_folder import work_folder

CALIBRATION_REQUESTS: Final = 4000
STALLS_S: Final = 8.0
HOPELESS: Final = 1.2
"""What is simulated to be so much worse than the default is not worth a replay."""
FINALISTS: Final = 12
"""Of the search, from which the ones to prove are taken."""
PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
SHARES: Final = {"look": 0.02, "measure": 0.3, "calibrate": 0.25, "search": 0.13, "prove": 0.3}
"""Of the time, for the progress bar."""
OnStep = Callable[[str, float], None]
OnNote = Callable[[str], None]


def _unheard(_text: str) -> None: ...


def tune(request: Request, on_step: OnStep, on_note: OnNote = _unheard) -> Found:
    """Tunes. Blocking, for some minutes; keeps what it learns as it goes. ``on_note`` hears at once
    what makes all of it less sure. Raises TuningError."""
    found, steps = Found(request, default=default_configuration(len(request.cpus))), _Steps(on_step)
    begun, budget = busyness.Times.now(request.cpus), Budget.of(request.within_s)
    with work_folder("rapide-rows-") as folder:
        setting, site = _learn(found, folder, steps, budget, on_note)
        _search(found, setting, steps, budget.over("search"))
        # They were found by the load's busiest moments, of which a replay has less.
        setting = replace(_at_a_telling_load(found, setting), most_requests=MOST_REQUESTS)
        _prove(request, found, setting, site, steps, budget)
        _choose(found, setting)
        _widen(request, found, site, on_step)
    found.others_meanwhile = busyness.others_share(begun, busyness.Times.now(request.cpus), len(request.cpus))
    note(found)
    on_step("done", 1.0)
    return found


def learn(request: Request, on_step: OnStep, on_note: OnNote = _unheard) -> tuple[Setting, list[str]]:
    """Measures and calibrates, as far as that is not known: what can be simulated with, and what to know of it."""
    found, steps = Found(request, default=default_configuration(len(request.cpus))), _Steps(on_step)
    begun = busyness.Times.now(request.cpus)
    with work_folder("rapide-rows-") as folder:
        setting, _ = _learn(found, folder, steps, Budget.of(request.within_s), on_note)
    found.others_meanwhile = busyness.others_share(begun, busyness.Times.now(request.cpus), len(request.cpus))
    note(found)
    return setting, found.notes


def _learn(found: Found, folder: Path, steps: _Steps, budget: Budget, on_note: OnNote) -> tuple[Setting, Site]:
    """``folder`` is for the rows that servers are asked with."""
    request = found.request
    steps("look", "looking whether the machine is idle", 0.0)
    found.others_before = busyness.look(request.cpus)
    if found.others_before > busyness.BUSY:
        on_note(
            f"this machine is busy with other work ({found.others_before:.0%} of its cores); what is measured now "
            "says little of it when it is idle."
        )
    steps("look", "watching how often this machine stalls", 0.2)
    found.stalls = stall_meter.measure(request.cpus, STALLS_S * request.effort)
    model = load_model(request.entry, SessionOptions())
    rows_file = folder / "rows.npz"
    pool = sample_rows.pool_of(request.entry, model, request.inputs)
    if request.inputs.lengths and not request.inputs.are_those_of(pool, model.signature):
        found.notes.append(
            f"The model does not run with {request.inputs.words}: its golden rows are used as they are."
        )
    sample_rows.save(pool, model.signature, rows_file, int(request.arrivals.rows.max()))
    learnt = Learnt.load(request.learnt_path)
    _measure(request, found, learnt, steps, budget.over("measure"))
    found.batchable = model.signature.batchable
    site = request.site(rows_file if found.batchable else None)
    _calibrate(request, found, learnt, site, steps, budget.over("calibrate"))
    return setting_of(found), site


def write(found: Found, now: datetime | None = None) -> TuningFile:
    """Writes the tuning file. Raises TuningError where it cannot."""
    request, chosen = found.request, found.chosen
    if chosen is None:
        raise TuningError("nothing was chosen.")
    file = TuningFile(
        cpu=request.cpu,
        digest=request.digest,
        model=request.entry.model,
        workers=chosen.workers,
        tuning=replace(chosen.tuning, proven=_proven(found, chosen)),
        version=request.entry.version,
        written=(now or datetime.now(UTC)).isoformat(timespec="seconds").replace("+00:00", "Z"),
        onnxruntime=version("onnxruntime"),
        slo=str(request.slo),
        evidence=evidence(found),
    )
    write_whole(request.path, file.to_bytes())
    return file


def _proven(found: Found, chosen: Configuration) -> Proven | None:
    request = found.request
    return proven(chosen, found.as_recorded, request.slo, request.arrivals, request.recorded)


def evidence(found: Found) -> dict[str, Any]:
    """What the choice rests on, as JSON."""
    request = found.request
    return {
        "objective": request.objective,
        "profile": request.profile_name,
        "requests": request.arrivals.count,
        "rate_per_s": round(request.arrivals.rate_per_s, 3),
        "replayed_per_s": round(found.load.rate_per_s, 3),
        "protocol": request.protocol,
        "inputs": request.inputs.words,
        "simulated": found.simulated,
        "is_improvement": found.is_improvement,
        "reasons": [{"choice": choice, "why": why} for choice, why in found.reasons],
        "notes": found.notes,
        "costs": {} if found.costs is None else _without_samples(found.costs),
        "curves": [curve.to_json() for curve in found.curves],
        "predicted": [
            {"configuration": one.configuration.words, **_figures(one.outcome.latency_s)}
            for one in found.candidates
            if not found.proofs or found.proof_of(one.configuration)
        ],
        "measured": [
            {"configuration": one.configuration.words, "rounds": [_figures(each.latency_s) for each in one.rounds]}
            for one in found.proofs
        ],
    }


def _measure(request: Request, found: Found, learnt: Learnt, steps: _Steps, over: Over) -> None:
    variants = () if request.entry.manifest is None else request.entry.manifest.variants
    names = tuple("" if variant.is_default else variant.name for variant in variants) or ("",)
    subject = Subject(
        request.models,
        request.entry.model,
        request.entry.version,
        names,
        int(request.arrivals.rows.max()),
        request.inputs,
    )
    learnt.forget_stale(
        sizes_for(subject)[-1], request.inputs.words, request.effort, _digests(request.entry, names)
    )
    measure = in_child(subject, request.cpus, request.effort)
    step = steps.within("measure")

    def on_step(text: str, share: float) -> None:
        learnt.save(request.learnt_path)
        step(text, share)

    try:
        found.curves = explore(subject, len(request.cpus), measure, learnt.curves, on_step, over)
    except BaseException:  # what was measured since the last step, too, where somebody presses Ctrl-C
        with suppress(TuningError):
            learnt.save(request.learnt_path)
        raise
    learnt.save(request.learnt_path)
    if over():
        found.notes.append("There was no time to measure all knobs; the next run goes on from here.")
    found.failed = list(learnt.curves.failed.values())


def _digests(entry: VersionEntry, names: Sequence[str]) -> dict[str, str]:
    """Variant → digest of its file. The default's is the whole tuning's key."""
    if entry.manifest is None:
        return {}
    files = {variant.name: variant.file for variant in entry.manifest.variants}
    return {name: entry.manifest.files[files[name]].sha256 for name in names if name in files}


def _calibrate(request: Request, found: Found, learnt: Learnt, site: Site, steps: _Steps, over: Over) -> None:
    rows = int(np.median(request.arrivals.rows))
    came = zlib.crc32(request.arrivals.instants_s.tobytes())
    key = f"{request.protocol}, {rows} rows, {request.inputs.words}, {came:08x}, {site.leaves_cores}"
    if learnt.costs is None or learnt.calibrated_for != key:
        step = steps.within("calibrate")
        traffic = window(request.arrivals, CALIBRATION_REQUESTS)
        observations = calibration.observe(
            site, found.curves[0], rows, traffic, lambda text, share: step(text, share * 0.6), request.effort, over
        )
        step("fitting the server's costs", 0.6)
        is_late = over()
        learnt.costs = fitting.fit(
            observations,
            found.curves[0],
            len(request.cpus),
            request.effort,
            found.stalls,
            over,
            client_apart=site.leaves_cores,
        )
        if is_late:
            found.notes.append(
                "There was no time to fit the server's costs to its answers: what is predicted is rough. The next "
                "run asks it again."
            )
        learnt.calibrated_for = "" if is_late else key
        learnt.save(request.learnt_path)
    found.costs = fitting.suffering(learnt.costs, found.stalls)


def _search(found: Found, setting: Setting, steps: _Steps, over: Over) -> None:
    is_cut = False

    def noticed() -> bool:
        nonlocal is_cut
        is_cut = is_cut or over()
        return is_cut

    found.candidates, found.simulated = search(setting, steps.within("search"), keep=FINALISTS, over=noticed)
    if is_cut:
        found.notes.append(
            f"There was no time to simulate all to the end: of {len(configurations(setting))} configurations "
            f"{found.simulated} were looked at, some on little traffic. More time (--within) looks at all."
        )


def _at_a_telling_load(found: Found, setting: Setting) -> Setting:
    """``setting`` with the load at which candidates are replayed."""
    request, default = found.request, found.candidate_of(found.default)
    if request.objective != "throughput" or not request.rounds or default is None:
        return setting
    found.speed = telling_speed(default.speed, max(one.speed for one in found.candidates))
    return replace(setting, arrivals=found.load)


def _prove(request: Request, found: Found, setting: Setting, site: Site, steps: _Steps, budget: Budget) -> None:
    if not request.rounds or found.default is None:
        return
    default = found.candidate_of(found.default)
    hopeless = math.inf if default is None else HOPELESS * default.score
    best = [one for one in found.candidates if one.configuration != found.default and one.score < hopeless]
    chosen = [one.configuration for one in leading(best, request.candidates)]

    def figure(measured: Measured) -> float:
        return measured.figure(request.slo, request.objective)

    step = steps.within("prove")
    step("simulating what is replayed", 0.0)
    _predict(found, setting, chosen)
    found.proofs = prove(
        site,
        [found.default, *chosen],
        found.load,
        request.rounds,
        step,
        budget=budget,
        figure=figure,
        on_failure=found.failed.append,
    )


def _predict(found: Found, setting: Setting, chosen: Sequence[Configuration]) -> None:
    """What the simulator says of those that are replayed, under as much of that as it simulates at most."""
    found.candidates = [
        replace(one, outcome=typical(one.configuration, setting))
        if one.configuration in (found.default, *chosen)
        else one
        for one in found.candidates
    ]


def _widen(request: Request, found: Found, site: Site, on_step: OnStep) -> None:
    """One replay more at the recorded load, of the choice with larger limits: may a server that adapts use them?
    And of the choice itself, where all others were made at another load."""
    chosen = found.proof_of(found.chosen)
    if chosen is None:
        return
    configurations = [chosen.configuration, wider(chosen.configuration)]
    if found.speed == 1.0:
        configurations = configurations[1:] if chosen.holds(request.slo) else []
    if configurations:
        last = SHARES["prove"] * 0.05
        try:
            found.wider = prove(site, configurations, request.arrivals, 1, lambda text, _: on_step(text, 1 - last))
        except TuningError as error:  # the choice is made
            found.failed.append(f"{configurations[0].words}: {error.message}")


def _choose(found: Found, setting: Setting) -> None:
    """The best that was proven clearly better than the default, else the default."""
    request, default = found.request, found.default
    found.chosen = default

    def figure(proof: Proof) -> float:
        return proof.median(lambda each: each.figure(request.slo, request.objective))

    proven_default = found.proof_of(default)
    if proven_default is None:
        found.chosen = found.candidates[0].configuration
    else:
        better = [
            proof
            for proof in found.proofs
            if proof is not proven_default
            and is_better(proof, proven_default, request.slo, request.objective)
            and (found.speed == 1.0 or proof.holds(request.slo))
        ]
        if better:
            found.chosen = min(better, key=figure).configuration
    if found.chosen is not None:
        found.reasons = list(reasons(found.chosen, setting))
    if found.simulated < 2 and len(found.proofs) < 2:
        found.reasons = [("defaults", "there was no time to look at anything else")]


def _figures(latency_s: Any) -> dict[str, Any]:
    values = percentiles(latency_s, PERCENTS)
    figures: dict[str, Any] = {
        f"p{percent:g}_ms": round(value * 1e3, 4) if np.isfinite(value) else None
        for percent, value in zip(PERCENTS, values, strict=True)
    }
    return {**figures, "refused": round(float(np.mean(~np.isfinite(latency_s))), 6)}


def _without_samples(costs: Costs) -> dict[str, Any]:
    return {name: round(value, 3) for name, value in costs.to_json().items() if isinstance(value, float)}


class _Steps:
    """Progress of the whole from that of its parts."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step

    def __call__(self, part: str, text: str, share: float) -> None:
        before = 0.0
        for name, width in SHARES.items():
            if name == part:
                self._on_step(text, before + width * share)
                return
            before += width

    def within(self, part: str) -> OnStep:
        return lambda text, share: self(part, text, share)
