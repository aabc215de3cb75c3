"""What scikit-learn and the runtime's tokenizer take for words: the same, or it is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from sklearn.feature_extraction.text import CountVectorizer

from rapide.converters.sources.scikit_learn.words import word_expression

PATTERNS = [r"(?u)\b\w\w+\b", r"\w+", r"(?u)\b\w+\b", r"\b\w{2,}\b", r"\w\w{3,}", r"\S+", r"[^ ,]+", r"[a-zà-ÿ]+"]


def tokenizer(expression: str) -> Any:
    node = helper.make_node(
        "Tokenizer",
        ["x"],
        ["y"],
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value="#",
        tokenexp=expression,
    )
    text = helper.make_tensor_value_info("x", TensorProto.STRING, [1])
    words = helper.make_tensor_value_info("y", TensorProto.STRING, [1, None])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "words", [text], [words])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=200)
@given(text=st.text(st.characters(max_codepoint=0x2FFF, exclude_characters="\0#"), min_size=1, max_size=12))
def test_the_same_words(pattern: str, text: str) -> None:
    expression = word_expression(pattern)
    assert expression is not None
    found = tokenizer(expression).run(None, {"x": np.array([text], dtype=object)})[0].ravel().tolist()
    expected = CountVectorizer(token_pattern=pattern).build_tokenizer()(text)
    assert [word for word in found if word != "#"] == expected


@pytest.mark.parametrize(
    "pattern", [r"\b[^\d\W]+\b", r"\w", r"\w*", r"(?:a|b)+", r"(\w+)@", r"\d+", r"[\w-]+", r"(?i)a+", r"\w{2,5}"]
)
def test_what_cannot_be_said_to_the_tokenizer(pattern: str) -> None:
    assert word_expression(pattern) is None
