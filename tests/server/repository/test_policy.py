from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import InvalidRequest
from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.policy import ALL, LATEST, VersionPolicy
from tests.server.repository.examples import LABELS, TARGETS, VERSIONS, model_entry

POLICIES = (
    st.just(ALL)
    | st.integers(1, 4).map(lambda count: VersionPolicy(latest=count))
    | st.sets(VERSIONS, min_size=1).map(lambda some: VersionPolicy(latest=None, specific=tuple(sorted(some))))
)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("all", ALL),
        ("latest", LATEST),
        ("latest:1", LATEST),
        (" latest: 3 ", VersionPolicy(latest=3)),
        ("specific:3,1,3", VersionPolicy(latest=None, specific=(1, 3))),
    ],
)
def test_policies_as_a_person_writes_them(text: str, policy: VersionPolicy) -> None:
    assert VersionPolicy.parse(text) == policy


@pytest.mark.parametrize(
    "text",
    ["", "newest", "latest:", "latest:0", "latest:-1", "latest:1,2", "latest:x", "all:1", "all:", "specific",
     "specific:", "specific:0", "specific:1,,2", "specific:1,x", "ALL", "1,2"],
)  # fmt: skip
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no version policy"):
        VersionPolicy.parse(text)


@given(POLICIES)
def test_a_policy_reads_as_it_is_shown(policy: VersionPolicy) -> None:
    assert VersionPolicy.parse(str(policy)) == policy


@pytest.mark.parametrize(
    ("policy", "labels", "chosen"),
    [
        ("latest", {}, (7,)),
        ("latest:2", {}, (4, 7)),
        ("latest:9", {}, (1, 3, 4, 7)),
        ("all", {}, (1, 3, 4, 7)),
        ("specific:1,4", {}, (1, 4)),
        ("specific:2", {}, ()),
        ("latest", {"stable": LabelTarget(3)}, (3, 7)),
        ("specific:1", {"canary": LabelTarget(4, 10.0)}, (1, 4)),
        ("latest", {"stable": LabelTarget(5)}, (7,)),
    ],
)
def test_choices(policy: str, labels: dict[str, LabelTarget], chosen: tuple[int, ...]) -> None:
    assert VersionPolicy.parse(policy).choose(model_entry("m", [7, 1, 4, 3], labels)) == chosen


@given(POLICIES, st.sets(VERSIONS), st.dictionaries(LABELS, TARGETS))
def test_every_choice(policy: VersionPolicy, versions: set[int], labels: dict[str, LabelTarget]) -> None:
    chosen = policy.choose(model_entry("m", list(versions), labels))
    labelled = {target.version for target in labels.values()} & versions
    assert list(chosen) == sorted(set(chosen))
    assert set(chosen) <= versions
    assert labelled <= set(chosen)
    unlabelled = set(chosen) - labelled
    if policy.specific is not None:
        assert unlabelled <= set(policy.specific)
    elif policy.latest is not None:
        assert len(unlabelled) <= policy.latest
        assert not versions or max(versions) in chosen
    else:
        assert set(chosen) == versions
