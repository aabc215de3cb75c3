"""What a tuning was proven for survives its file, and what cannot be is named."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from rapide.profiles.drift import proven_usage
from rapide.server.proven import Proven, UsageRecord
from rapide.server.repository.fields import FieldError, Fields
from rapide.server.tuning_file import ModelTuning, TuningFile
from tests.profiles.recorded import poisson, profile

PROVEN = Proven(
    (16, 256),
    (64, 8192),
    UsageRecord(500, 10.0, 2, ((1.0, 400), (math.inf, 100)), 900.0, ((0.1, ((3.0, 90),)), (1.0, ()))),
    180.0,
)


def test_it_travels_with_the_tuning() -> None:
    tuning = ModelTuning(max_batch_rows=32, proven=PROVEN)
    assert ModelTuning.from_text(tuning.to_text()) == tuning
    file = TuningFile("cpu", "sha256:ab", "cars", 2, tuning)
    assert TuningFile.from_bytes(file.to_bytes()) == file
    assert tuning.words == "max_batch_rows=32"
    assert "proven" not in ModelTuning().to_json()


def test_a_file_of_an_earlier_release_was_proven_for_its_usage() -> None:
    raw = PROVEN.to_json()
    del raw["rows_per_s"]
    assert Proven.read(Fields(raw)).rows_per_s == 90.0


def test_a_profile_gives_what_is_compared() -> None:
    known = profile(poisson(50, 600)).find("cars")
    record = UsageRecord.read(Fields(json.loads(json.dumps(proven_usage(known, 1)))))
    assert record.requests == 600
    assert sum(count for _, count in record.rows) == 600
    assert [width_s for width_s, _ in record.windows] == [0.01, 0.1, 1.0]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "upside down": ({"batch_rows": [64, 8]}, "batch_rows.*1 ≤ least ≤ most"),
    "nothing": ({"queue_rows": [0, 8]}, "queue_rows.*1 ≤ least ≤ most"),
    "one figure": ({"queue_rows": [8]}, r"queue_rows.*\[least, most\]"),
    "text": ({"queue_rows": ["1", "2"]}, r"queue_rows.*\[least, most\]"),
    "missing": ({"batch_rows": None}, r"batch_rows.*\[least, most\]"),
    "no usage": ({"usage": 7}, "usage"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_named(name: str) -> None:
    change, message = WRONG[name]
    with pytest.raises(FieldError, match=message):
        Proven.read(Fields({**PROVEN.to_json(), **change}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [[1, -1]]}, r"rows.*\[upper edge, count\]"),
        ({"rows": [["1", 1]]}, r"rows.*\[upper edge, count\]"),
        ({"rows": {}}, r"rows.*\[upper edge, count\]"),
        ({"span_s": -1}, "span_s.*not negative"),
        ({"workers": 0}, "workers"),
        ({"windows": [{"window_s": 1}]}, r"bins.*\[upper edge, count\]"),
    ],
)
def test_a_usage_that_cannot_be_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        UsageRecord.read(Fields({**PROVEN.usage.to_json(), **change}))
