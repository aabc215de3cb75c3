"""A document is what a server wrote: read whole, written again, merged; and errors say what, where and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import Profile
from rapide.profiles.errors import ProfileError
from rapide.profiles.synthetic import synthetic
from rapide.server.telemetry.profile import SCHEMA
from tests.profiles.recorded import document, poisson, profile


def equal(left: Any, right: Any) -> bool:
    """Documents are equal but for the last digit of a rate."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, float):
        return bool(left == pytest.approx(right, rel=1e-6))
    return bool(left == right)


def test_what_a_server_writes_is_read_and_written_again() -> None:
    data = document(poisson(50, 300))
    assert equal(json.loads(data), json.loads(Profile.from_bytes(data).to_bytes()))


def test_the_parts_of_a_model() -> None:
    arrivals = poisson(50, 300)
    known = profile(arrivals, "7").find("cars")
    assert (known.model, known.version, known.digest, known.name) == ("cars", "7", "sha256:ab", "cars version 7")
    assert known.requests == {"ok": 300}
    assert known.arrivals.count == 300
    assert known.arrivals.rate_per_s == pytest.approx(arrivals.rate_per_s, rel=1e-5)
    assert known.rows.count == 300
    assert known.rows.mean == pytest.approx(arrivals.rows.mean())
    assert sum(batch.runs for batch in known.batches) == 300
    assert known.duration_s.quantile(0.5) == pytest.approx(0.0045)


def test_the_inputs_and_the_mix() -> None:
    both = profile(poisson(50, 300), "1").merge([profile(poisson(50, 100), "1"), profile(poisson(50, 400), "2")])
    known = both.find("cars", "1")
    assert (known.inputs.looked, known.inputs.sizes["ids[1]"].counts[5]) == (400, 400)
    assert known.inputs.repeats == 400 - 8 - 8  # requests of 1 to 8 rows, all zeros, at two servers
    assert known.inputs.repeat_share == pytest.approx(0.96)
    assert both.mix == {"cars version 1": 0.5, "cars version 2": 0.5}
    assert [(one.protocol, one.open, one.total) for one in both.connections] == [("grpc", 3, 3)]


def test_the_first_documents_had_less() -> None:
    found = json.loads(document(poisson(50, 30)))
    del found["connections"], found["models"][0]["inputs"], found["models"][0]["concurrency"]
    del found["models"][0]["batches"][0]["queue_s"]
    known = Profile.from_bytes(json.dumps(found).encode())
    assert known.connections == ()
    assert known.models[0].inputs.repeat_share == 0
    assert known.models[0].concurrency.count == 0
    assert known.models[0].batches[0].queue_s == 0


def test_exact_is_what_came() -> None:
    arrivals = poisson(50, 300)
    exact = profile(arrivals).find("cars").exact()
    assert np.allclose(exact.instants_s, arrivals.instants_s, atol=1e-6)
    assert exact.rows.tolist() == arrivals.rows.tolist()


def test_load_and_save(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(document(poisson(5, 10)))
    assert Profile.load(path).models[0].arrivals.count == 10
    with pytest.raises(ProfileError, match=r"none\.json: cannot be read: No such file"):
        Profile.load(tmp_path / "none.json")


def test_no_traffic_at_all() -> None:
    nothing = Profile.from_bytes(b'{"kind":"rapide-profile","schema":1,"workers":2,"models":[]}')
    assert nothing.models == ()
    with pytest.raises(ProfileError, match="does not know cars; it knows: none"):
        nothing.find("cars")


def test_a_model_that_nobody_asked() -> None:
    known = profile(Arrivals(np.empty(0), np.empty(0))).find("cars")
    with pytest.raises(ProfileError, match="at least 1 recorded arrival to replay, got 0"):
        known.exact()
    with pytest.raises(ProfileError, match="at least 2 recorded arrivals to imitate, got 0"):
        known.twin(0, 1.0)


def test_one_request() -> None:
    known = profile(poisson(1, 1)).find("cars")
    assert known.exact().count == 1
    with pytest.raises(ProfileError, match="at least 2 recorded arrivals to imitate, got 1"):
        known.twin(0, 1.0)


def test_all_at_one_instant() -> None:
    known = profile(Arrivals(np.zeros(5), np.ones(5))).find("cars")
    assert known.exact().count == 5
    with pytest.raises(ProfileError, match="at one instant: no gap to imitate"):
        known.twin(0, 1.0)


def test_find_prefers_the_version_that_was_asked_most() -> None:
    both = profile(poisson(5, 10), "1").merge([profile(poisson(5, 20), "2")])
    assert both.find("cars").version == "2"
    assert both.find("cars", "1").version == "1"
    with pytest.raises(ProfileError, match="does not know cars version 3; it knows: cars version 1, "):
        both.find("cars", "3")


Change = Callable[[dict[str, Any]], object]


def _set(*path: str | int, to: Any) -> Change:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = to

    return change


ARRIVALS = ("models", 0, "arrivals")
WRONG: dict[str, tuple[Change, str]] = {
    "another kind": (_set("kind", to="rapide-manifest"), 'kind: expected "rapide-profile", got'),
    "newer": (_set("schema", to=SCHEMA + 1), f"schema: expected {SCHEMA}, got {SCHEMA + 1}. Read it with"),
    "schema as text": (_set("schema", to="1"), "schema: expected a whole number that is not negative, got '1'"),
    "models no list": (_set("models", to={}), "models: expected a list, got an object with no keys"),
    "model a number": (_set("models", 0, to=7), r"models\[0\]: expected an object, got 7"),
    "count negative": (_set(*ARRIVALS, "count", to=-1), r"arrivals\.count: expected a whole number"),
    "count a truth": (_set(*ARRIVALS, "count", to=True), r"arrivals\.count: expected a whole number"),
    "count too small": (_set(*ARRIVALS, "count", to=3), r"offsets_us: expected at least one arrival and no more"),
    "rows too short": (_set(*ARRIVALS, "recent", "rows", to=[1]), r"recent\.rows: expected 10 numbers, got 1"),
    "offsets back": (_set(*ARRIVALS, "recent", "offsets_us", 5, to=0), "expected offsets that never go back"),
    "offset a text": (_set(*ARRIVALS, "recent", "offsets_us", 5, to="x"), r"offsets_us\[5\]: expected a whole"),
    "no time": (_set(*ARRIVALS, "first", to="yesterday"), "first: expected a time such as 2026-11-20T10:00:00Z"),
    "half a week": (_set(*ARRIVALS, "hour_of_week", to=[1] * 84), "hour_of_week: expected 168 numbers, got 84"),
    "edge unknown": (_set("models", 0, "rows", "bins", to=[[1.5, 1]]), r"rows\.bins\[0\]\[0\]: expected an edge"),
    "bin of three": (_set("models", 0, "rows", "bins", to=[[1, 1, 1]]), r"rows\.bins\[0\]: expected \[upper edge"),
    "a time before all": (
        _set(*ARRIVALS, "first", to="0001-01-01T00:00:00+23:59"),
        "first: expected a time from 1970 to 2999, got '0001-01-01T",
    ),
    "a time after all": (_set(*ARRIVALS, "last", to="9999-12-31T23:59:59-23:59"), "last: expected a time from 1"),
    "a name that moves the cursor": (
        _set("models", 0, "model", to="\x1b[2Jcars"),
        r"model: expected a text without control characters, got '\\x1b\[2Jcars'",
    ),
    "half a sign": (_set("models", 0, "version", to="\ud800"), "version: expected a text without control char"),
    "an ending that moves it": (
        _set("models", 0, "requests", to={"a\nb": 1}),
        r"requests: expected keys without control characters, got 'a\\nb'",
    ),
    "sum beyond floats": (_set("models", 0, "rows", "sum", to=10**400), r"rows\.sum: expected a finite number"),
    "sum not finite": (_set("models", 0, "rows", "sum", to=float("nan")), r"rows\.sum: expected a finite number"),
    "batch without a cost": (
        lambda document: document["models"][0]["batches"][0].pop("compute_s"),
        r"batches\[0\]\.compute_s: expected a value, got no such key",
    ),
    "workers missing": (lambda document: document.pop("workers"), "workers: expected a value, got no such key"),
    "twice": (lambda document: document["models"].append(document["models"][0]), "expected each version once"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_place(name: str) -> None:
    change, message = WRONG[name]
    found = json.loads(document(poisson(5, 10)))
    change(found)
    with pytest.raises(ProfileError, match=message) as caught:
        Profile.from_bytes(json.dumps(found).encode(), "p.json")
    assert str(caught.value).startswith("p.json: ")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a usage profile, got an empty file"),
        (b"  \n", "expected a usage profile, got an empty file"),
        (b"[1]", 'kind: expected "rapide-profile", got a list of 1'),
        (b"\xff\xfe\x00x", "expected JSON in UTF-8, got other bytes"),
        (b'{"kind": oops}', "column 10: expected JSON, got expecting value at line 1"),
        (b"[" * 100_000, "nested without end"),
        (b'{"schema": ' + b"1" * 5000 + b"}", "got a number of thousands of digits"),
    ],
)
def test_what_is_no_profile_is_told(data: bytes, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        Profile.from_bytes(data)


def test_wherever_it_is_cut_it_is_told() -> None:
    data = document(poisson(5, 10))
    for end in range(1, len(data), 97):
        with pytest.raises(ProfileError, match="profile: "):
            Profile.from_bytes(data[:end])
    for end in (100, len(data) // 2, len(data) - 10):
        if not data[:end].endswith(b"}"):
            with pytest.raises(ProfileError, match="expected JSON, got a file that ends too early"):
                Profile.from_bytes(data[:end])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.data(),
)
def test_a_value_of_any_kind_anywhere_is_read_or_told(value: Any, data: st.DataObject) -> None:
    """No other exception than ProfileError, whatever stands anywhere."""
    found = json.loads(SMALL)
    place: Any = found
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    try:
        known = Profile.from_bytes(json.dumps(found).encode())
        known.to_bytes()
    except ProfileError:
        pass


SMALL = document(poisson(5, 3))


def test_merging_is_as_if_one_server_had_seen_all() -> None:
    whole = poisson(100, 2000)
    parts = [Arrivals(whole.instants_s[index::3], whole.rows[index::3]) for index in range(3)]
    merged = profile(parts[0]).merge([profile(part) for part in parts[1:]])
    known, truth = merged.find("cars"), profile(whole).find("cars")
    assert merged.workers == 3
    assert known.requests == truth.requests
    assert known.arrivals.count == truth.arrivals.count
    assert (known.arrivals.first_s, known.arrivals.last_s) == (truth.arrivals.first_s, truth.arrivals.last_s)
    assert np.allclose(known.exact().instants_s, truth.exact().instants_s, atol=2e-6)
    assert known.exact().rows.tolist() == truth.exact().rows.tolist()
    assert known.arrivals.seconds.tolist() == truth.arrivals.seconds.tolist()
    assert known.arrivals.hour_of_week.tolist() == truth.arrivals.hour_of_week.tolist()
    assert known.rows.counts.tolist() == truth.rows.counts.tolist()
    assert [(b.rows, b.runs) for b in known.batches] == [(b.rows, b.runs) for b in truth.batches]
    assert sum(mix.requests for mix in known.encodings) == 2000
    again = Profile.from_bytes(merged.to_bytes())
    assert again.to_bytes() == merged.to_bytes()


def test_merging_begins_where_nobody_has_forgotten() -> None:
    """One host remembers the last 4,095 of 6,000 arrivals, the other all of its ten."""
    busy, calm = profile(poisson(100, 6000)), profile(poisson(1, 60))
    merged = busy.merge([calm]).find("cars").arrivals
    assert merged.count == 6060
    assert merged.recent_start_s == busy.find("cars").arrivals.recent_start_s
    assert merged.has_forgotten


def test_merging_with_nothing_changes_nothing() -> None:
    one = profile(poisson(5, 10))
    merged = one.merge([profile(Arrivals(np.empty(0), np.empty(0)))])
    assert merged.find("cars").arrivals.count == 10
    assert merged.merge([]).to_bytes() == merged.to_bytes()


def test_different_models_under_one_name_are_not_merged() -> None:
    with pytest.raises(ProfileError, match="not the same model in all profiles: its digests are sha256:a, "):
        profile(poisson(5, 10), digest="sha256:a").merge([profile(poisson(5, 10), digest="sha256:b")])


def test_a_synthetic_profile_is_a_document_like_any_other() -> None:
    made = synthetic("burst", model="cars", rate_per_s=100, duration_s=30, rows=4)
    again = Profile.from_bytes(made.to_bytes())
    assert equal(json.loads(again.to_bytes()), json.loads(made.to_bytes()))
    assert set(again.find("cars").exact().rows.tolist()) == {4}
