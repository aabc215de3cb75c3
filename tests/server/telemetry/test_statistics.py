from __future__ import annotations

from google.protobuf import json_format

from rapide.proto import open_inference_pb2
from tests.server.telemetry.records import WALL_OFFSET_S, answer, context, telemetry


def test_statistics_have_tritons_shape_and_sums() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for index in range(3):
        answer(recorder, 10.0 + index, rows=4)
    recorder.batch(2, 8, [0.25, 0.5], 0.125, "full", input_s=0.0625, output_s=0.03125)
    recorder.finished(context(), "internal", 0.5, 1)
    assert source.statistics("cars", "2") == {
        "name": "cars",
        "version": "2",
        "last_inference": round((WALL_OFFSET_S + 12) * 1000),
        "inference_count": 20,
        "execution_count": 4,
        "inference_stats": {
            "success": {"count": 3, "ns": 15_000_000},
            "fail": {"count": 1, "ns": 500_000_000},
            "queue": {"count": 5, "ns": 753_000_000},
            "compute_input": {"count": 5, "ns": 125_000_000},
            "compute_infer": {"count": 5, "ns": 256_000_000},
            "compute_output": {"count": 5, "ns": 62_500_000},
            "cache_hit": {"count": 0, "ns": 0},
            "cache_miss": {"count": 0, "ns": 0},
        },
        "batch_stats": [
            {
                "batch_size": 4,
                "compute_input": {"count": 3, "ns": 0},
                "compute_infer": {"count": 3, "ns": 6_000_000},
                "compute_output": {"count": 3, "ns": 0},
            },
            {
                "batch_size": 8,
                "compute_input": {"count": 1, "ns": 62_500_000},
                "compute_infer": {"count": 1, "ns": 125_000_000},
                "compute_output": {"count": 1, "ns": 31_250_000},
            },
        ],
    }


def test_large_batches_are_reported_by_their_mean() -> None:
    source = telemetry()
    for rows in (1001, 1003, 70_000, 90_000):
        source.recorder("cars", "2").batch(1, rows, [0.0], 0.001, "ready")
    assert [batch["batch_size"] for batch in source.statistics("cars", "2")["batch_stats"]] == [1002, 80_000]


def test_a_version_that_nobody_asked_has_zeros() -> None:
    statistics = telemetry().statistics("cars", "7")
    assert (statistics["name"], statistics["version"]) == ("cars", "7")
    assert (statistics["last_inference"], statistics["inference_count"], statistics["batch_stats"]) == (0, 0, [])


def test_the_dictionary_is_the_protobuf_message() -> None:
    source = telemetry()
    answer(source.recorder("cars", "2"))
    statistics = source.statistics("cars", "2")
    message = json_format.ParseDict(statistics, open_inference_pb2.ModelStatistics())
    assert message.inference_stats.compute_infer.ns == 2_000_000
    assert message.batch_stats[0].batch_size == 1
