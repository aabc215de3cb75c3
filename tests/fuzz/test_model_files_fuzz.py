"""The fuzz targets of a version's files: good seeds, and a short run of each."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz import model_files_fuzz
from tests.fuzz.campaign import Target, fuzz


@pytest.mark.parametrize("name", ["manifest", "golden", "activation_log"])
def test_seeds_are_accepted(name: str) -> None:
    for seed in model_files_fuzz.seeds()[name]:
        assert model_files_fuzz.try_one(model_files_fuzz.TARGETS[name], seed), seed


def test_good_graphs_are_accepted_and_hostile_ones_are_not() -> None:
    accepted = [
        model_files_fuzz.try_one(model_files_fuzz.TARGETS["graph"], seed)
        for seed in model_files_fuzz.seeds()["graph"]
    ]
    assert accepted[:4] == [True] * 4
    assert not any(accepted[4:]), "the fifth has weights that are not there"


@pytest.mark.parametrize("target", model_files_fuzz.targets(), ids=lambda target: target.name)
def test_changed_seeds_are_answered_properly(target: Target) -> None:
    assert fuzz(target, Random(20261125), runs=1000) == 1000
