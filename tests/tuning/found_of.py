"""What a tuning has found out, made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rapide.profiles.synthetic import synthetic_arrivals
from rapide.tuning.configuration import default_configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve_child import entry_of
from rapide.tuning.found import Found, Request
from rapide.tuning.proof import Measured, Proof
from rapide.tuning.slo import Slo
from tests import models
from tests.tuning.curves_of import curve_of

DEFAULT = default_configuration(2)


def found_of(
    tmp_path: Path,
    slo: str,
    *,
    run_us: float = 50.0,
    p99_s: float = 0.004,
    limited: str = "",
    rate_per_s: float = 100.0,
) -> Found:
    root = models.repository(tmp_path / "models", {"m": {1: models.linear()}})
    request = Request(
        models=str(root),
        entry=entry_of(str(root), "m", 1),
        arrivals=synthetic_arrivals("steady", rate_per_s=rate_per_s, duration_s=2),
        slo=Slo.parse(slo),
        objective="latency",
        cpus=(0, 1),
        folder=tmp_path,
    )
    measured = Measured(np.full(100, p99_s), 0.1, 1, limited)
    return Found(
        request,
        curves=[curve_of(lambda rows: run_us * rows)],
        costs=Costs(network_us=50.0),
        proofs=[Proof(DEFAULT, (measured,))],
        chosen=DEFAULT,
        default=DEFAULT,
    )
