from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rapide.server.errors import Conflict, InvalidRequest, NotFound, RapideError
from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.labels import LabelChanges, Share, apply_changes, parse_changes, shares
from tests.server.repository.examples import LABELS, TARGETS, VERSIONS

T = LabelTarget


def test_changes_as_a_person_writes_them() -> None:
    assert parse_changes(["stable=2", "canary=3:10%", "tiny=4:0.5%", "old=-"]) == LabelChanges(
        {"stable": T(2), "canary": T(3, 10.0), "tiny": T(4, 0.5)}, ("old",)
    )


@pytest.mark.parametrize(
    "text",
    ["", "stable", "stable=", "=2", "stable=0", "stable=02", "stable=two", "stable=-1", "stable=2:", "stable=2:10",
     "stable=2:%", "stable=2:-1%", "stable=2:1e1%", "stable=2:nan%", "stable=2:1.%", "3=3", "a/b=1",
     "stable=" + "9" * 19],
)  # fmt: skip
def test_what_is_no_change(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_changes([text])


def test_a_label_named_twice() -> None:
    with pytest.raises(InvalidRequest, match="given twice"):
        parse_changes(["stable=2", "stable=-"])


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ({}, ["stable=1"], {"stable": T(1)}),
        ({"stable": T(1)}, ["stable=2"], {"stable": T(2)}),
        ({"stable": T(1)}, ["canary=2:10%"], {"stable": T(1), "canary": T(2, 10.0)}),
        ({}, ["stable=1:90%", "canary=2:10%"], {"stable": T(1), "canary": T(2, 10.0)}),
        ({}, ["a=1:50%", "b=2:50%"], {"a": T(1, 50.0), "b": T(2, 50.0)}),
        ({}, ["a=1:33.3%", "b=2:33.3%", "c=3:33.4%"], {"a": T(1, 33.3), "b": T(2, 33.3), "c": T(3, 33.4)}),
        ({}, ["beta=2"], {"beta": T(2)}),
        ({}, ["beta=2:0%"], {"beta": T(2, 0.0)}),
        ({"stable": T(1), "canary": T(2, 10.0)}, ["canary=-"], {"stable": T(1)}),
        ({"stable": T(1), "canary": T(2, 10.0)}, ["canary=2:100%"], {"stable": T(1), "canary": T(2, 100.0)}),
        ({"stable": T(1), "canary": T(2, 10.0)}, ["stable=2", "canary=-"], {"stable": T(2)}),
        ({"gone": T(9)}, ["stable=1"], {"gone": T(9), "stable": T(1)}),
    ],
)
def test_changes_applied(before: dict[str, T], changes: list[str], after: dict[str, T]) -> None:
    assert apply_changes(before, parse_changes(changes), {1, 2, 3}) == after


@pytest.mark.parametrize(
    ("before", "changes", "error", "complaint"),
    [
        ({}, ["stable=4"], NotFound, r"cannot mean version 4: there is no such version. Versions here: 1, 2, 3\."),
        ({"stable": T(1)}, ["canary=-"], NotFound, r"'canary' is not set. Labels here: stable\."),
        ({"stable": T(1)}, ["a=2:60%", "b=3:60%"], InvalidRequest, r"add up to 120 %.*a 60 % \+ b 60 %"),
        ({"stable": T(1), "a": T(2, 60.0)}, ["b=3:41%"], InvalidRequest, "add up to 101 %"),
        ({}, ["canary=2:10%"], Conflict, "90 % of the requests would belong to no label. Set stable as well"),
        ({"stable": T(1), "canary": T(2, 10.0)}, ["stable=-"], Conflict, "would belong to no label"),
        ({}, ["stable=1:80%", "canary=2:10%"], InvalidRequest, "stable cannot take 80 %: 90 % are left"),
        ({}, ["stable=1:50%"], InvalidRequest, "stable cannot take 50 %: 100 % are left"),
    ],
)
def test_changes_refused(
    before: dict[str, T], changes: list[str], error: type[RapideError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        apply_changes(before, parse_changes(changes), {1, 2, 3})


@pytest.mark.parametrize(
    ("labels", "versions", "expected"),
    [
        ({}, {1, 2}, [Share("", 2, 100.0)]),
        ({}, set(), []),
        ({"stable": T(1)}, {1, 2}, [Share("stable", 1, 100.0)]),
        ({"stable": T(1), "canary": T(2, 10.0)}, {1, 2}, [Share("stable", 1, 90.0), Share("canary", 2, 10.0)]),
        ({"stable": T(1), "canary": T(2, 10.0)}, {1}, [Share("stable", 1, 100.0)]),
        ({"stable": T(1), "canary": T(2, 100.0)}, {1, 2}, [Share("canary", 2, 100.0)]),
        ({"stable": T(9), "canary": T(2, 10.0)}, {1, 2}, [Share("stable", 9, 90.0), Share("canary", 2, 10.0)]),
        ({"beta": T(1)}, {1, 2}, [Share("", 2, 100.0)]),
    ],
)
def test_shares(labels: dict[str, T], versions: set[int], expected: list[Share]) -> None:
    assert shares(labels, versions) == tuple(expected)


CHANGES = st.builds(
    lambda labels, removed: LabelChanges(
        {label: target for label, target in labels.items() if label not in removed}, tuple(removed)
    ),
    st.dictionaries(LABELS, TARGETS, max_size=4),
    st.lists(LABELS, max_size=2, unique=True),
)


@given(st.lists(CHANGES, max_size=6), st.sets(VERSIONS, min_size=1))
def test_whatever_was_accepted_adds_up(history: list[LabelChanges], versions: set[int]) -> None:
    """After any changes that were not refused, every request that names nothing belongs to exactly one version."""
    labels: dict[str, LabelTarget] = {}
    for changes in history:
        try:
            labels = apply_changes(labels, changes, versions)
        except RapideError:
            continue
        shared = shares(labels, versions)
        assert sum(share.percent for share in shared) == pytest.approx(100)
        assert all(share.percent > 0 and share.version in versions for share in shared)
        assert "stable" not in labels or labels["stable"].weight_percent is None
        for label, target in changes.set.items():
            assert labels[label].version == target.version
        assert not set(changes.removed) & labels.keys()


@given(st.dictionaries(LABELS, TARGETS), CHANGES, st.sets(VERSIONS, min_size=1))
def test_no_other_label_moves(before: dict[str, LabelTarget], changes: LabelChanges, versions: set[int]) -> None:
    touched = {*changes.set, *changes.removed}
    try:
        after = apply_changes(before, changes, versions)
    except RapideError:
        assume(False)
    assert {label: target.version for label, target in after.items() if label not in touched} == {
        label: target.version for label, target in before.items() if label not in touched
    }
