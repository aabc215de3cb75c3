"""Texts become token ids, by the tokenizer that lies beside the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import AutoTokenizer

from rapide.converters.errors import ConversionError
from rapide.converters.sources.hugging_face.folder import ModelFolder
from rapide.converters.sources.hugging_face.network import IDS, MASK
from rapide.server.tensors import Array


def token_rows(folder: ModelFolder, texts: Sequence[str], length: int | None = None) -> dict[str, Array]:
    """``input_ids`` and ``attention_mask``, int64 [texts, tokens]: as long as the longest text and at most
    ``folder.max_length``, or all of ``length``. Raises ConversionError where there is no tokenizer."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder.path), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConversionError(
            f"{folder.path.name} has no tokenizer that can be loaded, so texts cannot be its sample",
            hint=f"Give the sample as token ids: numpy.savez('rows.npz', {IDS}=…, {MASK}=…).",
        ) from error
    rows = tokenizer(
        list(texts),
        padding="longest" if length is None else "max_length",
        truncation=True,
        max_length=length or folder.max_length,
        return_tensors="np",
    )
    return {name: np.asarray(rows[name], dtype=np.int64) for name in (IDS, MASK)}
