"""From plan to plan with real models: nothing visible before commit, nobody unanswered after it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rapide.server.catalogue import Catalogue, LoadedVersion, VersionState, VersionStatus, catalogue_of
from rapide.server.errors import NotFound, Unavailable
from rapide.server.model import Model, SessionOptions, load_model
from rapide.server.repository.local import open_repository
from rapide.server.repository.plan import ServingPlan, plan
from rapide.server.repository.policy import VersionPolicy
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.settings import Settings
from rapide.server.telemetry.telemetry import Telemetry
from rapide.server.tuning_file import ModelTuning
from tests import models
from tests.versions import publish_version, set_labels


def plan_of(root: Path, policy: str = "all") -> ServingPlan:
    """What the repository asks for now, through JSON as between processes."""
    planned = plan(open_repository(root).scan(), VersionPolicy.parse(policy))
    return ServingPlan.from_json(planned.to_json())


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    telemetry = Telemetry()
    with ThreadPoolExecutor(2) as runners, ThreadPoolExecutor(2) as loaders:
        catalogue = catalogue_of(Settings(), telemetry.recorder, runners, loaders)
        yield catalogue
        await catalogue.close(5.0)
    telemetry.close()


async def switch(catalogue: Catalogue, plan_id: int, plan: ServingPlan) -> None:
    assert await catalogue.prepare(plan_id, plan) == []
    catalogue.commit(plan_id)


async def ask(catalogue: Catalogue, **route: str) -> float:
    """The constant that whoever answers model ``m`` was made with."""
    loaded = catalogue.router.resolve("m", **route).target  # type: ignore[arg-type]
    answer = await loaded.engine.infer([np.ones((1, 1), np.float32)])
    return float(answer.outputs[0][0, 0])


def states(catalogue: Catalogue) -> dict[tuple[str, int], str]:
    return {(status.model, status.version): str(status.state) for status in catalogue.statuses()}


async def test_nothing_is_served_before_commit(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    assert await catalogue.prepare(1, plan_of(tmp_path)) == []
    with pytest.raises(NotFound):
        await ask(catalogue)
    catalogue.commit(1)
    assert await ask(catalogue) == 1
    assert catalogue.statuses() == [VersionStatus("m", 1, VersionState.READY)]


async def test_labels_are_the_plans(catalogue: Catalogue, tmp_path: Path) -> None:
    for value in (1, 2):
        publish_version(tmp_path, "m", models.constant(value))
    set_labels(tmp_path, "m", "stable=1", "canary=2:10%")
    await switch(catalogue, 1, plan_of(tmp_path))
    assert await ask(catalogue) == 1
    assert await ask(catalogue, label="canary") == 2
    route = catalogue.router.resolve("m", label="canary")
    answered_by = route.target.answered_by(route.label)
    assert (answered_by.model, answered_by.version, answered_by.label) == ("m", "2", "canary")
    assert answered_by.digest == route.target.model.digest
    assert route.target.answered_by("canary") is answered_by


async def test_what_both_plans_hold_is_kept(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    await switch(catalogue, 1, plan_of(tmp_path))
    first = catalogue.router.resolve("m").target
    publish_version(tmp_path, "m", models.constant(2))
    await switch(catalogue, 2, plan_of(tmp_path))
    assert catalogue.router.resolve("m", version="1").target is first
    assert await ask(catalogue) == 2


async def test_a_bare_file_that_was_replaced_is_loaded_again(catalogue: Catalogue, tmp_path: Path) -> None:
    models.repository(tmp_path, {"m": {1: models.constant(1)}})
    await switch(catalogue, 1, plan_of(tmp_path))
    old = catalogue.router.resolve("m").target
    path = tmp_path / "m" / "1" / "model.onnx"
    models.save(models.constant(2), path)
    os.utime(path, ns=(1, 1))
    await switch(catalogue, 2, plan_of(tmp_path))
    assert await ask(catalogue) == 2
    assert old.state is VersionState.UNLOADING
    await asyncio.sleep(0)
    assert catalogue.statuses() == [VersionStatus("m", 1, VersionState.READY)]
    with pytest.raises(Unavailable):
        await old.engine.infer([np.ones((1, 1), np.float32)])


async def test_what_is_gone_answers_what_it_had_queued(catalogue: Catalogue, tmp_path: Path) -> None:
    for value in (1, 2):
        publish_version(tmp_path, "m", models.constant(value))
    await switch(catalogue, 1, plan_of(tmp_path, "specific:1"))
    old = catalogue.router.resolve("m").target
    assert await catalogue.prepare(2, plan_of(tmp_path, "specific:2")) == []
    queued = [asyncio.create_task(ask(catalogue)) for _ in range(5)]
    await asyncio.sleep(0)
    catalogue.commit(2)
    assert states(catalogue) == {("m", 1): "unloading", ("m", 2): "ready"}
    assert await asyncio.gather(*queued, ask(catalogue)) == [1, 1, 1, 1, 1, 2]
    with pytest.raises(Unavailable, match="is being unloaded"):
        await old.engine.infer([np.ones((1, 1), np.float32)])
    while ("m", 1) in states(catalogue):
        await asyncio.sleep(0)
    assert states(catalogue) == {("m", 2): "ready"}


async def test_a_broken_version_is_reported_and_replaces_nothing(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    await switch(catalogue, 1, plan_of(tmp_path))
    publish_version(tmp_path, "m", models.unknown_operator())
    failures = await catalogue.prepare(2, plan_of(tmp_path))
    assert [(failure.model, failure.version) for failure in failures] == [("m", 2)]
    assert "Telepathy" in failures[0].reason
    assert catalogue.statuses()[1] == VersionStatus("m", 2, VersionState.BROKEN, failures[0].reason)
    catalogue.abort(2)
    assert await ask(catalogue) == 1
    await switch(catalogue, 3, plan_of(tmp_path, "specific:1"))
    assert states(catalogue) == {("m", 1): "ready"}


async def test_reasons_do_not_repeat_the_versions_name(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    planned = plan_of(tmp_path)
    path = tmp_path / "m" / "1" / "model.onnx"
    os.chmod(path, 0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    (failure,) = await catalogue.prepare(1, planned)
    assert failure.reason.startswith("model.onnx was changed after publishing")


async def test_an_aborted_plan_leaves_no_trace(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    assert await catalogue.prepare(1, plan_of(tmp_path)) == []
    catalogue.abort(1)
    assert catalogue.statuses() == []
    with pytest.raises(KeyError):
        catalogue.commit(1)


async def test_two_plans_may_be_prepared_and_share_what_is_loaded(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    for plan_id in (1, 2):
        assert await catalogue.prepare(plan_id, plan_of(tmp_path)) == []
    catalogue.abort(1)
    catalogue.commit(2)
    assert await ask(catalogue) == 1


async def test_unloading_a_model_leaves_the_others(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    publish_version(tmp_path, "other", models.constant(2))
    await switch(catalogue, 1, plan_of(tmp_path))
    everything = plan_of(tmp_path)
    await switch(catalogue, 2, ServingPlan(everything.models[:1]))
    with pytest.raises(NotFound, match="there is no model 'other' here"):
        catalogue.router.resolve("other")
    assert await ask(catalogue) == 1


async def test_another_tuning_is_another_engine(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    (model,) = plan_of(tmp_path).models
    tunings = [ModelTuning(max_rows_per_run=2, max_queue_rows=64), ModelTuning(max_rows_per_run=3), None]
    seen = []
    for round_, tuning in enumerate(tunings):
        version = replace(model.versions[0], tuning=tuning.to_text() if tuning else "")
        await switch(catalogue, round_, ServingPlan((replace(model, versions=(version,)),)))
        loaded = catalogue.router.resolve("m").target
        seen.append((loaded.model.max_rows_per_run, loaded.engine._policy.max_queue_rows))
        assert await ask(catalogue) == 1
    assert seen == [(2, 64), (3, 4096), (0, 4096)]


class HeldLoads:
    """Loads once ``go`` is set; fails with ``error`` if there is one."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.go = threading.Event()
        self.error: Exception | None = None
        catalogue._load = self

    def __call__(self, entry: VersionEntry, tuning: str) -> Model:
        self.go.wait(10.0)
        if self.error is not None:
            raise self.error
        return load_model(entry, SessionOptions())


async def test_a_load_stalls_nobody(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    await switch(catalogue, 1, plan_of(tmp_path))
    publish_version(tmp_path, "m", models.constant(2))
    loads = HeldLoads(catalogue)
    preparing = asyncio.create_task(catalogue.prepare(2, plan_of(tmp_path)))
    assert [await ask(catalogue) for _ in range(20)] == [1] * 20
    assert states(catalogue) == {("m", 1): "ready", ("m", 2): "loading"}
    loads.go.set()
    assert await preparing == []
    catalogue.commit(2)
    assert await ask(catalogue) == 2


async def test_a_plan_may_be_aborted_while_it_loads(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    loads = HeldLoads(catalogue)
    preparing = asyncio.create_task(catalogue.prepare(1, plan_of(tmp_path)))
    await asyncio.sleep(0)
    catalogue.abort(1)
    loads.go.set()
    assert await preparing == []
    assert catalogue.statuses() == []
    with pytest.raises(KeyError):
        catalogue.commit(1)


async def test_an_unexpected_failure_is_only_the_versions_own(
    catalogue: Catalogue, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    loads = HeldLoads(catalogue)
    loads.error = MemoryError("secret")
    loads.go.set()
    (failure,) = await catalogue.prepare(1, plan_of(tmp_path))
    assert failure.reason == "an unexpected MemoryError happened; the log has the details"
    assert "secret" in caplog.text


async def test_switching_under_load_fails_nobody_and_mixes_nothing(catalogue: Catalogue, tmp_path: Path) -> None:
    """Every answer comes wholly from one version, and from the new one only once it is committed."""
    for value in (1, 2):
        publish_version(tmp_path, "m", models.constant(value))
    plans = [plan_of(tmp_path, "specific:1"), plan_of(tmp_path, "specific:2")]
    await switch(catalogue, 0, plans[0])
    stop = asyncio.Event()
    answers: list[set[float]] = []

    async def caller(rows: int) -> None:
        while not stop.is_set():
            loaded: LoadedVersion = catalogue.router.resolve("m").target
            answer = await loaded.engine.infer([np.ones((rows, 1), np.float32)])
            answers.append(set(answer.outputs[0].ravel().tolist()))

    callers = [asyncio.create_task(caller(rows)) for rows in range(1, 9)]
    for plan_id in range(1, 9):
        await switch(catalogue, plan_id, plans[plan_id % 2])
        assert await ask(catalogue) == plan_id % 2 + 1
    stop.set()
    await asyncio.gather(*callers)
    assert len(answers) > 8
    assert all(answer in ({1.0}, {2.0}) for answer in answers)


async def test_close_finishes_everything(tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.constant(1))
    telemetry = Telemetry()
    with ThreadPoolExecutor(1) as runners, ThreadPoolExecutor(1) as loaders:
        catalogue = catalogue_of(Settings(), telemetry.recorder, runners, loaders)
        await switch(catalogue, 1, plan_of(tmp_path))
        queued = asyncio.create_task(ask(catalogue))
        await asyncio.sleep(0)
        await catalogue.close(5.0)
        assert await queued == 1
        assert catalogue.statuses() == []
        with pytest.raises(Unavailable):
            await ask(catalogue)
    telemetry.close()


def damage(root: Path, version: int) -> bytes:
    """Overwrites a published file in place; gives what it held."""
    path = root / "m" / str(version) / "model.onnx"
    os.chmod(path, 0o644)
    content = path.read_bytes()
    path.write_bytes(b"x" * len(content))
    return content


async def test_what_is_in_force_and_damaged_since_is_gone_without(catalogue: Catalogue, tmp_path: Path) -> None:
    for value in (1, 2):
        publish_version(tmp_path, "m", models.constant(value))
    set_labels(tmp_path, "m", "old=1", "new=2")
    planned = plan_of(tmp_path)
    content = damage(tmp_path, 2)
    assert [bad.version for bad in await catalogue.prepare(1, planned)] == [2], "a new plan is refused"
    catalogue.abort(1)

    assert await catalogue.prepare(2, planned, is_in_force=True) == []
    (lacking,) = catalogue.lacking(2)
    assert (lacking.model, lacking.version) == ("m", 2)
    catalogue.commit(2)
    assert states(catalogue) == {("m", 1): "ready", ("m", 2): "broken"}
    assert catalogue.lacked == {("m", 2)}
    assert await ask(catalogue, version="1") == await ask(catalogue, label="old") == 1
    for route in ({}, {"version": "2"}, {"label": "new"}):
        with pytest.raises(Unavailable):
            await ask(catalogue, **route)

    assert await catalogue.prepare(3, planned) == [], "nor does it stand in the way of later plans"
    catalogue.commit(3)
    assert catalogue.lacked == {("m", 2)}
    (tmp_path / "m" / "2" / "model.onnx").write_bytes(content)
    assert await catalogue.prepare(4, planned) == []
    catalogue.commit(4)
    assert catalogue.lacked == set()
    assert await ask(catalogue) == 2


async def test_a_repository_that_is_gone_is_called_so(catalogue: Catalogue, tmp_path: Path) -> None:
    publish_version(tmp_path / "models", "m", models.constant(1))
    planned = plan_of(tmp_path / "models")
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    (failure,) = await catalogue.prepare(1, planned)
    assert failure.reason == f"{tmp_path / 'models'} is gone, and everything in it"


async def test_with_a_stable_label_what_is_lacking_fails_only_who_asks_for_it(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    for value in (1, 2):
        publish_version(tmp_path, "m", models.constant(value))
    set_labels(tmp_path, "m", "stable=1", "canary=2:50%")
    planned = plan_of(tmp_path)
    damage(tmp_path, 2)
    assert await catalogue.prepare(1, planned, is_in_force=True) == []
    catalogue.commit(1)
    assert [catalogue.router.resolve("m", random=point).label for point in (0.0, 0.9)] == ["stable", "stable"]
    with pytest.raises(Unavailable, match="means version 2, which is not loaded"):
        catalogue.router.resolve("m", label="canary")
