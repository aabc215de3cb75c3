"""From a published version to a new one with the variants that are worth keeping. Light: heavy work is in
children.

    workshop (child)  ── rows, variants ──▶  trial (a child each)  ──▶  race (child)  ──▶  choice  ──▶  publish

Nothing is published unless some variant is kept. What is published is a new version whose parent is the old one:
published versions never change.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapide.converters.errors import ConversionError
from rapide.converters.optimise.choice import Contender, Verdict, decide, too_far
from rapide.converters.optimise.options import OptimiseOptions
from rapide.converters.optimise.publishing import Kept, publish_variants
from rapide.converters.optimise.recipes import ORIGINAL, Recipe, chosen
from rapide.converters.sandbox import Listener, Sandbox, SandboxMaker
from rapide.converters.trial_gate import Trial
from rapide.converters.work_folder import work_folder
from rapide.server.errors import NotFound
from rapide.server.repository.digest import verify_version
from rapide.server.repository.layout import check_model_name
from rapide.server.repository.local import LocalRepository
from rapide.server.repository.manifest import Manifest
from rapide.server.repository.snapshot import ModelEntry, VersionEntry
from rapide.server.trials import try_version

WORKSHOP = "rapide.converters.optimise.workshop"
TRIAL = "rapide.converters.optimise.trial"
RACE = "rapide.converters.optimise.race"
"""The modules of the children."""
RACE_S = 20.0
"""For all variants at all sizes: enough rounds for small models, and a bound for large ones."""


@dataclass(slots=True)
class Tried:
    """One recipe and everything that was found out about its result."""

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    needs_cpu: tuple[str, ...] = ()
    nodes: int = 0
    note: str = ""
    trial: Mapping[str, Any] = field(default_factory=dict)
    latency_us: Mapping[int, float] = field(default_factory=dict)
    ratios: Mapping[int, tuple[float, float, float]] = field(default_factory=dict)
    verdict: Verdict | None = None

    @property
    def losses(self) -> tuple[tuple[str, str, float], ...]:
        return tuple(
            (loss["measure"], loss["output"], float(loss["loss"])) for loss in self.trial.get("losses", ())
        )


@dataclass(frozen=True, slots=True)
class Optimised:
    """What came out. ``version`` None: no variant was worth keeping, and nothing was published."""

    parent: VersionEntry
    version: int | None
    manifest: Manifest | None
    folder: Path | None
    facts: Mapping[str, Any]
    tried: tuple[Tried, ...]
    options: OptimiseOptions
    notes: tuple[str, ...]
    elapsed_s: float


def optimise(
    options: OptimiseOptions, listener: Listener, *, sandbox: SandboxMaker = Sandbox, trial: Trial = try_version
) -> Optimised:
    """Makes, measures, chooses and publishes. ``trial`` tries what is to be published, as a server would load it.
    Raises RapideError; then nothing was published."""
    started_s = time.monotonic()
    recipes = chosen(options.only)
    chosen(options.keep)  # names are checked, as above
    entry, manifest = _subject(options)
    verify_version(entry)
    notes: list[str] = []

    def listen(kind: str, text: str) -> None:
        if kind != "step":
            notes.append(text)
        listener(kind, text)

    with work_folder("rapide-optimise-") as folder:
        studio = _Studio(options, entry, manifest, folder, listen, sandbox)
        tried = studio.run(recipes)
        if studio.facts["rows"]["golden_only"]:
            listen("note", _few_rows(studio.facts["rows"]["held_out"]))
        kept = [
            Kept(each.name, studio.path(each.name), each)
            for each in tried
            if each.verdict and each.verdict.is_kept
        ]
        version, published = None, None
        if any(each.name != ORIGINAL for each in kept):
            listen("step", "publishing")
            version, published = publish_variants(
                options, entry, manifest, kept, tried, studio.facts, trial, folder
            )
    return Optimised(
        parent=entry,
        version=version,
        manifest=published,
        folder=None if version is None else options.repository / options.name / str(version),
        facts=studio.facts,
        tried=tuple(tried),
        options=options,
        notes=tuple(notes),
        elapsed_s=time.monotonic() - started_s,
    )


def _few_rows(rows: int) -> str:
    return (
        f"only the version's {rows} golden rows were there to compare on, and to calibrate with: "
        "give real rows that the model was not trained on (--rows)"
    )


def _subject(options: OptimiseOptions) -> tuple[VersionEntry, Manifest]:
    """The version to start from. Raises NotFound, ConversionError."""
    check_model_name(options.name)
    repository = LocalRepository(options.repository)
    repository.history(options.name)  # says which models there are, if not this one
    model = repository.scan().models.get(options.name)
    if model is None:
        raise NotFound(f"there is no usable version of {options.name!r}")
    version = _newest(model) if options.version is None else options.version
    entry = model.versions.get(version)
    if entry is None:
        raise NotFound(
            f"{options.name} has no version {version}",
            hint=f"Versions there are: {', '.join(map(str, model.versions))}.",
        )
    if entry.manifest is None:
        raise ConversionError(
            f"{options.name}/{version} has no manifest, so that nothing says what its answers should be",
            hint="Publish it with rapide convert first.",
        )
    if entry.manifest.variants:
        raise ConversionError(
            f"{options.name}/{version} was made by rapide optimise from version {entry.manifest.parent}",
            hint=f"Start from that one: --version {entry.manifest.parent}.",
        )
    return entry, entry.manifest


def _newest(model: ModelEntry) -> int:
    """The newest version that is no collection of variants itself."""
    plain = [
        version
        for version, entry in model.versions.items()
        if entry.manifest is None or not entry.manifest.variants
    ]
    return max(plain or model.versions)


class _Studio:
    """The children and what they said about one version."""

    def __init__(
        self,
        options: OptimiseOptions,
        entry: VersionEntry,
        manifest: Manifest,
        folder: Path,
        listener: Listener,
        sandbox: SandboxMaker,
    ) -> None:
        self._options = options
        self._entry = entry
        self._folder = folder
        self._listener = listener
        self._sandbox = sandbox
        self._target = options.target or str(manifest.quality.get("target", ""))
        self.facts: dict[str, Any] = {}

    def path(self, name: str) -> Path:
        return self._entry.model_path.resolve() if name == ORIGINAL else self._folder / f"{name}.onnx"

    def run(self, recipes: tuple[Recipe, ...]) -> list[Tried]:
        """The original and every recipe, each with its verdict."""
        tried = [Tried(ORIGINAL, "as published"), *self._make(recipes)]
        self._try_all(tried)
        racing = [each for each in tried if each.verdict is None]
        if len(racing) > 1:
            self._race(racing)
            contenders = [
                Contender(each.name, each.losses, each.ratios, bool(each.trial["is_exact"])) for each in racing
            ]
            verdicts = decide(contenders, self._options.sizes, self._options.max_loss, self._options.keep)
            for each, verdict in zip(racing, verdicts, strict=True):
                each.verdict = verdict
        else:
            racing[0].verdict = Verdict(ORIGINAL, True, True, "nothing else was left to compare with it")
        return tried

    def _make(self, recipes: tuple[Recipe, ...]) -> list[Tried]:
        """Asks the workshop for each recipe; one that dies over a recipe is opened again for the next."""
        made: list[Tried] = []
        waiting = list(recipes)
        is_first = True
        while waiting or is_first:
            is_first = False
            with self._child(WORKSHOP, self._workshop_job()) as workshop:
                self.facts = workshop.ask()
                while waiting:
                    recipe = waiting.pop(0)
                    try:
                        answer = workshop.ask({"recipe": recipe.name})
                    except ConversionError as error:
                        made.append(_not_kept(recipe, f"making it failed: {error.message}"))
                        break
                    made.append(_of_answer(recipe, answer))
        return made

    def _try_all(self, tried: list[Tried]) -> None:
        """Tries each alone. The original must stand; a variant that does not is out."""
        for each in tried:
            if each.verdict is not None:
                continue
            job = {**self._job(), "name": each.name, "graph": str(self.path(each.name))}
            try:
                with self._child(TRIAL, job) as trial:
                    each.trial = trial.ask()
            except ConversionError as error:
                if each.name == ORIGINAL:
                    raise
                each.verdict = Verdict(each.name, False, False, f"it does not run: {error.message}")
                continue
            far = too_far(each.losses, self._options.max_loss)
            if far:
                each.verdict = Verdict(each.name, False, False, f"too far from the original: {far}")

    def _race(self, racing: list[Tried]) -> None:
        job = {
            **self._job(),
            "graphs": {each.name: str(self.path(each.name)) for each in racing},
            "original": ORIGINAL,
            "sizes": sorted(self._options.sizes),
            "budget_s": RACE_S,
        }
        with self._child(RACE, job) as race:
            found = race.ask()
        for each in racing:
            each.latency_us = {int(rows): value for rows, value in found["latency_us"][each.name].items()}
            each.ratios = {int(rows): tuple(value) for rows, value in found["ratios"][each.name].items()}

    def _child(self, module: str, job: dict[str, Any]) -> Any:
        return self._sandbox(
            module, job, folder=self._folder, limits=self._options.limits, listener=self._listener
        )

    def _job(self) -> dict[str, Any]:
        return {"folder": str(self._folder), "version": str(self._entry.folder.resolve())}

    def _workshop_job(self) -> dict[str, Any]:
        rows = self._options.rows
        return {
            **self._job(),
            "graph": str(self.path(ORIGINAL)),
            "rows": "" if rows is None else str(rows.resolve()),
            "target": self._target,
            "max_loss": dict(self._options.max_loss),
        }


def _not_kept(recipe: Recipe, reason: str) -> Tried:
    return Tried(recipe.name, recipe.method, verdict=Verdict(recipe.name, False, False, reason))


def _of_answer(recipe: Recipe, answer: Mapping[str, Any]) -> Tried:
    for kind, words in (("skipped", ""), ("failed", "making it failed: ")):
        if kind in answer:
            return _not_kept(recipe, f"{words}{answer[kind]}")
    return Tried(
        recipe.name,
        recipe.method,
        options=answer["options"],
        needs_cpu=tuple(answer["needs_cpu"]),
        nodes=int(answer["nodes"]),
        note=str(answer["note"]),
    )
