"""Files of the libraries' own, which hold trees and no code."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rapide.converters.channel import Channel
from rapide.converters.sources.boosters.table import BOOSTERS, Booster
from rapide.converters.sources.contract import Original
from rapide.converters.sources.scikit_learn.original import SklearnOriginal


def open_original(job: Mapping[str, Any], sample: Any, channel: Channel) -> Original:
    """The model in ``job["model"]``, of the library that the source is called after. Raises ConversionError."""
    path = Path(job["model"])
    channel.step(f"reading the {job['source']} model")
    booster = cast("Booster", importlib.import_module(BOOSTERS[job["source"].lower()]))
    estimator = booster.opened(path)
    channel.step("comparing the model with the sample")
    return SklearnOriginal(estimator, {}, sample, job, channel)
