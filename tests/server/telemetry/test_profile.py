"""The profile says how a model is used, and nothing of what callers sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rapide.server.telemetry.connections import ConnectionMeter
from rapide.server.telemetry.inputs import Axis
from rapide.server.telemetry.telemetry import Telemetry
from rapide.server.telemetry.version_block import RECENT, SECONDS
from tests.server.telemetry.records import answer, context, telemetry

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "profile.md"


def model(source: Telemetry) -> dict[str, Any]:
    (only,) = json.loads(json.dumps(source.profile()))["models"]
    found: dict[str, Any] = only
    return found


def recorded() -> Telemetry:
    """Ten requests, ten seconds apart, of 1 to 10 rows; then three at once that were refused."""
    source = telemetry()
    recorder = source.recorder("cars", "2", "sha256:ab")
    for index in range(10):
        answer(recorder, 10.0 + 10 * index, rows=index + 1, encoding="json" if index % 2 else "named")
    for _ in range(3):
        recorder.arrival(100.5, 1)
        recorder.finished(context("http", payload_bytes=5000, label=""), "queue_full", 0.001, 1)
    return source


def test_the_head_and_the_mix() -> None:
    source = recorded()
    source.unrouted.finished(context(routed=False), "not_found", 0.001, 0)
    document = source.profile()
    assert (document["kind"], document["schema"], document["workers"]) == ("rapide-profile", 1, 1)
    found = model(source)
    assert (found["model"], found["version"], found["digest"]) == ("cars", "2", "sha256:ab")
    assert found["requests"] == {"ok": 10, "queue_full": 3}
    assert found["encodings"] == [
        {"protocol": "grpc", "encoding": "json", "requests": 5},
        {"protocol": "grpc", "encoding": "named", "requests": 5},
        {"protocol": "http", "encoding": "protobuf-raw", "requests": 3},
    ]


def test_arrivals() -> None:
    arrivals = model(recorded())["arrivals"]
    assert arrivals["count"] == 13
    assert arrivals["first"] == "2023-11-14T22:13:30.000000Z"
    assert arrivals["last"] == "2023-11-14T22:15:00.500000Z"
    assert arrivals["rate_per_s"] == pytest.approx(12 / 90.5)
    assert arrivals["recent"] == {
        "start": "2023-11-14T22:13:30.000000Z",
        "offsets_us": [*(10_000_000 * index for index in range(10)), 90_500_000, 90_500_000, 90_500_000],
        "rows": [*range(1, 11), 1, 1, 1],
    }
    assert arrivals["gaps_s"]["bins"] == [[1e-6, 2], [0.5, 1], [10.0, 9]]
    assert arrivals["gaps_s"]["sum"] == 90.5
    bursts = {burst["window_s"]: (burst["most"], burst["bins"]) for burst in arrivals["bursts"]}
    assert bursts == {
        0.01: (3, [[1, 10], [3, 1]]),
        0.1: (3, [[1, 10], [3, 1]]),
        1.0: (4, [[1, 9], [4, 1]]),
    }


def test_curves_over_seconds_day_and_week() -> None:
    arrivals = model(recorded())["arrivals"]
    assert arrivals["seconds"]["start"] == "2023-11-14T22:13:30.000000Z"
    assert arrivals["seconds"]["counts"] == [*([1] + [0] * 9) * 9, 4]
    assert arrivals["hour_of_day"] == [0] * 22 + [13, 0]
    tuesday = 24 + 22
    assert arrivals["hour_of_week"] == [13 if hour == tuesday else 0 for hour in range(168)]


def test_sizes_and_times() -> None:
    found = model(recorded())
    assert found["rows"]["bins"] == [[1, 4], *([rows, 1] for rows in range(2, 11))]
    assert (found["rows"]["sum"], found["rows"]["p50"], found["rows"]["p99"]) == (58, 4, 10)
    assert found["payload_bytes"]["bins"] == [[128, 10], [6144, 3]]
    assert found["duration_s"]["bins"] == [[0.005, 10]]
    assert found["queue_s"]["sum"] == pytest.approx(0.01)
    assert found["compute_s"]["p50"] == pytest.approx(0.00175)
    assert found["batches"][4] == {
        "rows": 5.0,
        "runs": 1,
        "requests": 1,
        "compute_s": 0.002,
        "input_s": 0.0,
        "output_s": 0.0,
        "queue_s": 0.001,
    }


def test_inputs_concurrency_and_connections() -> None:
    source = recorded()
    recorder = source.recorder("cars", "2")
    recorder.watch([Axis("ids[1]", 0, 1)])
    for length in (4, 4, 6):
        recorder.look([np.zeros((1, length), np.int64)])
    grpc, http = (ConnectionMeter(source.scalar, protocol) for protocol in ("grpc", "http"))
    grpc.opened()
    grpc.opened()
    grpc.closed()
    http.opened()
    found = model(source)
    assert found["inputs"] == {
        "looked": 3,
        "repeats": 1,
        "sizes": [{"axis": "ids[1]", "bins": [[4, 2], [6, 1]], "sum": 14, "p50": 4, "p99": 6}],
    }
    assert found["concurrency"]["bins"] == [[0, 13]]
    assert source.profile()["connections"] == [
        {"protocol": "grpc", "open": 1, "total": 2},
        {"protocol": "http", "open": 1, "total": 1},
    ]


def test_a_version_that_was_never_asked() -> None:
    source = telemetry()
    source.recorder("cars", "2")
    found = model(source)
    assert found["arrivals"] == {"count": 0}
    assert found["rows"] == {"bins": [], "sum": 0.0, "p50": 0.0, "p99": 0.0}


def test_workers_are_one(tmp_path: Path) -> None:
    workers = [telemetry(tmp_path, slot) for slot in range(3)]
    for index in range(30):
        answer(workers[index % 3].recorder("cars", "2"), 10.0 + index, rows=index)
    document = workers[0].profile()
    assert document["workers"] == 3
    arrivals = document["models"][0]["arrivals"]
    assert arrivals["recent"]["rows"] == list(range(30))
    assert arrivals["seconds"]["counts"] == [1] * 30
    for worker in workers:
        worker.close()


def test_a_long_history_stays_small() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for index in range(3 * RECENT):
        recorder.arrival(10.0 + index, 1)
    found = model(source)["arrivals"]
    assert found["count"] == 3 * RECENT
    assert len(found["recent"]["offsets_us"]) == RECENT - 1
    assert len(found["seconds"]["counts"]) == SECONDS
    assert sum(found["hour_of_week"]) == 3 * RECENT
    assert len(json.dumps(source.profile())) < 100_000


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_every_key_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_0-9]+)`", DOCUMENT.read_text()))
    codes = {"ok", "queue_full"}
    assert set(keys(recorded().profile())) - codes <= documented
