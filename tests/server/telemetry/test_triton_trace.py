from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rapide.server.errors import InvalidRequest
from rapide.server.telemetry import triton_trace
from rapide.server.telemetry.recorder import Finished
from rapide.server.telemetry.triton_trace import TritonTracer
from tests.server.telemetry.records import context

ON: dict[str, Any] = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}


class Case:
    def __init__(self, file: Path, slot: int = 0) -> None:
        self.file = file
        self.slot = slot
        self.dropped = 0
        self.tracer = self.new_tracer()

    def new_tracer(self) -> TritonTracer:
        return TritonTracer(str(self.file), self.slot, self.drop)

    def drop(self) -> None:
        self.dropped += 1

    def observe(self, number: int = 1, model: str = "cars", received_s: float = 10.0) -> None:
        for _ in range(number):
            self.tracer.observe(Finished(context(received_s=received_s), model, "2", "ok", 0.005, 1))

    def requests(self, file: Path | None = None) -> list[str]:
        events = json.loads((file or self.file).read_text())
        return [event["model_name"] for event in events if "model_name" in event]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "trace.json")


def test_the_file_has_tritons_form(case: Case) -> None:
    case.tracer.apply({"": ON})
    case.observe(received_s=10.0)
    case.tracer.close()
    who, when = json.loads(case.file.read_text())
    assert who == {"id": 1, "model_name": "cars", "model_version": 2, "request_id": "id-1"}
    assert when == {
        "id": 1,
        "timestamps": [
            {"name": "REQUEST_START", "ns": 10_000_000_000},
            {"name": "QUEUE_START", "ns": 10_002_000_000},
            {"name": "COMPUTE_START", "ns": 10_003_000_000},
            {"name": "COMPUTE_INPUT_END", "ns": 10_003_000_000},
            {"name": "COMPUTE_OUTPUT_START", "ns": 10_005_000_000},
            {"name": "COMPUTE_END", "ns": 10_005_000_000},
            {"name": "REQUEST_END", "ns": 10_005_000_000},
        ],
    }


def test_a_request_that_never_ran_has_no_run(case: Case) -> None:
    case.tracer.apply({"": ON})
    asked = context()
    asked.compute_s = 0.0
    case.tracer.observe(Finished(asked, "cars", "x", "queue_full", 0.001, 1))
    case.tracer.close()
    who, when = json.loads(case.file.read_text())
    assert who["model_version"] == -1
    assert [stamp["name"] for stamp in when["timestamps"]] == ["REQUEST_START", "REQUEST_END"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 20),
        ({"trace_rate": "5"}, 4),
        ({"trace_rate": "21"}, 0),
        ({"trace_count": "3"}, 3),
        ({"trace_count": "0"}, 0),
        ({"trace_rate": "5", "trace_count": "2"}, 2),
        ({"trace_level": ["OFF"]}, 0),
    ],
)
def test_rate_and_count_decide_how_many(case: Case, settings: dict[str, Any], expected: int) -> None:
    case.tracer.apply({"": ON | settings})
    case.observe(20)
    case.tracer.close()
    assert case.file.exists() is (expected > 0)
    if expected:
        assert len(case.requests()) == expected


def test_a_model_has_settings_of_its_own_on_top_of_those_for_all(case: Case) -> None:
    case.tracer.apply(
        {"": ON | {"trace_count": "1"}, "boats": {"trace_count": "2"}, "bikes": {"trace_level": ["OFF"]}}
    )
    for model in ("cars", "boats", "bikes"):
        case.observe(5, model)
    case.tracer.close()
    assert sorted(case.requests()) == ["boats", "boats", "cars"]
    assert case.tracer.settings("boats")["trace_count"] == "2"
    assert case.tracer.settings("boats")["trace_rate"] == "1"
    assert case.tracer.settings("unknown") == case.tracer.settings()


def test_an_update_elsewhere_does_not_start_the_count_again(case: Case) -> None:
    """Every administrative change sends the whole state to all workers."""
    case.tracer.apply({"": ON | {"trace_count": "3"}})
    case.observe(2)
    case.tracer.apply({"": ON | {"trace_count": "3"}, "boats": {"trace_level": ["OFF"]}})
    case.observe(5)
    case.tracer.close()
    assert len(case.requests()) == 3


def test_a_wrong_state_changes_nothing(case: Case) -> None:
    case.tracer.apply({"": ON})
    with pytest.raises(InvalidRequest):
        case.tracer.apply({"": {"trace_level": ["OFF"]}, "cars": {"trace_rate": "-1"}})
    assert case.tracer.is_on
    case.tracer.close()


def test_numbered_files_hold_as_many_as_asked(case: Case) -> None:
    case.tracer.apply({"": ON | {"log_frequency": "2"}})
    case.observe(5)
    case.tracer.close()
    assert not case.file.exists()
    sizes = [len(case.requests(case.file.with_name(f"trace.json.{index}"))) for index in range(3)]
    assert sizes == [2, 2, 1]


def test_workers_share_the_file_and_the_numbers(case: Case) -> None:
    other = Case(case.file, slot=1)
    for settings, files in (({}, [""]), ({"log_frequency": "3"}, [".0", ".1"])):
        for worker in (case, other):
            worker.tracer = worker.new_tracer()
            worker.tracer.apply({"": ON | settings})
            worker.observe(3)
        for worker in (case, other):
            worker.tracer.close()
        paths = [case.file.with_name(f"trace.json{ending}") for ending in files]
        assert sum(len(case.requests(path)) for path in paths) == 6
        numbers = [
            event["id"] for path in paths for event in json.loads(path.read_text()) if "request_id" in event
        ]
        assert len(set(numbers)) == 6


def test_a_file_that_cannot_be_written_is_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case = Case(tmp_path / "missing" / "trace.json")
    case.tracer.apply({"": ON})
    case.observe(2)
    case.tracer.close()
    assert case.dropped == 2
    assert "traces could not be written" in caplog.text


def test_a_caller_cannot_fill_the_disk(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_trace, "_MOST_BYTES", 1)
    case.tracer.apply({"": ON | {"log_frequency": "1"}})
    case.observe(10)
    case.tracer.close()
    assert [path.name for path in case.file.parent.iterdir()] == ["trace.json.0"]
    assert case.dropped == 9
