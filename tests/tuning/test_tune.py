"""The steps of a tuning, without servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rapide.profiles.arrivals import Arrivals
from rapide.tuning import tune
from rapide.tuning.budget import never
from rapide.tuning.configuration import default_configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve_child import entry_of
from rapide.tuning.curves import Curves
from rapide.tuning.found import Found, Request, setting_of
from rapide.tuning.learnt import Learnt
from rapide.tuning.search import judge, window
from rapide.tuning.served import Site
from rapide.tuning.slo import Slo
from rapide.tuning.traffic import MOST_REQUESTS
from rapide.tuning.tune import _predict, _Steps
from tests import models
from tests.tuning.curves_of import curve_of


def request_in(folder: Path) -> Request:
    root = models.repository(folder / "models", {"m": {1: models.linear()}})
    random = np.random.default_rng(0)
    gaps_s = np.concatenate([random.exponential(1 / 8000, 600), random.exponential(1 / 200, 900)])
    return Request(
        models=str(root),
        entry=entry_of(str(root), "m", 1),
        arrivals=Arrivals(np.cumsum(gaps_s), np.full(len(gaps_s), 1)),
        slo=Slo.parse("p50<50ms"),
        objective="latency",
        cpus=(0, 1),
        folder=folder / "tuning",
    )


def quiet_steps() -> _Steps:
    return _Steps(lambda _text, _share: None)


def test_predicted_is_what_all_of_the_replay_gives_and_not_its_busiest_moments(tmp_path: Path) -> None:
    request, default = request_in(tmp_path), default_configuration(2)
    found = Found(request, curves=[curve_of(lambda rows: 400.0 * rows)], costs=Costs(), default=default)
    setting = replace(setting_of(found), most_requests=MOST_REQUESTS)
    searched = judge(default, replace(setting, arrivals=window(request.arrivals, 500)))
    found.candidates = [searched]
    _predict(found, setting, [])
    (predicted,) = found.candidates
    assert predicted.outcome.latency_s.size == request.arrivals.count
    assert predicted.percentile_s(50) < searched.percentile_s(50) / 2
    assert predicted.score == searched.score, "who is proven was found by the busiest moments"


def test_what_was_measured_when_somebody_presses_ctrl_c_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_in(tmp_path)
    first = curve_of(lambda rows: 10.0 + rows)

    def interrupted(subject: Any, cores: int, measure: Any, known: Curves, on_step: Any, over: Any) -> None:
        on_step("measuring", 0.0)
        known.done[first.knobs] = first
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "explore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune._measure(request, Found(request), Learnt(), quiet_steps(), never)
    assert list(Learnt.load(request.learnt_path).curves.done.values()) == [first]


@pytest.mark.parametrize("is_over", [True, False])
def test_costs_that_there_was_no_time_to_fit_are_used_once_and_that_is_said(
    is_over: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_in(tmp_path)
    found, learnt = Found(request, curves=[curve_of(lambda rows: 10.0 + rows)]), Learnt()
    asked: list[Costs] = []

    def fitted(*_: Any, **__: Any) -> Costs:
        asked.append(Costs())
        return asked[-1]

    monkeypatch.setattr(tune.calibration, "observe", lambda *_: [])
    monkeypatch.setattr(tune.fitting, "fit", fitted)
    site = Site(request.models, "m", 1, request.digest, request.cpus, None)
    for _ in range(2):
        tune._calibrate(request, found, learnt, site, quiet_steps(), lambda: is_over)
    assert found.costs is not None
    assert len(asked) == (2 if is_over else 1)
    assert ["no time to fit" in note for note in found.notes] == ([True, True] if is_over else [])
