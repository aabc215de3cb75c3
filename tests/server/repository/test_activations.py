from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.repository.activations import Activation, LabelTarget, labels_at, parse_log
from rapide.server.repository.fields import FieldError
from tests.server.repository.examples import ACTIVATIONS, INSTANTS, LOGS, START


def written(entries: list[Activation]) -> bytes:
    return b"".join(entry.to_line() for entry in entries)


@given(ACTIVATIONS)
def test_a_line_is_one_line_and_reads_as_it_was_written(entry: Activation) -> None:
    line = entry.to_line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert Activation.from_line(line) == entry


def test_half_a_character_in_a_name_does_not_lose_the_change() -> None:
    entry = Activation(START, "m", {"stable": LabelTarget(1)}, who="caf\udce9")
    assert Activation.from_line(entry.to_line()).who == "caf?"


@given(LOGS, st.data())
def test_a_torn_log_loses_its_last_line_alone(entries: list[Activation], data: st.DataObject) -> None:
    content = written(entries)
    cut = data.draw(st.integers(0, len(content)))
    log = parse_log(content[:cut], "car-price")
    whole = content[:cut].count(b"\n")
    assert log.entries == tuple(entries[:whole])
    assert bool(log.problems) == (cut > 0 and content[cut - 1 : cut] != b"\n")
    assert all("not written to its end" in problem for problem in log.problems)


@given(LOGS, st.binary(max_size=30).filter(lambda line: b"\n" not in line), st.data())
def test_a_garbage_line_is_reported_and_its_neighbours_count(
    entries: list[Activation], garbage: bytes, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(entries)))
    log = parse_log(written(entries[:position]) + garbage + b"\n" + written(entries[position:]), "car-price")
    assert log.entries == tuple(entries)
    assert len(log.problems) == (1 if garbage.strip() else 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_log(content: bytes) -> None:
    parse_log(content, "car-price")


def line(**changes: Any) -> bytes:
    raw = json.loads(Activation(START, "car-price", {"stable": LabelTarget(1)}).to_line())
    return json.dumps({**raw, **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schema": 2}, "this rapide reads schema 1"),
        ({"time": "noon"}, "'time' must be a time"),
        ({"time": 3}, "'time' must be text"),
        ({"model": None}, "'model' must be text"),
        ({"labels": []}, "'labels' must be an object"),
        ({"labels": {"stable": 2}}, "'labels.stable' must be an object"),
        ({"labels": {"stable": {}}}, "'labels.stable.version' is missing"),
        ({"labels": {"stable": {"version": "2"}}}, "'labels.stable.version' must be an integer"),
        ({"labels": {"a": {"version": 2, "weight_percent": 101}}}, "must be between 0 and 100"),
        ({"labels": {"a": {"version": 2, "weight_percent": "10"}}}, "must be a finite number"),
        ({"labels": {"../x": {"version": 2}}}, "'../x' cannot name a label"),
        ({"removed": "canary"}, "'removed' must be a list"),
        ({"who": 3}, "'who' must be text"),
    ],
)
def test_wrong_lines_are_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FieldError, match=complaint):
        Activation.from_line(line(**changes))


def test_lines_about_another_model_do_not_count() -> None:
    log = parse_log(line() + b"\n" + line(model="other") + b"\n", "car-price")
    assert len(log.entries) == 1
    assert log.problems == ("line 2 is passed over: it is about model 'other'",)


@given(LOGS, INSTANTS)
def test_the_last_word_up_to_a_moment_decides(entries: list[Activation], time: datetime) -> None:
    """Against the plainest possible reading: for each label, look for the last line that speaks of it."""
    expected: dict[str, LabelTarget] = {}
    for label in ("beta", "canary", "shadow", "stable"):
        spoken = [entry for entry in entries if entry.time <= time and label in (*entry.labels, *entry.removed)]
        if spoken and label not in spoken[-1].removed:
            expected[label] = spoken[-1].labels[label]
    found = labels_at(entries, time)
    assert found == expected
    assert list(found) == sorted(found)


@given(LOGS)
def test_after_the_last_line_nothing_changes(entries: list[Activation]) -> None:
    last = entries[-1].time if entries else START
    assert labels_at(entries, last) == labels_at(entries)


@given(LOGS, INSTANTS, ACTIVATIONS)
def test_the_past_is_settled(entries: list[Activation], time: datetime, later: Activation) -> None:
    """What is logged later never changes what was true before."""
    if later.time > time:
        assert labels_at([*entries, later], time) == labels_at(entries, time)
