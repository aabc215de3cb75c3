from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import Profile
from rapide.profiles.model_profile import Encoding, ModelProfile
from rapide.profiles.synthetic import synthetic
from rapide.tuning.errors import TuningError
from rapide.tuning.traffic import LEAST_REQUESTS, busier, busiest, used, usual_protocol
from tests.profiles.recorded import poisson, profile


def test_quiet_days_pass_quickly_and_the_flood_stays() -> None:
    days = np.arange(5) * 86400.0
    flood = days[-1] + 10 + np.arange(500) * 0.002
    chosen = busiest(Arrivals(np.concatenate([days, flood]), np.ones(505, int)))
    assert chosen.count >= 500
    assert chosen.duration_s < 6.1
    assert chosen.instants_s[0] >= 0


@pytest.mark.parametrize(("count", "said"), [(0, "holds 0 arrivals"), (1, "holds 1 arrival;")])
def test_too_few_requests_are_told(count: int, said: str) -> None:
    with pytest.raises(TuningError, match=said):
        busiest(Arrivals(np.zeros(count), np.ones(count, int)))


@pytest.mark.parametrize("rows", [4097, 2**50])
def test_rows_that_no_default_server_takes_are_told(rows: int) -> None:
    with pytest.raises(TuningError, match=f"holds requests of {rows:,} rows: expected at most 4,096"):
        busiest(Arrivals(np.arange(50.0), np.full(50, rows)))


def test_empty_requests_count_as_one_row() -> None:
    assert set(busiest(Arrivals(np.arange(50.0), np.arange(50) % 2)).rows.tolist()) == {1}


def test_a_slow_load_is_looked_at_for_longer() -> None:
    """In six seconds, pauses cut to half of one, there would be 13 requests."""
    chosen = busiest(Arrivals(np.concatenate([np.arange(50.0), 50 + 0.6 * np.arange(40)]), np.ones(90, int)))
    assert chosen.count == LEAST_REQUESTS


def test_a_load_without_a_duration_is_told() -> None:
    with pytest.raises(TuningError, match="all 50 arrivals of the profile came at one instant"):
        busiest(Arrivals(np.ones(50), np.ones(50, int)))


def test_a_profile_of_another_model_is_told() -> None:
    profile = synthetic("steady", model="other", rate_per_s=100, duration_s=2)
    with pytest.raises(TuningError, match="cannot be used for m"):
        used(profile, "m", "sha256:aa")


def test_a_profile_of_another_version_needs_a_word() -> None:
    text = synthetic("steady", model="m", rate_per_s=100, duration_s=2).to_bytes()
    profile = Profile.from_bytes(text.replace(b'"digest":""', b'"digest":"sha256:bb"'))
    with pytest.raises(TuningError, match="of another model: m has the digest sha256:bb"):
        used(profile, "m", "sha256:aa")
    assert used(profile, "m", "sha256:aa", any_version=True).arrivals.count
    assert used(profile, "m", "sha256:bb").arrivals.count


def known_of(changes: dict[str, object]) -> ModelProfile:
    """A profile of two minutes at 20/s, with figures changed."""
    known = profile(poisson(20, 2400)).find("cars")
    return replace(known, arrivals=replace(known.arrivals, **changes))  # type: ignore[arg-type]


def test_what_was_busier_than_what_is_known_exactly_is_said() -> None:
    known = known_of({"count": 90_000, "seconds": np.array([10, 400, 20]), "hour_of_week": np.full(168, 500_000)})
    hour, second = busier(known, busiest(known.exact()))
    assert "The busiest hour that the profile counted had 139 requests/s" in hour
    assert "of 90,000 requests the last 2,400 are known exactly" in hour
    assert "The busiest second that the profile counted had 400 requests/s" in second


def test_where_all_is_known_exactly_nothing_is_left_out() -> None:
    known = known_of({"seconds": np.array([10, 400, 20])})
    assert list(busier(known, busiest(known.exact()))) == []


@pytest.mark.parametrize(
    ("mixes", "protocol"),
    [
        ([], "grpc"),
        ([("grpc", "protobuf-raw", 5), ("grpc", "named", 5), ("http", "json", 8)], "grpc"),
        ([("grpc", "protobuf-raw", 5), ("http", "json", 8), ("http", "", 1)], "json"),
        ([("http", "json", 3), ("http", "json+binary", 8), ("other", "", 99)], "binary"),
    ],
    ids=str,
)
def test_the_usual_protocol_is_that_of_most_requests(mixes: list[tuple[str, str, int]], protocol: str) -> None:
    known = replace(known_of({}), encodings=tuple(Encoding(*mix) for mix in mixes))
    assert usual_protocol(known) == protocol
