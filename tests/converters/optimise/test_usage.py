"""Sizes that matter, from usage profiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rapide.converters.errors import ConversionError
from rapide.converters.optimise.usage import sizes_of
from rapide.profiles.document import Profile
from rapide.profiles.errors import ProfileError
from rapide.profiles.model_profile import BatchCost
from rapide.profiles.synthetic import synthetic


def saved(folder: Path, *batches: tuple[float, int]) -> Path:
    profile = synthetic("steady", model="m", rate_per_s=50, duration_s=4, rows=3, seed=0)
    if batches:
        costs = tuple(BatchCost(rows, 1, requests, 0.1, 0.0, 0.0) for rows, requests in batches)
        profile = Profile(1, (), (replace(profile.models[0], batches=costs),))
    path = folder / "profile.json"
    path.write_bytes(profile.to_bytes())
    return path


def test_sizes_weigh_as_many_requests_as_they_answered(tmp_path: Path) -> None:
    assert sizes_of(saved(tmp_path, (1.0, 30), (7.6, 10), (8.4, 60)), "m") == {1: 0.3, 8: 0.7}


def test_the_most_frequent_sizes_alone_are_timed(tmp_path: Path) -> None:
    batches = [(float(rows), 10 * rows) for rows in range(1, 9)]
    found = sizes_of(saved(tmp_path, *batches), "m")
    assert list(found) == [5, 6, 7, 8]
    assert sum(found.values()) == pytest.approx(1)


def test_without_runs_the_rows_of_requests_count(tmp_path: Path) -> None:
    assert sizes_of(saved(tmp_path), "m") == {3: 1.0}


def test_a_profile_without_the_model(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"profile.json has no requests to 'other'") as caught:
        sizes_of(saved(tmp_path), "other")
    assert caught.value.hint == "Models in it: m."


def test_what_is_no_profile(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text("{}")
    with pytest.raises(ProfileError):
        sizes_of(path, "m")
