from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import BrokenVersion
from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.fields import FieldError
from rapide.server.repository.local import open_repository
from rapide.server.repository.plan import ServingPlan, plan
from rapide.server.repository.policy import ALL, LATEST, VersionPolicy
from rapide.server.repository.snapshot import ModelEntry, RepositorySnapshot
from tests.server.repository.examples import LABELS, TARGETS, VERSIONS, bare_tree, model_entry, published
from tests.server.repository.test_policy import POLICIES

NAMES = st.sampled_from(["breast-cancer", "car-price", "diabetes", "digits"])
MODELS = st.builds(model_entry, NAMES, st.sets(VERSIONS, min_size=1).map(list), st.dictionaries(LABELS, TARGETS))
SNAPSHOTS = st.lists(MODELS, max_size=4).map(
    lambda models: RepositorySnapshot({model.name: model for model in models})
)


def test_a_plan_in_full() -> None:
    snapshot = RepositorySnapshot(
        {
            "b": model_entry("b", [1, 2, 3], {"stable": LabelTarget(2), "gone": LabelTarget(9)}),
            "a": model_entry("a", [1]),
        }
    )
    assert plan(snapshot, LATEST).to_json() == {
        "models": [
            {"name": "a", "versions": [_version("a", 1)], "labels": {}},
            {
                "name": "b",
                "versions": [_version("b", 2), _version("b", 3)],
                "labels": {"stable": {"version": 2}, "gone": {"version": 9}},
            },
        ]
    }


def _version(model: str, version: int) -> dict[str, object]:
    return {
        "model": model,
        "version": version,
        "path": f"models/{model}/{version}/model.onnx",
        "digest": None,
        "revision": f"revision-{version}",
        "size_bytes": 100 * version,
        "tuning": "",
    }


@given(SNAPSHOTS, POLICIES, st.none() | st.sets(NAMES), st.dictionaries(NAMES, POLICIES, max_size=2))
def test_every_plan(
    snapshot: RepositorySnapshot,
    policy: VersionPolicy,
    explicit: set[str] | None,
    overrides: dict[str, VersionPolicy],
) -> None:
    made = plan(snapshot, policy, explicit, overrides)
    assert [model.name for model in made.models] == sorted(
        name
        for name, model in snapshot.models.items()
        if (explicit is None or name in explicit) and overrides.get(name, policy).choose(model)
    )
    for model in made.models:
        found = snapshot.models[model.name]
        assert tuple(v.version for v in model.versions) == overrides.get(model.name, policy).choose(found)
        assert model.labels == found.labels
    assert ServingPlan.from_json(json.loads(json.dumps(made.to_json()))) == made


@given(SNAPSHOTS, POLICIES)
def test_the_order_in_which_models_were_found_does_not_matter(
    snapshot: RepositorySnapshot, policy: VersionPolicy
) -> None:
    turned: dict[str, ModelEntry] = dict(reversed(list(snapshot.models.items())))
    assert plan(RepositorySnapshot(turned), policy) == plan(snapshot, policy)


def test_what_is_no_plan() -> None:
    with pytest.raises(FieldError, match=r"'models\[0\].name' is missing"):
        ServingPlan.from_json({"models": [{}]})


def test_opening_a_planned_version(tmp_path: Path) -> None:
    published(tmp_path, "car-price")
    bare_tree(tmp_path, "plain")
    snapshot = open_repository(tmp_path).scan()
    for version in plan(snapshot, ALL).versions:
        assert version.open() == snapshot.models[version.model].versions[version.version]


def test_a_manifest_that_went_away_between_plan_and_load(tmp_path: Path) -> None:
    published(tmp_path, "car-price")
    (version,) = plan(open_repository(tmp_path).scan(), ALL).versions
    Path(version.path).parent.chmod(0o755)
    Path(version.path).with_name("manifest.json").unlink()
    with pytest.raises(BrokenVersion, match="car-price/1: its manifest is gone from"):
        version.open()
