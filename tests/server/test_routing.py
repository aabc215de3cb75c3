"""Who answers: by number, by label, by share; and who stays where when shares change."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import InvalidRequest, NotFound, RapideError, Unavailable
from rapide.server.repository.activations import LabelTarget
from rapide.server.routing import ModelTargets, Route, Router, place

KEYS = [f"user-{number}" for number in range(4000)]


def router(
    *versions: int, labels: Mapping[str, LabelTarget] | None = None, name: str = "car-price"
) -> Router[str]:
    """Version 3's target is ``"v3"``."""
    return Router({name: ModelTargets({version: f"v{version}" for version in versions}, labels or {})})


def canary(percent: float, stable: int = 1, version: int = 2) -> dict[str, LabelTarget]:
    return {"stable": LabelTarget(stable), "canary": LabelTarget(version, percent)}


LABELLED = router(1, 2, 3, labels={**canary(10.0), "previous": LabelTarget(1)})


@pytest.mark.parametrize(
    ("ask", "route"),
    [
        ({"version": "1"}, Route("v1", "")),
        ({"version": "3"}, Route("v3", "")),
        ({"label": "canary"}, Route("v2", "canary")),
        ({"label": "previous"}, Route("v1", "previous")),
        ({"label": "canary", "version": "2"}, Route("v2", "canary")),
        ({"random": 0.0}, Route("v1", "stable")),
        ({"random": 0.899}, Route("v1", "stable")),
        ({"random": 0.901}, Route("v2", "canary")),
        ({"random": math.nextafter(1.0, 0.0)}, Route("v2", "canary")),
        ({"label": "stable", "random": 0.95}, Route("v1", "stable")),
    ],
    ids=str,
)
def test_resolve(ask: dict[str, object], route: Route[str]) -> None:
    assert LABELLED.resolve("car-price", **ask) == route  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        ({"model": "bike-price"}, NotFound, "there is no model 'bike-price' here. Models here: car-price."),
        ({"version": "9"}, NotFound, "model 'car-price' has no version '9' here. Versions here: 3, 2, 1."),
        ({"version": "01"}, NotFound, "no version '01'"),
        ({"version": "latest"}, NotFound, "no version 'latest'"),
        ({"label": "cnary"}, NotFound, "no label 'cnary'. Labels here: canary, previous, stable."),
        ({"label": "canary", "version": "1"}, InvalidRequest, "label 'canary' of model 'car-price' does not mean"),
        ({"label": "canary", "version": "9"}, NotFound, "no version '9'"),
    ],
    ids=str,
)
def test_errors_name_what_exists(ask: dict[str, str], error: type[RapideError], text: str) -> None:
    with pytest.raises(error) as caught:
        LABELLED.resolve(**{"model": "car-price", **ask})
    assert text in str(caught.value)


def test_errors_list_at_most_eight_names() -> None:
    many = Router({f"m{number:02}": ModelTargets({1: "v1"}, {}) for number in range(20)})
    with pytest.raises(NotFound, match=r"m00, m01, m02, m03, m04, m05, m06, m07 and 12 more\.$"):
        many.resolve("x" * 10_000)
    with pytest.raises(NotFound, match=r"Models here: none\.$"):
        Router[str]({}).resolve("x")


def test_without_labels_the_highest_version_answers() -> None:
    assert router(1, 10, 9).resolve("car-price", random=0.5) == Route("v10", "")


def test_a_label_without_a_weight_takes_nobody() -> None:
    labelled = router(1, 2, labels={"stable": LabelTarget(1), "next": LabelTarget(2)})
    assert {labelled.resolve("car-price", user_key=key).target for key in KEYS[:100]} == {"v1"}


class TestWhatIsNotLoaded:
    def test_a_label_says_so(self) -> None:
        with pytest.raises(Unavailable, match="label 'canary' of model 'car-price' means version 2, which is not"):
            router(1, labels=canary(10.0)).resolve("car-price", label="canary")

    def test_a_canarys_share_falls_to_stable(self) -> None:
        assert router(1, labels=canary(10.0)).resolve("car-price", random=0.99) == Route("v1", "stable")

    def test_stables_share_stays_its_own(self) -> None:
        broken = router(2, labels=canary(10.0))
        assert broken.resolve("car-price", random=0.95) == Route("v2", "canary")
        with pytest.raises(Unavailable, match="label 'stable' of model 'car-price' means version 1"):
            broken.resolve("car-price", random=0.5)

    def test_a_model_without_versions_is_unavailable(self) -> None:
        with pytest.raises(Unavailable, match="model 'car-price' has no version loaded"):
            router().resolve("car-price")


def test_what_is_loaded_can_be_listed() -> None:
    assert dict(LABELLED.model("car-price").versions) == {1: "v1", 2: "v2", 3: "v3"}
    assert list(LABELLED.models) == ["car-price"]
    with pytest.raises(NotFound, match="Models here: car-price"):
        LABELLED.model("bike-price")


def test_places_are_the_same_in_every_process_and_release() -> None:
    """Changing the hash would move every user. Computed with ``printf 'car-price\\0user-1' | b2sum -l 64``."""
    assert place("car-price", "user-1") == 0.7739898274886459
    assert place("car-price", "user-2") == 0.4909051239587674
    assert place("bike-price", "user-1") == 0.08080711950105224


@given(st.text(), st.text())
def test_every_key_has_a_place(model: str, key: str) -> None:
    assert 0.0 <= place(model, key) < 1.0


@given(percent=st.floats(0.0, 100.0), more=st.floats(0.0, 100.0), key=st.text(min_size=1))
def test_raising_the_share_moves_nobody_off_the_canary(percent: float, more: float, key: str) -> None:
    low, high = sorted((percent, more))
    before = router(1, 2, labels=canary(low)).resolve("car-price", user_key=key)
    after = router(1, 2, labels=canary(high)).resolve("car-price", user_key=key)
    assert before.label != "canary" or after.label == "canary"


@given(percent=st.floats(0.0, 100.0), key=st.text(min_size=1))
def test_taking_the_canary_away_moves_its_users_only(percent: float, key: str) -> None:
    before = router(1, 2, labels=canary(percent)).resolve("car-price", user_key=key)
    after = router(1, 2, labels={"stable": LabelTarget(1)}).resolve("car-price", user_key=key)
    assert after == Route("v1", "stable")
    assert before == after or before.label == "canary"


@given(key=st.text(min_size=1), randoms=st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=5))
def test_a_user_stays_where_they_are_whatever_chance_says(key: str, randoms: list[float]) -> None:
    routes = [LABELLED.resolve("car-price", user_key=key, random=random) for random in randoms]
    assert routes.count(routes[0]) == len(routes)


@pytest.mark.parametrize(
    "weights", [{"canary": 10.0}, {"canary": 1.0, "blue": 30.0}, {"a": 33.3, "b": 33.3, "c": 33.4}], ids=str
)
def test_shares_are_what_the_weights_say(weights: dict[str, float]) -> None:
    """Within four standard deviations of a binomial: this hash and these keys are fixed, so it cannot flicker."""
    labels = {label: LabelTarget(2, weight) for label, weight in weights.items()} | {"stable": LabelTarget(1)}
    shared = router(1, 2, labels=labels)
    found = Counter(shared.resolve("car-price", user_key=key).label for key in KEYS)
    for label, weight in {**weights, "stable": 100.0 - sum(weights.values())}.items():
        share = weight / 100.0
        expected, deviation = len(KEYS) * share, math.sqrt(len(KEYS) * share * (1 - share) + 1e-9)
        assert abs(found[label] - expected) <= 4 * deviation + 1e-3, (label, found)


def test_models_do_not_share_their_users_fate() -> None:
    """Else the same few users would be on the canary of every model."""
    models = {name: ModelTargets({1: "v1", 2: "v2"}, canary(10.0)) for name in ("a", "b")}
    both = Router(models)
    on_a = {key for key in KEYS if both.resolve("a", user_key=key).label == "canary"}
    on_b = {key for key in KEYS if both.resolve("b", user_key=key).label == "canary"}
    assert len(on_a & on_b) < len(on_a) * 0.2
