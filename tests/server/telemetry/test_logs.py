from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rapide.server.errors import InvalidRequest
from rapide.server.telemetry.logs import Logs
from rapide.server.telemetry.recorder import Finished
from tests.server.telemetry.records import WALL_OFFSET_S, context

log = logging.getLogger("rapide.server.somewhere")
foreign = logging.getLogger("some.library")


class Pipe(io.StringIO):
    """A stream whose reader is slow until ``gate`` opens, or gone."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.is_gone = False

    def write(self, text: str) -> int:
        self.entered.set()
        self.gate.wait()
        if self.is_gone:
            raise BrokenPipeError
        return super().write(text)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


class Case:
    def __init__(self, level: str = "info", line_format: str = "json") -> None:
        self.stream = Pipe()
        self.dropped = 0
        self.handlers_before = list(logging.getLogger().handlers)
        self.logs = Logs(line_format, level, self.stream, self.drop, lambda: WALL_OFFSET_S)
        self.logs.install()

    def drop(self) -> None:
        self.dropped += 1

    def messages(self) -> list[str]:
        self.logs.close()
        return [line["message"] for line in self.stream.lines()]


@pytest.fixture
def case() -> Iterator[Case]:
    made = Case()
    yield made
    made.stream.gate.set()
    made.logs.close()


def test_lines_of_all_loggers_arrive_in_order(case: Case) -> None:
    log.info("first %s", "argument", extra={"model": "cars"})
    foreign.warning("second")
    case.logs.access(Finished(context(), "cars", "2", "ok", 0.001, 1))
    assert case.messages() == ["first argument", "second", "request"]
    assert case.stream.lines()[0]["model"] == "cars"


@pytest.mark.parametrize(
    ("level", "state", "expected"),
    [
        ("info", {}, ["info", "warning", "error", "foreign info"]),
        ("debug", {}, ["debug", "info", "warning", "error", "foreign info"]),
        ("error", {}, ["error"]),
        ("info", {"log_info": False}, ["warning", "error"]),
        ("info", {"log_warning": False}, ["info", "error", "foreign info"]),
        ("error", {"log_verbose_level": 1}, ["debug", "error"]),
        ("info", {"log_info": False, "log_warning": False, "log_error": False}, []),
    ],
)
def test_settings_decide_what_is_logged(level: str, state: dict[str, Any], expected: list[str]) -> None:
    case = Case(level)
    case.logs.apply(state)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
    foreign.debug("foreign debug")
    foreign.info("foreign info")
    assert case.messages() == expected


def test_a_state_replaces_the_one_before(case: Case) -> None:
    case.logs.apply({"log_info": False})
    case.logs.apply({"log_format": "ISO8601"})
    log.info("heard again")
    assert case.messages() == ["heard again"]
    with pytest.raises(InvalidRequest):
        case.logs.apply({"log_info": "no"})
    assert case.logs.settings.format == "ISO8601"


def test_python_gets_its_logging_back() -> None:
    root, ours = logging.getLogger(), logging.getLogger("rapide")
    before = (root.level, ours.level, list(root.handlers))
    case = Case("debug")
    case.logs.apply({"log_info": False})
    case.logs.close()
    assert (root.level, ours.level, list(root.handlers)) == before


def test_a_slow_reader_costs_lines_and_never_time(case: Case) -> None:
    case.stream.gate.clear()
    log.info("held")
    case.stream.entered.wait()
    for number in range(10_000):
        log.info("line %d", number)
    assert case.dropped == 10_000 - 8192
    case.stream.gate.set()
    assert len(case.messages()) == 8193


def test_a_stream_that_is_gone_is_no_disaster(case: Case) -> None:
    case.stream.is_gone = True
    log.info("into the void")
    case.logs.close()
    assert case.dropped == 1


def test_arguments_that_do_not_fit_are_no_disaster(case: Case) -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    (ours,) = set(logging.getLogger().handlers) - set(case.handlers_before)
    for message, arguments in (("%d items", ("many",)), ("%s", (Rude(),)), ("%s %s", ("one",))):
        ours.handle(logging.LogRecord("rapide", logging.INFO, "", 0, message, arguments, None))
    assert case.messages() == [
        "%d items (its arguments do not fit)",
        "%s (its arguments do not fit)",
        "%s %s (its arguments do not fit)",
    ]


def test_what_is_logged_is_how_it_was_then(case: Case) -> None:
    items = [1]
    case.stream.gate.clear()
    log.info("held")
    log.info("%s", items)
    items.append(2)
    case.stream.gate.set()
    assert case.messages() == ["held", "[1]"]


def test_tracebacks_are_kept_and_frames_are_not(case: Case) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("it failed")
    assert case.messages() == ["it failed"]
    assert "ValueError: boom" in case.stream.lines()[0]["exception"]


def test_other_handlers_see_the_record_as_it_was(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    log.info("hello %s", "world")
    assert caplog.records[0].args == ("world",)
    assert caplog.records[0].getMessage() == "hello world"
