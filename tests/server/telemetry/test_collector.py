"""From a recorded request to the number that a dashboard shows, through Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from rapide.server.telemetry.exposition import OPENMETRICS
from rapide.server.telemetry.metrics import BY_NAME, METRICS
from rapide.server.telemetry.telemetry import Telemetry
from rapide.server.telemetry.vocabulary import CODES, PROTOCOLS
from tests.server.telemetry.records import answer, context, telemetry

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(source: Telemetry) -> Samples:
    """Every sample by name and labels, read from both formats, which must agree."""
    text = {
        (_plain(sample.name), frozenset(sample.labels.items())): sample.value
        for family in parse_prometheus(source.render_metrics().decode())
        for sample in family.samples
    }
    open_metrics = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_openmetrics(source.render_metrics(OPENMETRICS).decode())
        for sample in family.samples
    }
    assert text.keys() == open_metrics.keys()
    steady = [key for key in text if not key[0].startswith("rapide_worker")]
    assert [text[key] for key in steady] == [open_metrics[key] for key in steady]
    return text


def _plain(name: str) -> str:
    """Undoes that this parser gives every counter the ending _total."""
    return name.removesuffix("_total") if name.startswith("nv_") else name


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def busy(directory: Path | None = None) -> Telemetry:
    source = telemetry(directory)
    recorder = source.recorder("cars", "2", "sha256:ab")
    recorder.state("ready")
    for _ in range(3):
        answer(recorder, rows=4)
    recorder.batch(2, 100, [0.25, 0.5], 0.125, "full", input_s=0.0625, output_s=0.03125)
    for code, number in {"queue_full": 2, "request_cancelled": 3, "internal": 4, "invalid_request": 5}.items():
        for _ in range(number):
            recorder.finished(context("http", label="", payload_bytes=10), code, 0.5, 1)
    source.unrouted.finished(context("http", routed=False), "not_found", 0.001, 0)
    recorder.in_flight(2)
    recorder.waiting(3, 30)
    return source


EXPECTED = [
    ("rapide_requests_total", {"label": "stable", "protocol": "grpc", "code": "ok"}, 3),
    ("rapide_requests_total", {"label": "", "protocol": "http", "code": "queue_full"}, 2),
    ("rapide_request_duration_seconds_count", {"protocol": "grpc", "outcome": "ok"}, 3),
    ("rapide_request_duration_seconds_count", {"protocol": "http", "outcome": "error"}, 14),
    ("rapide_request_duration_seconds_sum", {"protocol": "http", "outcome": "error"}, 7.0),
    ("rapide_request_duration_seconds_bucket", {"protocol": "grpc", "outcome": "ok", "le": "0.0025"}, 0),
    ("rapide_request_duration_seconds_bucket", {"protocol": "grpc", "outcome": "ok", "le": "0.005"}, 3),
    ("rapide_in_flight", {}, 2),
    ("rapide_shed_total", {"reason": "queue_full"}, 2),
    ("rapide_shed_total", {"reason": "deadline_exceeded"}, 0),
    ("rapide_cancelled_total", {}, 3),
    ("rapide_request_payload_bytes_total", {}, 3 * 100 + 14 * 10),
    ("rapide_request_rows_total", {}, 12),
    ("rapide_queue_duration_seconds_count", {}, 5),
    ("rapide_queue_duration_seconds_sum", {}, 0.753),
    ("rapide_compute_duration_seconds_count", {}, 4),
    ("rapide_compute_duration_seconds_sum", {}, 0.131),
    ("rapide_batch_rows_bucket", {"le": "2.0"}, 0),
    ("rapide_batch_rows_bucket", {"le": "4.0"}, 3),
    ("rapide_batch_rows_bucket", {"le": "64.0"}, 3),
    ("rapide_batch_rows_bucket", {"le": "128.0"}, 4),
    ("rapide_batch_rows_sum", {}, 112),
    ("rapide_batches_total", {"reason": "ready"}, 3),
    ("rapide_batches_total", {"reason": "full"}, 1),
    ("rapide_queue_rows", {}, 30),
    ("rapide_model_info", {"digest": "sha256:ab"}, 1),
    ("rapide_model_state", {"state": "ready"}, 1),
    ("nv_inference_request_success", {}, 3),
    ("nv_inference_request_failure", {"reason": "REJECTED"}, 2),
    ("nv_inference_request_failure", {"reason": "CANCELED"}, 3),
    ("nv_inference_request_failure", {"reason": "BACKEND"}, 4),
    ("nv_inference_request_failure", {"reason": "OTHER"}, 5),
    ("nv_inference_count", {}, 112),
    ("nv_inference_exec_count", {}, 4),
    ("nv_inference_request_duration_us", {}, 15_000),
    ("nv_inference_queue_duration_us", {}, 753_000),
    ("nv_inference_compute_infer_duration_us", {}, 3 * 2_000 + 2 * 125_000),
    ("nv_inference_compute_input_duration_us", {}, 2 * 62_500),
    ("nv_inference_compute_output_duration_us", {}, 2 * 31_250),
    ("nv_inference_pending_request_count", {}, 3),
]


@pytest.fixture(scope="module")
def samples() -> Samples:
    return scrape(busy())


@pytest.mark.parametrize(("name", "labels", "expected"), EXPECTED, ids=lambda part: str(part).replace(" ", ""))
def test_a_number_on_the_page(samples: Samples, name: str, labels: dict[str, str], expected: float) -> None:
    assert value(samples, name, model="cars", version="2", **labels) == pytest.approx(expected)


def test_requests_that_reached_no_model_have_empty_names(samples: Samples) -> None:
    labels = {"model": "", "version": "", "label": "", "protocol": "http", "code": "not_found"}
    assert value(samples, "rapide_requests_total", **labels) == 1
    assert not [key for key in samples if key[0].startswith("nv_") and ("model", "") in key[1]]


def test_the_page_is_made_of_the_table(samples: Samples) -> None:
    names = {name: spec for spec in METRICS for name in spec.samples}
    for name, labels in samples:
        assert {label for label, _ in labels} - {"le"} == set(names[name].labels), name


def test_every_metric_of_the_table_can_appear() -> None:
    source = busy()
    for spec in METRICS:
        is_scalar = spec.group == "The server itself" or spec.name.startswith(("rapide_adapt", "rapide_drift"))
        if is_scalar and spec.kind != "info":
            source.scalar(spec.name, **dict.fromkeys(spec.labels, "x")).add(1)
    source.scalar("rapide_repository_problems").set(2)
    shown = {name for name, _ in scrape(source)}
    assert {name for spec in METRICS for name in spec.samples} == shown


def test_rules_that_promtool_checks(samples: Samples) -> None:
    """https://prometheus.io/docs/practices/naming/: base units, _total on counters alone, help texts."""
    for spec in METRICS:
        assert spec.help
        if spec.name.startswith("nv_"):
            continue
        assert spec.name.startswith("rapide_")
        assert spec.name.endswith("_total") is (spec.kind == "counter"), spec.name
        assert spec.name.endswith("_info") is (spec.kind == "info"), spec.name
        assert not spec.name.endswith(("_count", "_sum", "_bucket")), spec.name
        assert not any(unit in spec.name.split("_") for unit in ("us", "ms", "milliseconds", "kilobytes")), (
            spec.name
        )
        assert "le" not in spec.labels
    for name, labels in samples:
        if name.endswith("_bucket") and ("le", "+Inf") in labels:
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            assert samples[name, labels] == samples[name.removesuffix("_bucket") + "_count", rest]


def test_workers_have_processes(tmp_path: Path) -> None:
    source = busy(tmp_path)
    found = scrape(source)
    assert value(found, "rapide_worker_up", worker="0") == 1
    assert value(found, "rapide_worker_starts_total", worker="0") == 1
    assert value(found, "rapide_worker_resident_memory_bytes", worker="0") > 1e6
    source.close()
    source = busy(tmp_path)
    assert value(scrape(source), "rapide_worker_starts_total", worker="0") == 2
    source.close()


def test_an_unloaded_version_keeps_its_counters_and_loses_its_info() -> None:
    source = busy()
    source.recorder("cars", "2").state("unloaded")
    found = scrape(source)
    assert not [key for key in found if key[0] == "rapide_model_info"]
    assert value(found, "nv_inference_request_success", model="cars", version="2") == 3


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(CODES), st.sampled_from(PROTOCOLS), st.text(max_size=8), st.floats(0, 10)),
        max_size=30,
    )
)
def test_parsing_the_page_gives_what_was_recorded(requests: list[tuple[str, str, str, float]]) -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    expected: dict[tuple[str, str], int] = {}
    took: dict[str, float] = dict.fromkeys(PROTOCOLS, 0.0)
    for code, protocol, label, duration_s in requests:
        recorder.finished(context(protocol, label=label.replace("\r", "").replace("\0", "")), code, duration_s, 1)
        expected[code, protocol] = expected.get((code, protocol), 0) + 1
        took[protocol] += duration_s
    found = scrape(source)
    counted: dict[tuple[str, str], float] = {}
    for (name, pairs), number in found.items():
        labels = dict(pairs)
        if name == "rapide_requests_total":
            key = (labels["code"], labels["protocol"])
            counted[key] = counted.get(key, 0) + number
    assert counted == expected
    for protocol in PROTOCOLS:
        total = sum(
            number
            for (name, pairs), number in found.items()
            if name == "rapide_request_duration_seconds_sum" and ("protocol", protocol) in pairs
        )
        assert total == pytest.approx(took[protocol])


def test_scalars_of_workers_are_merged_as_the_table_says(tmp_path: Path) -> None:
    workers = [telemetry(tmp_path, slot) for slot in range(2)]
    for number, worker in enumerate(workers):
        worker.scalar("rapide_open_connections", protocol="grpc").add(number + 1)
        worker.scalar("rapide_repository_problems").set(number + 1)
    found = scrape(workers[0])
    assert value(found, "rapide_open_connections", protocol="grpc") == 3
    assert value(found, "rapide_repository_problems") == 2
    assert BY_NAME["rapide_repository_problems"].merge is max
    for worker in workers:
        worker.close()
