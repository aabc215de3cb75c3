"""The conductor: from a repository on disk, and from calls, to what all workers serve. Workers are fakes."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from rapide.server.conductor import Conductor
from rapide.server.control import (
    Change,
    Failure,
    LoadModel,
    Prepare,
    Prepared,
    RegisterRegion,
    Start,
    UnloadModel,
    UnregisterRegion,
    UpdateLog,
    UpdateTrace,
    VersionFailure,
)
from rapide.server.crew import MAX_FAILED_STARTS, Crew
from rapide.server.errors import BrokenVersion, Conflict, NotFound, RapideError, RepositoryError, Unavailable
from rapide.server.repository.digest import file_digest_text
from rapide.server.repository.labels import parse_changes
from rapide.server.repository.local import LocalRepository
from rapide.server.repository.plan import ServingPlan
from rapide.server.settings import Settings
from rapide.server.tuning_file import ModelTuning, TuningFile
from rapide.server.tuning_folder import UNTUNED, TuningFolder
from tests import models
from tests.server.crew_fakes import Behaviour, FakeHost, FakeWorker, until, willing

MODEL = models.constant(1.0)
BAD = models.unknown_operator()


@dataclass
class Stage:
    """A server without processes: ``served`` is what the workers were told last."""

    host: FakeHost
    crew: Crew
    conductor: Conductor

    @property
    def served(self) -> dict[str, list[str]]:
        plan = ServingPlan.from_json(self.host.alive[0].served[-1].plan)
        return {
            model.name: [str(version.version) for version in model.versions]
            + [f"{label}={target.version}" for label, target in model.labels.items()]
            for model in plan.models
        }

    @property
    def problems(self) -> list[str]:
        return [
            f"{found['model']}/{found['version']}: {found['reason']}" for found in self.conductor.state.problems
        ]


@asynccontextmanager
async def stage(
    root: Path,
    behaviour: Behaviour | None = None,
    *,
    size: int = 2,
    tuning_folder: TuningFolder = UNTUNED,
    **settings: object,
) -> AsyncIterator[Stage]:
    host = FakeHost(*[behaviour or loading_onnx] * 100)
    crew = Crew(
        host.launch,
        [Start(slot, size, {}) for slot in range(size)],
        lambda worker, call: None,
        start_timeout_s=5,
        prepare_timeout_s=5,
    )
    resolved = Settings(models=str(root), **settings)  # type: ignore[arg-type]
    conductor = Conductor(resolved, LocalRepository(root), crew, tuning_folder)
    crew.start()
    try:
        yield Stage(host, crew, conductor)
    finally:
        await crew.kill()


def loading_onnx(worker: FakeWorker, order: Prepare) -> Prepared:
    """Fails for versions whose file has an operator that exists nowhere, as a real worker would."""
    bad = [
        VersionFailure(version.model, version.version, "no such operator")
        for version in ServingPlan.from_json(order.state.plan).versions
        if Path(version.path).exists() and onnx.load(version.path).graph.node[0].domain == "org.nowhere"
    ]
    return Prepared(order.round, bad)


def deadly(model: str, version: int, deaths: list[int]) -> Behaviour:
    """Workers die while loading this version, which they do at every attempt."""

    def behaviour(worker: FakeWorker, order: Prepare) -> Prepared | None:
        planned = ServingPlan.from_json(order.state.plan).versions
        if any((found.model, found.version) == (model, version) for found in planned):
            deaths.append(worker.pid)
            worker.die(-9)
            return None
        return willing(worker, order)

    return behaviour


def publish(root: Path, name: str, version: int, model: onnx.ModelProto = MODEL) -> None:
    """Appears at once, as ``rapide convert`` does it."""
    staged = root / f".staging-{name}-{version}"
    models.save(model, staged / "model.onnx")
    (root / name).mkdir(parents=True, exist_ok=True)
    staged.rename(root / name / str(version))


async def follow_until_settled(on: Stage, condition: Callable[[], bool]) -> None:
    """A file without a manifest is taken by the second scan that finds it unchanged."""
    for _ in range(20):
        await on.conductor.follow()
        if condition():
            return
    raise AssertionError(f"still {on.served}")


async def test_what_is_there_at_the_start_is_served(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    publish(tmp_path, "a", 2)
    publish(tmp_path, "b", 7)
    async with stage(tmp_path) as on:
        await on.conductor.first()
        assert on.served == {"a": ["2"], "b": ["7"]}
        assert on.conductor.state.available == {"a": [1, 2], "b": [7]}
        assert [len(worker.served) for worker in on.host.workers] == [1, 1]


async def test_versions_are_planned_with_their_tuning(tmp_path: Path) -> None:
    publish(tmp_path / "models", "a", 1)
    digest = file_digest_text(tmp_path / "models/a/1/model.onnx")
    file = tmp_path / "tuning/cpu" / f"{digest.removeprefix('sha256:')}.json"
    file.parent.mkdir(parents=True)

    def write(tuning: ModelTuning) -> None:
        file.write_bytes(TuningFile("cpu", digest, "a", 1, tuning).to_bytes())

    write(ModelTuning(sessions=2))
    folder = TuningFolder(tmp_path / "tuning", "cpu", 3)
    async with stage(tmp_path / "models", tuning_folder=folder) as on:
        await on.conductor.first()
        assert tunings(on) == [ModelTuning(sessions=2)]
        write(ModelTuning(sessions=3))
        await on.conductor.follow(forced=True)
        assert tunings(on) == [ModelTuning(sessions=3)], "a rescan takes up what was tuned meanwhile"


def tunings(on: Stage) -> list[ModelTuning]:
    plan = ServingPlan.from_json(on.host.alive[0].served[-1].plan)
    return [ModelTuning.from_text(version.tuning) for version in plan.versions]


async def test_new_versions_and_label_moves_are_followed(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    async with stage(tmp_path) as on:
        await on.conductor.first()
        publish(tmp_path, "a", 2)
        await follow_until_settled(on, lambda: on.served == {"a": ["2"]})
        LocalRepository(tmp_path).set_labels("a", parse_changes(["stable=1"]), who="test")
        await follow_until_settled(on, lambda: on.served == {"a": ["1", "2", "stable=1"]})
        rounds = len(on.host.workers[0].served)
        await on.conductor.follow()
        assert len(on.host.workers[0].served) == rounds, "nothing new: nobody is bothered"


async def test_a_repository_that_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "a", 1)
    scans: list[Path] = []
    scan = LocalRepository.scan
    monkeypatch.setattr(LocalRepository, "scan", lambda self: scans.append(self.path) or scan(self))
    async with stage(tmp_path) as on:
        await on.conductor.first()
        for _ in range(5):
            await on.conductor.follow()
        assert len(scans) == 2, "one at the start, one to catch what changed meanwhile"


async def test_a_broken_version_is_reported_and_never_replaces_a_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "a", 1)
    async with stage(tmp_path) as on:
        await on.conductor.first()
        publish(tmp_path, "a", 2, BAD)
        await follow_until_settled(on, lambda: bool(on.problems))
        assert on.served == {"a": ["1"]}
        assert on.problems == ["a/2: no such operator"]
        said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
        assert said == ["not served: a/2: no such operator"]
        rounds = len(on.host.workers[0].heard)
        await on.conductor.follow()
        assert len(on.host.workers[0].heard) == rounds, "it is not tried again and again"

        shutil.rmtree(tmp_path / "a" / "2")
        publish(tmp_path, "a", 2)
        await follow_until_settled(on, lambda: on.served == {"a": ["2"]})
        assert on.problems == []


async def test_at_the_start_the_next_best_version_serves(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    publish(tmp_path, "a", 2, BAD)
    publish(tmp_path, "b", 1, BAD)
    async with stage(tmp_path) as on:
        await on.conductor.first()
        assert on.served == {"a": ["1"]}
        assert on.problems == ["a/2: no such operator", "b/1: no such operator"]


async def test_a_rescan_gives_broken_versions_another_chance(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    publish(tmp_path, "a", 2)
    sick = True

    def sometimes(worker: FakeWorker, order: Prepare) -> Prepared:
        planned = ServingPlan.from_json(order.state.plan).versions
        bad = (
            [VersionFailure("a", 2, "disk error")] if sick and any(found.version == 2 for found in planned) else []
        )
        return Prepared(order.round, bad)

    async with stage(tmp_path, sometimes) as on:
        await on.conductor.first()
        assert on.served == {"a": ["1"]}
        sick = False
        await on.conductor.follow()
        assert on.served == {"a": ["1"]}
        await on.conductor.follow(forced=True)
        assert on.served == {"a": ["2"]}


async def test_a_version_that_takes_workers_down_is_found_and_left_out(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        publish(tmp_path, name, 1)
    deaths: list[int] = []
    async with stage(tmp_path, deadly("b", 1, deaths)) as on:
        await on.conductor.first()
        assert on.served == {"a": ["1"], "c": ["1"]}
        assert on.problems == ["b/1: worker 0 died while preparing, more than once"]


async def test_after_one_death_the_same_version_gets_a_second_chance(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    attempts: list[int] = []

    def killed_once(worker: FakeWorker, order: Prepare) -> Prepared | None:
        if any(found.version == 2 for found in ServingPlan.from_json(order.state.plan).versions):
            attempts.append(worker.pid)
            if len(attempts) == 1:
                worker.die(-9)
                return None
        return willing(worker, order)

    async with stage(tmp_path, killed_once) as on:
        await on.conductor.first()
        publish(tmp_path, "a", 2)
        await follow_until_settled(on, lambda: bool(attempts))
        assert on.served == {"a": ["1"]}, "nobody switched"
        await until(lambda: len(on.crew.serving) == 2)
        await follow_until_settled(on, lambda: on.served == {"a": ["2"]})


async def test_what_is_loaded_stays_when_the_repository_vanishes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = tmp_path / "models"
    publish(root, "a", 1)
    async with stage(root) as on:
        await on.conductor.first()
        root.rename(tmp_path / "elsewhere")
        for _ in range(3):
            await on.conductor.follow()
        assert on.served == {"a": ["1"]}
        said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
        assert len(said) == 1, "said once, not every second"
        assert said[0].endswith("; what is loaded goes on being served")
        (tmp_path / "elsewhere").rename(root)
        await on.conductor.follow()
        assert on.served == {"a": ["1"]}
        assert "the repository can be read again" in caplog.text


@pytest.mark.parametrize(
    ("settings", "versions", "error", "words"),
    [
        ({}, [("a", 1, BAD)], BrokenVersion, "a/1: no such operator"),
        ({"control": "none"}, [], RepositoryError, "there is no model in"),
        (
            {"control": "explicit", "load": ("z", "a", "y")},
            [("a", 1, MODEL), ("b", 1, MODEL)],
            NotFound,
            r"cannot load y, z from .*\.\n  y: there is no such model\n  z: .*\nModels there are: a, b\.",
        ),
        ({"control": "explicit", "load": ("z",)}, [], NotFound, "no such model.*\nModels there are: none"),
        (
            {"control": "explicit", "load": ("a",), "version_policy": "specific:7"},
            [("a", 1, MODEL)],
            NotFound,
            "a: the version policy specific:7 chooses none of its versions",
        ),
        ({"control": "explicit", "load": ("a",)}, [("a", 1, BAD)], NotFound, "a/1: no such operator"),
    ],
)
async def test_a_server_that_would_serve_nothing_does_not_start(
    settings: dict[str, object],
    versions: list[tuple[str, int, onnx.ModelProto]],
    error: type[RapideError],
    words: str,
    tmp_path: Path,
) -> None:
    for name, version, model in versions:
        publish(tmp_path, name, version, model)
    async with stage(tmp_path, **settings) as on:
        with pytest.raises(error) as caught:
            await on.conductor.first()
    assert re.search(words, f"{caught.value.message}\n{caught.value.hint}")


async def test_an_empty_repository_may_be_watched(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await on.conductor.first()
        assert on.served == {}
        publish(tmp_path, "a", 1)
        await follow_until_settled(on, lambda: on.served == {"a": ["1"]})


async def test_explicit_control_loads_and_unloads_by_call_only(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    publish(tmp_path, "b", 1)
    async with stage(tmp_path, control="explicit") as on:
        await on.conductor.first()
        assert on.served == {}
        assert on.conductor.state.available == {"a": [1], "b": [1]}
        await on.conductor.apply(LoadModel("a"))
        await on.conductor.apply(LoadModel("b"))
        assert on.served == {"a": ["1"], "b": ["1"]}
        publish(tmp_path, "a", 2)
        publish(tmp_path, "b", 2)
        await on.conductor.apply(LoadModel("a"))
        assert on.served == {"a": ["2"], "b": ["1"]}, "loading one model leaves the others alone"
        await on.conductor.apply(UnloadModel("b"))
        await on.conductor.apply(UnloadModel("b"))
        assert on.served == {"a": ["2"]}
        await on.conductor.follow(forced=True)
        assert on.served == {"a": ["2"]}


@pytest.mark.parametrize("control", ["explicit", "none"])
async def test_a_star_loads_all_at_the_start(control: str, tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    publish(tmp_path, "b", 1)
    load = ("*",) if control == "explicit" else ()
    async with stage(tmp_path, control=control, load=load) as on:
        await on.conductor.first()
        assert on.served == {"a": ["1"], "b": ["1"]}


async def test_a_call_that_fails_in_one_worker_changes_nothing(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    publish(tmp_path, "b", 1, BAD)
    async with stage(tmp_path, control="explicit", load=("a",)) as on:
        await on.conductor.first()
        with pytest.raises(BrokenVersion, match=r"b/1: no such operator\. Nothing has changed"):
            await on.conductor.apply(LoadModel("b"))
        with pytest.raises(NotFound, match="there is no model 'z'"):
            await on.conductor.apply(LoadModel("z"))
        with pytest.raises(NotFound, match="there is no model 'z'"):
            await on.conductor.apply(UnloadModel("z"))
        assert on.served == {"a": ["1"]}
        on.host.workers[1].behaviour = deadly("c", 1, [])
        publish(tmp_path, "c", 1)
        with pytest.raises(Unavailable, match="worker 1 died while preparing; nothing has changed"):
            await on.conductor.apply(LoadModel("c"))
        assert all(len(worker.served) == 1 for worker in on.host.workers[:2])


async def test_models_are_not_loaded_by_call_while_the_repository_is_watched(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    async with stage(tmp_path) as on:
        await on.conductor.first()
        with pytest.raises(Conflict, match="control is watch"):
            await on.conductor.apply(UnloadModel("a"))


async def test_regions_trace_and_log_settings_are_part_of_the_state(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await on.conductor.first()
        for change in (
            RegisterRegion("r", "/key", 0, 64),
            UpdateTrace("", {"trace_rate": "10", "trace_count": None}),
            UpdateTrace("a", {"trace_rate": "5"}),
            UpdateTrace("a", {"trace_rate": None}),
            UpdateLog({"log_info": False}),
        ):
            await on.conductor.apply(change)
        state = on.host.workers[1].served[-1]
        assert state.regions == {"r": {"key": "/key", "offset": 0, "byte_size": 64}}
        assert state.trace == {"": {"trace_rate": "10"}}
        assert state.log == {"log_info": False}
        await on.conductor.apply(UnregisterRegion(""))
        assert on.conductor.state.regions == {}


@pytest.mark.parametrize(
    ("change", "error"), [(RegisterRegion("r", "/key", 0, 64), Conflict), (UnregisterRegion("q"), NotFound)]
)
async def test_impossible_changes_ask_nobody(change: Change, error: type[RapideError], tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await on.conductor.first()
        await on.conductor.apply(RegisterRegion("r", "/key", 0, 64))
        heard = len(on.host.workers[0].heard)
        with pytest.raises(error):
            await on.conductor.apply(change)
        assert len(on.host.workers[0].heard) == heard


async def test_a_failure_that_no_version_is_to_blame_for_keeps_its_class(tmp_path: Path) -> None:
    def no_region(worker: FakeWorker, order: Prepare) -> Prepared:
        return Prepared(order.round, [], Failure("NotFound", "no object /key") if order.state.regions else None)

    async with stage(tmp_path, no_region) as on:
        await on.conductor.first()
        with pytest.raises(NotFound, match="no object /key"):
            await on.conductor.apply(RegisterRegion("r", "/key", 0, 64))
        assert on.conductor.state.regions == {}


async def test_what_a_worker_lacks_is_tried_again_when_the_repository_changes_or_somebody_asks(
    tmp_path: Path,
) -> None:
    lacking = [VersionFailure("a", 1, "model.onnx was changed after publishing")]
    publish(tmp_path, "a", 1)
    publish(tmp_path, "b", 1)
    async with stage(tmp_path, willing, control="explicit", load=("*",)) as on:
        await on.conductor.first()
        replacement = on.host.workers[0]
        replacement.behaviour = lambda worker, order: Prepared(order.round, lacking=lacking)
        await on.conductor.apply(RegisterRegion("r", "/key", 0, 64))
        assert on.crew.lacking == lacking
        with pytest.raises(BrokenVersion, match=r"some workers cannot load a/1: model\.onnx was changed"):
            await on.conductor.apply(LoadModel("a"))
        rounds = len(replacement.served)
        await on.conductor.follow(forced=True)
        assert len(replacement.served) == rounds + 1
        await on.conductor.follow()
        assert len(replacement.served) == rounds + 1, "not again and again"
        replacement.behaviour = willing
        await on.conductor.apply(LoadModel("a"))
        assert on.crew.lacking == []


async def test_a_worker_that_died_before_it_loaded_says_nothing_about_versions(tmp_path: Path) -> None:
    publish(tmp_path, "a", 1)
    deaths: list[int] = []
    async with stage(tmp_path, deadly("a", 1, deaths), size=1) as on:
        on.host.starts = False
        first = asyncio.create_task(on.conductor.first())
        await until(lambda: on.crew.gave_up.done())
        first.cancel()
        assert len(deaths) == MAX_FAILED_STARTS
        assert not on.conductor._broken.reasons
        assert not on.conductor._one_by_one
