"""Small tables to train on, one for each mixture of column kinds, and the way from an estimator to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from rapide.converters.convert import Published, convert
from rapide.converters.options import ConvertOptions
from rapide.converters.sandbox import SandboxMaker
from tests.converters.in_process import InProcess, trial_in_process

ROWS = 120
TARGET = "target"


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def floats(rows: int = ROWS) -> Any:
    """Three float columns; short decimals, as people write them, which float32 does not hold exactly."""
    return pd.DataFrame(np.round(random().normal(size=(rows, 3)), 2), columns=["width", "height", "depth"])


def cars(rows: int = ROWS) -> Any:
    """Text, integer, boolean and float columns; some texts and floats are missing."""
    generator = random(1)
    frame = pd.DataFrame(
        {
            "make": generator.choice(["Ford", "VW", "Škoda"], rows),
            "fuel": generator.choice(["petrol", "diesel"], rows).astype(object),
            "year": generator.integers(2000, 2025, rows),
            "automatic": generator.random(rows) < 0.4,
            "mileage": np.round(generator.normal(60_000, 20_000, rows), 1),
        }
    )
    frame.loc[generator.random(rows) < 0.15, "fuel"] = None
    frame.loc[generator.random(rows) < 0.15, "mileage"] = np.nan
    return frame


def price(frame: Any) -> Any:
    """A number that depends on every column of ``cars``."""
    return (
        frame["year"] * 100.0
        - frame["mileage"].fillna(50_000.0) * 0.02
        + frame["make"].map({"Ford": 0.0, "VW": 300.0, "Škoda": 100.0})
        + frame["automatic"] * 250.0
    )


def two_classes(frame: Any) -> Any:
    return (frame.sum(axis=1) > 0).astype(int)


def three_classes(frame: Any) -> Any:
    return pd.cut(frame.sum(axis=1), [-np.inf, -0.6, 0.6, np.inf], labels=False).astype(int)


def saved(
    folder: Path, estimator: Any, features: Any, target: Any = None, *, fit: bool = True
) -> tuple[Path, Path]:
    """Fits (unless told not to), and writes model and sample. Returns their paths."""
    if fit:
        estimator.fit(features, target)
    rows = features if target is None else features.assign(**{TARGET: target})
    model, sample = folder / "model.joblib", folder / "sample.parquet"
    joblib.dump(estimator, model)
    rows.to_parquet(sample)
    return model, sample


def converted(
    folder: Path,
    estimator: Any,
    features: Any,
    target: Any = None,
    *,
    fit: bool = True,
    sandbox: SandboxMaker | None = None,
    **options: Any,
) -> Published:
    """Fits, saves, converts and publishes into ``folder/models`` as ``subject``."""
    model, sample = saved(folder, estimator, features, target, fit=fit)
    chosen = ConvertOptions(
        model=model,
        sample=sample,
        repository=folder / "models",
        name="subject",
        target=TARGET if target is not None else "",
        **options,
    )
    return convert(chosen, lambda kind, text: None, sandbox=sandbox or InProcess(), trial=trial_in_process)
