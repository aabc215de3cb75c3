from __future__ import annotations

import errno
import io
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rapide.server.errors import InvalidRequest, SettingsError
from rapide.server.settings import Settings
from rapide.server.telemetry.aggregate import aggregate
from rapide.server.telemetry.exposition import OPENMETRICS, PROMETHEUS
from rapide.server.telemetry.slots import SlotFile
from rapide.server.telemetry.telemetry import Telemetry, TelemetryOptions, options_from
from tests.server.telemetry.records import WALL_OFFSET_S, answer, context, telemetry, versions


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def logging_telemetry(stream: io.StringIO, **options: Any) -> Telemetry:
    return Telemetry(
        TelemetryOptions(**{"log_format": "json", **options}),
        stream=stream,
        wall_offset_s=lambda: WALL_OFFSET_S,
    )


def value(source: Telemetry, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(source.render_metrics().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    raise AssertionError(f"no sample {name} {labels}")


def test_options_are_the_settings() -> None:
    settings = Settings(
        log_format="console", log_level="debug", access_log=True, otlp_endpoint="http://c:4317", trace_rate=0.5,
        trace_file="t.json", state_dir="/run/rapide",
    )  # fmt: skip
    assert options_from(settings, slot=3) == TelemetryOptions(
        Path("/run/rapide"), 3, "console", "debug", True, "http://c:4317", 0.5, "t.json"
    )
    assert options_from(Settings(), slot=0).directory is None


def test_a_version_has_one_recorder() -> None:
    source = telemetry()
    assert source.recorder("cars", "2") is source.recorder("cars", "2", "sha256:ab")
    assert source.recorder("cars", "3") is not source.recorder("cars", "2")
    assert source.unrouted.model == ""


def test_threads_that_ask_at_once_get_the_same_recorder() -> None:
    source = telemetry()
    with ThreadPoolExecutor(8) as threads:
        for version in range(20):
            asked = [threads.submit(source.recorder, "cars", str(version)) for _ in range(8)]
            assert len({future.result() for future in asked}) == 1


def test_the_metrics_page_in_both_formats() -> None:
    source = telemetry()
    content_type, body = source.metrics_page()
    assert (content_type, body.endswith(b"# EOF\n")) == (PROMETHEUS, False)
    content_type, body = source.metrics_page("application/openmetrics-text")
    assert (content_type, body.endswith(b"# EOF\n")) == (OPENMETRICS, True)


def test_nothing_is_installed_unless_asked() -> None:
    before = list(logging.getLogger().handlers)
    source = telemetry()
    source.start()
    assert logging.getLogger().handlers == before
    source.close()


@pytest.mark.parametrize("access_log", [True, False])
def test_the_access_log_is_a_choice(stream: io.StringIO, access_log: bool) -> None:
    source = logging_telemetry(stream, access_log=access_log)
    source.start()
    answer(source.recorder("cars", "2"))
    source.close()
    assert [json.loads(line)["logger"] for line in stream.getvalue().splitlines()] == [
        "rapide.access"
    ] * access_log


def test_the_log_is_for_people_at_a_terminal() -> None:
    for stream, expected in ((Terminal(), "INFO"), (io.StringIO(), '"info"')):
        source = logging_telemetry(stream, log_format="auto")
        source.start()
        logging.getLogger("rapide").info("hello")
        source.close()
        assert expected in stream.getvalue()


def test_settings_change_while_it_runs(stream: io.StringIO, tmp_path: Path) -> None:
    source = logging_telemetry(stream, trace_file=str(tmp_path / "trace.json"))
    source.start()
    recorder = source.recorder("cars", "2")
    answer(recorder)
    source.apply({"": {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}}, {"log_info": False})
    assert source.trace_settings()["trace_level"] == ["TIMESTAMPS"]
    assert source.trace_settings("cars")["trace_rate"] == "1"
    assert source.log_settings()["log_info"] is False
    answer(recorder)
    logging.getLogger("rapide").info("unheard")
    source.apply({}, {})
    assert source.trace_settings()["trace_level"] == ["OFF"]
    answer(recorder)
    logging.getLogger("rapide").info("heard")
    source.close()
    assert len(json.loads((tmp_path / "trace.json").read_text())) == 2
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["heard"]


@pytest.mark.parametrize(
    ("trace", "log"),
    [({"": {"trace_rate": "0"}}, {}), ({}, {"log_info": 1}), ({"": {"trace_rate": "7"}}, {"log_format": "x"})],
)
def test_a_wrong_change_changes_nothing(trace: dict[str, Any], log: dict[str, Any]) -> None:
    source = telemetry()
    for attempt in (source.check, source.apply):
        with pytest.raises(InvalidRequest):
            attempt(trace, log)
    assert source.trace_settings()["trace_rate"] == "1000"
    assert source.log_settings()["log_format"] == "default"


def test_an_endpoint_that_cannot_be_used_is_said_at_the_start() -> None:
    with pytest.raises(SettingsError, match="otlp_endpoint"):
        telemetry(otlp_endpoint="nonsense").start()


def test_losses_are_counted(tmp_path: Path) -> None:
    source = logging_telemetry(io.StringIO(), trace_file=str(tmp_path / "missing" / "trace.json"))
    source.apply({"": {"trace_level": ["TIMESTAMPS"], "trace_rate": "1"}}, {})
    source.start()
    answer(source.recorder("cars", "2"))
    source._traces.close()
    assert value(source, "rapide_traces_dropped_total", form="triton") == 1
    source.close()


def test_a_worker_that_drains_keeps_its_file(tmp_path: Path) -> None:
    old, new = telemetry(tmp_path, 5), telemetry(tmp_path, 5)
    for number, source in enumerate((old, new), start=1):
        source.start()
        for _ in range(number):
            answer(source.recorder("cars", "2"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-5", "worker-5.1"]
    for source in (old, new):
        (only,) = aggregate(versions(source))
        assert only.count("ok") == 3
        assert value(source, "rapide_worker_up", worker="5") == 1
        assert value(source, "rapide_worker_starts_total", worker="5") == 2
        source.close()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files have no room for a version's record; memory has."""
    original = SlotFile.body

    def body(self: SlotFile, kind: int, key: tuple[str, ...], size_bytes: int) -> memoryview:
        if self.path is not None and size_bytes > 100:
            raise OSError(28, "No space left on device")
        return original(self, kind, key, size_bytes)

    monkeypatch.setattr(SlotFile, "body", body)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_costs_other_workers_the_view_and_nobody_a_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, other = telemetry(tmp_path, 0), telemetry(tmp_path, 1)
    for version in ("1", "2"):
        answer(source.recorder("cars", version))
    other.start()
    assert len(versions(source)) == 2
    assert versions(other) == []
    assert value(source, "rapide_worker_starts_total", worker="0") == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    source.close()
    other.close()


def test_requests_have_ids_and_observers_have_the_context(stream: io.StringIO) -> None:
    source = logging_telemetry(stream, access_log=True)
    source.start()
    asked = context()
    asked.request_id = source.new_request_id()
    source.unrouted.finished(asked, "not_found", 0.001, 0)
    source.close()
    assert json.loads(stream.getvalue())["request_id"] == asked.request_id


def test_a_worker_without_room_serves_without_shared_counters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    allocate = os.posix_fallocate

    def full_on_disk(descriptor: int, *where: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(tmp_path)):
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(descriptor, *where)

    monkeypatch.setattr(os, "posix_fallocate", full_on_disk)
    telemetry = Telemetry(TelemetryOptions(directory=tmp_path))
    telemetry.start()
    telemetry.scalar("rapide_repository_problems").set(3)
    assert "no room for this worker's metrics" in caplog.text
    assert b"rapide_repository_problems 3" in telemetry.render_metrics()
    telemetry.close()
