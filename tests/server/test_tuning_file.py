"""The tuning record: what it says, what of it is in force, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.repository.fields import FieldError
from rapide.server.settings import Settings
from rapide.server.tuning_file import GRAPH_LEVELS, ModelTuning, TuningFile, in_force

tunings = st.builds(
    ModelTuning,
    variant=st.text(max_size=8),
    intra_op_threads=st.integers(1, 64),
    allow_spinning=st.booleans(),
    graph_level=st.sampled_from(GRAPH_LEVELS),
    arena=st.booleans(),
    dynamic_block_base=st.integers(0, 16),
    max_rows_per_run=st.integers(0, 4096),
    max_batch_rows=st.integers(1, 1000),
    max_delay_us=st.floats(0, 1e5),
    max_queue_rows=st.integers(1000, 100_000),
    sessions=st.integers(1, 8),
    inline_below_us=st.floats(0, 1e5),
)


@given(tunings)
def test_a_file_survives_its_bytes(tuning: ModelTuning) -> None:
    file = TuningFile("cpu", "sha256:ab", "forest", 2, tuning, version=3, slo="p99<5ms", evidence={"why": ["é"]})
    assert TuningFile.from_bytes(file.to_bytes()) == file
    assert ModelTuning.from_text(tuning.to_text()) == tuning


def test_what_a_newer_release_adds_is_left_alone() -> None:
    assert ModelTuning.from_text('{"sessions": 2, "prefetch": true}') == ModelTuning(sessions=2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "rapide-profile"}, "it is no tuning file"),
        ({"schema": 2}, "its schema is 2; this release reads 1"),
        ({"workers": 0}, "'workers' must be an integer of 1 or more, not 0"),
        ({"tuning": {"sessions": "2"}}, "'tuning.sessions' must be an integer of 1 or more, not '2'"),
        ({"tuning": {"max_delay_us": -1}}, "'tuning.max_delay_us' must be between 0"),
        ({"tuning": {"max_queue_rows": 5}}, r"'tuning.max_queue_rows' must be at least max_batch_rows \(64\)"),
        ({"tuning": {"graph_level": "most"}}, "'tuning.graph_level' must be one of off, basic, extended, all"),
        ({"tuning": {"max_batch_rows": 10**9}}, "'tuning.max_batch_rows' must be at most"),
        ({"tuning": []}, "'tuning' must be an object"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    document = json.loads(TuningFile("cpu", "sha256:ab", "m", 1, ModelTuning()).to_bytes()) | change
    with pytest.raises(FieldError, match=said):
        TuningFile.from_bytes(json.dumps(document).encode())


def test_untuned_versions_run_as_the_settings_say() -> None:
    settings = Settings(threads=2, spinning=True, max_batch_rows=8, max_delay_us=5.0, sessions=3)
    expected = ModelTuning(intra_op_threads=2, allow_spinning=True, max_batch_rows=8, max_delay_us=5.0, sessions=3)
    assert in_force(settings, None) == expected


def test_a_setting_that_was_meant_wins_over_what_was_tuned() -> None:
    tuning = ModelTuning(intra_op_threads=2, max_batch_rows=256, max_rows_per_run=64)
    assert in_force(Settings(), tuning) == tuning
    assert in_force(Settings(max_batch_rows=32), tuning).max_batch_rows == 32
    assert in_force(Settings(max_batch_rows=32), tuning).intra_op_threads == 2


def test_the_words_name_what_differs() -> None:
    assert ModelTuning().words == "the defaults"
    words = ModelTuning(max_rows_per_run=64, allow_spinning=True, max_delay_us=250.0).words
    assert words == "allow_spinning=on, max_rows_per_run=64, max_delay_us=250"
