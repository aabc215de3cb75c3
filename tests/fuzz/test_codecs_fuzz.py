"""The codecs' fuzz targets: good seeds, and a short run of each."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz import codecs_fuzz
from tests.fuzz.campaign import Target, fuzz


@pytest.mark.parametrize("name", codecs_fuzz.TARGETS)
def test_seeds_are_accepted(name: str) -> None:
    for seed in codecs_fuzz.seeds()[name]:
        if b'"b64"' not in seed:  # that one is for the codec without features
            assert codecs_fuzz.try_one(codecs_fuzz.TARGETS[name], seed), seed


@pytest.mark.parametrize("name", codecs_fuzz.TARGETS)
def test_truncated_seeds_are_answered_properly(name: str) -> None:
    for seed in codecs_fuzz.seeds()[name]:
        for length in range(len(seed)):
            codecs_fuzz.try_one(codecs_fuzz.TARGETS[name], seed[:length])


@pytest.mark.parametrize("target", codecs_fuzz.targets(), ids=lambda target: target.name)
def test_changed_seeds_are_answered_properly(target: Target) -> None:
    assert fuzz(target, Random(20261123), runs=3000) == 3000
