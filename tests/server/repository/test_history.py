from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import NotFound
from rapide.server.repository.activations import Activation, LabelTarget, labels_at
from rapide.server.repository.history import only_label, standing
from rapide.server.repository.labels import Share
from tests.server.repository.examples import INSTANTS, LOGS, START, VERSIONS


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


PUBLISHED: dict[int, datetime | None] = {1: at(0), 2: at(1), 3: at(4)}
LOG = (
    Activation(at(0.5), "car-price", {"stable": LabelTarget(1)}, who="ann", why="first"),
    Activation(at(2), "car-price", {"canary": LabelTarget(2, 10.0)}, who="bob", why="try it"),
    Activation(at(3), "car-price", {"stable": LabelTarget(2)}, ("canary",), who="ann", why="it is good"),
)


@pytest.mark.parametrize(
    ("hours", "labels", "shares"),
    [
        (-1, {}, ()),
        (0, {}, (Share("", 1, 100.0),)),
        (0.5, {"stable": 1}, (Share("stable", 1, 100.0),)),
        (2.5, {"canary": 2, "stable": 1}, (Share("stable", 1, 90.0), Share("canary", 2, 10.0))),
        (9, {"stable": 2}, (Share("stable", 2, 100.0),)),
    ],
)
def test_how_things_stood(hours: float, labels: dict[str, int], shares: tuple[Share, ...]) -> None:
    found = standing("car-price", LOG, PUBLISHED, at(hours))
    assert {label: target.version for label, target in found.labels.items()} == labels
    assert found.shares == shares


def test_who_decided() -> None:
    found = standing("car-price", LOG, PUBLISHED, at(2.5))
    assert found.to_json() == {
        "model": "car-price",
        "time": "2024-11-20T12:30:00Z",
        "labels": {
            "canary": {
                "version": 2, "weight_percent": 10.0,
                "since": "2024-11-20T12:00:00Z", "who": "bob", "why": "try it",
            },
            "stable": {"version": 1, "since": "2024-11-20T10:30:00Z", "who": "ann", "why": "first"},
        },
        "unlabelled": [
            {"label": "stable", "version": 1, "percent": 90.0},
            {"label": "canary", "version": 2, "percent": 10.0},
        ],
        "notes": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hours", "note"), [(-1, "no version is known"), (0, "no stable label was set.*known by then: 1")]
)
def test_what_the_log_does_not_decide_is_said(hours: float, note: str) -> None:
    with pytest.raises(AssertionError, match=note):
        assert not standing("car-price", LOG, PUBLISHED, at(hours)).notes


def test_a_version_deleted_since_still_answers_for_its_time() -> None:
    found = standing("car-price", LOG, {3: at(4)}, at(2.5))
    assert found.shares == (Share("stable", 1, 90.0), Share("canary", 2, 10.0))


def test_one_label_alone() -> None:
    found = only_label(standing("car-price", LOG, PUBLISHED, at(2.5)), "canary")
    assert dict(found.labels) == {"canary": LabelTarget(2, 10.0)}
    assert found.shares == (Share("canary", 2, 10.0),)


def test_a_label_that_was_not_set_then() -> None:
    with pytest.raises(NotFound, match=r"no label 'canary' at 2024-11-20T19:00:00Z\. Labels then: stable\."):
        only_label(standing("car-price", LOG, PUBLISHED, at(9)), "canary")


@given(LOGS, st.dictionaries(VERSIONS, st.none() | INSTANTS), INSTANTS)
def test_every_moment_of_every_log(
    log: list[Activation], published: dict[int, datetime | None], time: datetime
) -> None:
    found = standing("car-price", log, published, time)
    assert found.labels == labels_at(log, time)
    for label, decision in found.decisions.items():
        assert decision.labels[label] == found.labels[label]
        assert decision.time <= time
    existed = [version for version, since in published.items() if since is None or since <= time]
    if existed:
        assert found.shares
