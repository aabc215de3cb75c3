"""The steps of a tuning, without servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.tuning.configuration import default_configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve_child import entry_of
from rapide.tuning.found import Found, Request, setting_of
from rapide.tuning.search import judge, window
from rapide.tuning.slo import Slo
from rapide.tuning.tune import _predict
from tests import models
from tests.tuning.curves_of import curve_of


def test_predicted_is_what_all_of_the_replay_gives_and_not_its_busiest_moments(tmp_path: Path) -> None:
    root = models.repository(tmp_path / "models", {"m": {1: models.linear()}})
    random = np.random.default_rng(0)
    gaps_s = np.concatenate([random.exponential(1 / 8000, 600), random.exponential(1 / 200, 900)])
    request = Request(
        models=str(root),
        entry=entry_of(str(root), "m", 1),
        arrivals=Arrivals(np.cumsum(gaps_s), np.full(len(gaps_s), 1)),
        slo=Slo.parse("p50<50ms"),
        objective="latency",
        cpus=(0, 1),
        folder=tmp_path,
    )
    default = default_configuration(2)
    found = Found(request, curves=[curve_of(lambda rows: 400.0 * rows)], costs=Costs(), default=default)
    setting = setting_of(found)
    searched = judge(default, replace(setting, arrivals=window(request.arrivals, 500)))
    found.candidates = [searched]
    _predict(found, setting, [])
    (predicted,) = found.candidates
    assert predicted.outcome.latency_s.size == request.arrivals.count
    assert predicted.percentile_s(50) < searched.percentile_s(50) / 2
    assert predicted.score == searched.score, "who is proven was found by the busiest moments"
