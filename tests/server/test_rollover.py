"""A bad version never takes the place of a good one: rows of repository, broken marks, what is served → plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.plan import PlannedVersion, ServingPlan, plan
from rapide.server.repository.policy import VersionPolicy
from rapide.server.repository.snapshot import ModelEntry, Problem, RepositorySnapshot, VersionEntry
from rapide.server.rollover import BrokenVersions, new_versions, with_one_more


def entry(model: str, version: int, revision: str = "r1") -> VersionEntry:
    return VersionEntry(model, version, Path(f"/m/{model}/{version}/model.onnx"), None, None, revision, 10)


def snapshot(
    *versions: VersionEntry, labels: dict[str, int] | None = None, problems: tuple[Problem, ...] = ()
) -> RepositorySnapshot:
    """All ``labels`` are model a's."""
    targets = {label: LabelTarget(version) for label, version in (labels or {}).items()}
    models: dict[str, ModelEntry] = {}
    for found in versions:
        known = models[found.model].versions if found.model in models else {}
        versions_now = {**known, found.version: found}
        models[found.model] = ModelEntry(found.model, versions_now, targets if found.model == "a" else {})
    return RepositorySnapshot(models, problems)


def planned(found: RepositorySnapshot, policy: str = "latest:1") -> ServingPlan:
    return plan(found, VersionPolicy.parse(policy))


def mark(broken: BrokenVersions, *versions: VersionEntry) -> BrokenVersions:
    for bad in versions:
        broken = broken.marked(PlannedVersion(bad.model, bad.version, "", None, bad.revision), "does not load")
    return broken


def shown(goal: ServingPlan) -> dict[str, list[str]]:
    return {
        model.name: [f"{version.version}{version.revision}" for version in model.versions]
        + [f"{label}={target.version}" for label, target in model.labels.items()]
        for model in goal.models
    }


NOTHING = ServingPlan()


@pytest.mark.parametrize(
    ("found", "bad", "served", "expected"),
    [
        pytest.param(snapshot(entry("a", 1), entry("a", 2)), [], NOTHING, {"a": ["2r1"]}, id="all is well"),
        pytest.param(
            snapshot(entry("a", 1), entry("a", 2)),
            [entry("a", 2)],
            NOTHING,
            {"a": ["1r1"]},
            id="the policy chooses the next best",
        ),
        pytest.param(
            snapshot(entry("a", 1), entry("a", 2, "r2")),
            [entry("a", 2, "r1")],
            NOTHING,
            {"a": ["2r2"]},
            id="other files are another chance",
        ),
        pytest.param(
            snapshot(entry("a", 1, "r2")),
            [entry("a", 1, "r2")],
            planned(snapshot(entry("a", 1, "r1"))),
            {"a": ["1r1"]},
            id="a version broken in place stays as it was loaded",
        ),
        pytest.param(
            snapshot(entry("a", 1), entry("a", 2), entry("a", 3), labels={"stable": 3}),
            [entry("a", 3)],
            planned(snapshot(entry("a", 1), entry("a", 2), labels={"stable": 1})),
            {"a": ["1r1", "2r1", "stable=1"]},
            id="a label that moved to a broken version means what it meant",
        ),
        pytest.param(
            snapshot(entry("a", 1), entry("a", 3), labels={"stable": 3}),
            [entry("a", 3)],
            NOTHING,
            {"a": ["1r1", "stable=3"]},
            id="without a past the label is not reinterpreted",
        ),
        pytest.param(
            snapshot(entry("b", 1)),
            [],
            planned(snapshot(entry("a", 1), entry("b", 1))),
            {"b": ["1r1"]},
            id="deleted",
        ),
        pytest.param(snapshot(entry("a", 1)), [entry("a", 1)], NOTHING, {}, id="nothing left"),
    ],
)
def test_healthy(
    found: RepositorySnapshot, bad: list[VersionEntry], served: ServingPlan, expected: dict[str, list[str]]
) -> None:
    assert shown(planned(mark(BrokenVersions(), *bad).healthy(found, served))) == expected


def test_problems_tell_what_is_still_there() -> None:
    broken = mark(BrokenVersions(), entry("a", 1), entry("a", 2), entry("gone", 1))
    found = snapshot(entry("a", 1), entry("a", 2, "fixed"), problems=(Problem("b", None, "unreadable"),))
    assert [str(problem) for problem in broken.problems(found)] == ["a/1: does not load", "b: unreadable"]


def test_marks_can_be_forgiven() -> None:
    broken = mark(BrokenVersions(), entry("a", 1), entry("b", 1))
    assert set(broken.forgiven("a").reasons) == {("b", 1, "r1")}
    assert not broken.forgiven().reasons


def test_several_new_versions_can_be_taken_one_by_one() -> None:
    served = planned(snapshot(entry("a", 1), entry("z", 1)))
    goal = planned(snapshot(entry("a", 1, "r2"), entry("b", 1), entry("b", 2), labels={"x": 1}), "all")
    assert [f"{new.model}{new.version}" for new in new_versions(goal, served)] == ["a1", "b1", "b2"]
    steps = []
    while served != goal:
        served = with_one_more(goal, served)
        steps.append(shown(served))
    assert steps == [
        {"a": ["1r2"], "z": ["1r1"]},
        {"a": ["1r2"], "b": ["1r1"], "z": ["1r1"]},
        {"a": ["1r2", "x=1"], "b": ["1r1", "2r1"]},
    ]
