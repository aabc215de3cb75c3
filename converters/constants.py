"""``--constant``: the files that stand for a model and a sample which do not exist yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rapide.converters.options import ConvertOptions

SUFFIX = ".constant"


def placed(options: ConvertOptions, folder: Path) -> ConvertOptions:
    """``options`` with the constant in a file of ``folder``; without a sample, a table of one column ``x``."""
    if not options.constant:
        return options
    model = folder / f"model{SUFFIX}"
    model.write_text(options.constant, encoding="utf-8")
    sample = options.sample
    if sample is None:
        sample = folder / "sample.csv"
        sample.write_text("x\n" + "".join(f"{number}.5\n" for number in range(8)), encoding="utf-8")
    return replace(options, model=model, sample=sample)
