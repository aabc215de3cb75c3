"""Models in the words of Triton and TensorFlow Serving. What is described over the wire is in ``protocols/``."""

from __future__ import annotations

from typing import Any

import pytest

from rapide.server.catalogue import VersionState, VersionStatus
from rapide.server.model_descriptions import config, index, tf_version_status
from rapide.server.settings import Settings
from rapide.server.signature import DataType, Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", DataType.BYTES, (-1, 3)),), (TensorSpec("y", DataType.BF16, (-1,)),), batchable=True
)


def test_a_configuration_leaves_the_batch_dimension_out() -> None:
    described = config("m", SIGNATURE, Settings(max_batch_rows=8, max_delay_us=250.0))

    assert described["max_batch_size"] == 8
    assert described["input"] == [{"name": "x", "data_type": "TYPE_STRING", "dims": [3]}]
    assert described["output"] == [{"name": "y", "data_type": "TYPE_BF16", "dims": []}]
    assert described["dynamic_batching"]["max_queue_delay_microseconds"] == 250


def test_a_model_whose_requests_run_alone_has_no_batching() -> None:
    described = config("m", Signature(SIGNATURE.inputs, SIGNATURE.outputs, batchable=False), Settings())

    assert described["max_batch_size"] == 0
    assert described["input"][0]["dims"] == [-1, 3]
    assert "dynamic_batching" not in described


@pytest.mark.parametrize(
    ("policy", "described"),
    [
        ("latest:2", {"latest": {"num_versions": 2}}),
        ("all", {"all": {}}),
        ("specific:1,3", {"specific": {"versions": [1, 3]}}),
    ],
)
def test_version_policies(policy: str, described: dict[str, Any]) -> None:
    assert config("m", SIGNATURE, Settings(version_policy=policy))["version_policy"] == described


STATUSES = [
    VersionStatus("a", 1, VersionState.READY),
    VersionStatus("a", 2, VersionState.LOADING),
    VersionStatus("b", 1, VersionState.UNLOADING),
    VersionStatus("b", 2, VersionState.BROKEN, "digest mismatch"),
]
PROBLEMS: list[dict[str, Any]] = [
    {"model": "a", "version": 1, "reason": "its files changed"},
    {"model": "b", "version": 2, "reason": "seen by the supervisor"},
    {"model": "c", "version": None, "reason": "no versions"},
]


def test_the_index_has_what_is_served_and_what_cannot_be() -> None:
    assert [tuple(entry.values()) for entry in index(STATUSES, PROBLEMS, ready=False)] == [
        ("a", "1", "READY", "its files changed"),
        ("a", "2", "LOADING", ""),
        ("b", "1", "UNLOADING", ""),
        ("b", "2", "UNAVAILABLE", "digest mismatch"),
        ("c", "", "UNAVAILABLE", "no versions"),
    ]


def test_the_index_of_what_is_ready() -> None:
    assert [entry["version"] for entry in index(STATUSES, PROBLEMS, ready=True)] == ["1"]


@pytest.mark.parametrize(
    ("state", "told", "code"),
    [
        ("READY", "AVAILABLE", "OK"),
        ("LOADING", "LOADING", "OK"),
        ("UNLOADING", "UNLOADING", "OK"),
        ("UNAVAILABLE", "END", "UNKNOWN"),
    ],
)
def test_states_in_tensorflow_servings_words(state: str, told: str, code: str) -> None:
    entry = {"name": "m", "version": "1", "state": state, "reason": "why"}

    assert tf_version_status(entry) == {
        "version": "1",
        "state": told,
        "status": {"error_code": code, "error_message": "why"},
    }
