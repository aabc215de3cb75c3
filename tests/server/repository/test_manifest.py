from __future__ import annotations

import contextlib
import json
import math
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import BrokenVersion
from rapide.server.repository.activations import Activation
from rapide.server.repository.fields import FieldError
from rapide.server.repository.manifest import Feature, FileRecord, Kind, Manifest, Prediction, read_manifest
from tests.server.repository.examples import SIGNATURE

RECORD = FileRecord("a" * 64, 12)
MANIFEST = Manifest(
    model="car-price",
    version=3,
    created="2024-11-20T10:00:00Z",
    files={"model.onnx": RECORD, "golden.npz": FileRecord("b" * 64, 7)},
    signature=SIGNATURE,
    features=(
        Feature("make", "make", None, "text", False, ("Ford", "Škoda"), missing=""),
        Feature("mileage", "numbers", 0, "number", False, unit="km", missing=math.nan),
        Feature("year", "numbers", 1, "integer", True),
    ),
    predictions=(Prediction("price", "variable", 0, "number", unit="€"),),
    lineage={"git": {"commit": "abc"}},
    quality={"r2": 0.9},
    description="What a used car is worth.",
    parent=2,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
KINDS: st.SearchStrategy[Kind] = st.sampled_from(get_args(Kind))


@st.composite
def features(draw: st.DrawFn) -> Feature:
    kind = draw(KINDS)
    numbers = st.floats(allow_infinity=False, allow_nan=False) | st.just(math.nan)
    missing: float | str | None = draw(st.none() | TEXT if kind == "text" else st.none() | numbers)
    column = draw(st.none() | st.integers(0, 99))
    names = draw(st.lists(TEXT, max_size=3)) if kind == "text" else []
    return Feature(draw(TEXT), draw(TEXT), column, kind, draw(st.booleans()), tuple(names), draw(TEXT), missing)


@given(st.lists(features(), max_size=4), TEXT, st.none() | st.integers(1, 9))
def test_what_is_written_is_read(features: list[Feature], description: str, parent: int | None) -> None:
    manifest = Manifest(
        "m", 1, "2024-11-20T10:00:00.5Z", {"model.onnx": RECORD}, SIGNATURE, tuple(features),
        description=description, parent=parent, quality={description: [1.5, None, {"a": True}]},
    )  # fmt: skip
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_the_digest_is_the_model_files() -> None:
    assert MANIFEST.digest == "sha256:" + "a" * 64


def test_nothing_but_json_can_be_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Manifest("m", 1, MANIFEST.created, {"model.onnx": RECORD}, SIGNATURE, quality={"r2": math.nan}).to_bytes()


WRONG: list[tuple[str, Any, str]] = [
    ("schema", 2, "schema 2; this rapide reads schema 1: upgrade it"),
    ("schema", "1", "'schema' must be an integer"),
    ("schema", None, "'schema' must be an integer"),
    ("model", "../evil", "'model' must be a model's name"),
    ("model", 3, "'model' must be text"),
    ("version", 0, "'version' must be an integer of 1 or more"),
    ("version", True, "'version' must be an integer of 1 or more"),
    ("version", "3", "'version' must be an integer"),
    ("created", "yesterday", "'created' must be a time"),
    ("created", "0001-01-01T00:00:00+23:00", "'created' must be a time"),
    ("files", [], "'files' must be an object"),
    ("files", {}, "'files' does not name model.onnx"),
    ("files", {"model.onnx": 3}, "'files.model.onnx' must be an object"),
    ("files", {"model.onnx": {"sha256": "xyz", "bytes": 1}}, "must be 64 lower-case hex digits"),
    ("files", {"model.onnx": {"sha256": "a" * 64, "bytes": -1}}, "'files.model.onnx.bytes' must be an integer"),
    ("files", {"../model.onnx": RECORD.to_json()}, "no plain path inside the version's folder"),
    ("files", {"/etc/passwd": RECORD.to_json()}, "no plain path inside the version's folder"),
    ("files", {"manifest.json": RECORD.to_json()}, "no plain path inside the version's folder"),
    ("signature", None, "'signature' must be an object"),
    ("signature", {"inputs": []}, "'signature' lacks 'outputs'"),
    ("signature", {"inputs": 3, "outputs": [], "batchable": True}, "'signature' is malformed"),
    ("signature", {"inputs": [3], "outputs": [], "batchable": True}, "'signature' is malformed"),
    (
        "signature",
        {"inputs": [{"name": "x", "datatype": "FP31", "shape": [1]}], "outputs": [], "batchable": True},
        "datatype 'FP31' is unknown",
    ),
    ("features", {}, "'features' must be a list"),
    ("features", ["make"], r"'features\[0\]' must be an object, not 'make'"),
    ("features", [{"name": "make"}], r"'features\[0\].kind' is missing"),
    (
        "features",
        [{"name": "a", "input": "a", "column": "0", "kind": "text", "required": True}],
        r"'features\[0\].column' must be an integer of 0 or more",
    ),
    (
        "features",
        [{"name": "a", "input": "a", "column": 0, "kind": "number", "required": True, "missing": "zero"}],
        r"'features\[0\].missing' must be a finite number",
    ),
    ("predictions", [{"name": "p", "output": "y", "kind": "float"}], "must be one of number, integer"),
    ("predictions", [{"name": 1, "output": "y", "kind": "text"}], r"'predictions\[0\].name' must be text"),
    ("lineage", "by hand", "'lineage' must be an object"),
    ("quality", [1], "'quality' must be an object"),
    ("description", 3, "'description' must be text"),
    ("parent", 0, "'parent' must be an integer of 1 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "complaint"), WRONG)
def test_a_wrong_field_is_named(key: str, value: Any, complaint: str) -> None:
    with pytest.raises(FieldError, match=complaint):
        Manifest.from_json({**MANIFEST.to_json(), key: value})


@pytest.mark.parametrize("key", ["schema", "model", "version", "created", "files", "signature"])
def test_a_missing_field_is_named(key: str) -> None:
    raw = MANIFEST.to_json()
    del raw[key]
    with pytest.raises(FieldError, match=f"'{key}' is missing"):
        Manifest.from_json(raw)


def test_fields_of_later_days_are_passed_over() -> None:
    assert Manifest.from_json({**MANIFEST.to_json(), "colour": "red"}) == MANIFEST


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(MANIFEST.to_json())), JSON)
def test_any_value_in_any_field_is_read_or_refused(key: str, value: Any) -> None:
    with contextlib.suppress(FieldError):
        Manifest.from_json({**MANIFEST.to_json(), key: value})


def test_reading_from_a_folder(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    (tmp_path / "manifest.json").write_bytes(MANIFEST.to_bytes())
    assert read_manifest(tmp_path) == MANIFEST
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(BrokenVersion, match=r"manifest.json cannot be used: 'model' is missing"):
        read_manifest(tmp_path)


def test_the_reference_page_shows_what_is_true() -> None:
    """Its examples are read as they stand there, and it names every field that is written."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "manifest.md").read_text()
    manifest, variants, line = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shown = Manifest.from_bytes(manifest.encode())
    assert json.loads(manifest) == shown.to_json()
    assert Activation.from_line(line.encode()).to_line() == line.encode()
    raw = {**shown.to_json(), **json.loads(f"{{{variants}}}")}
    raw["files"]["variants/original.onnx"] = RECORD.to_json()
    assert Manifest.from_json(raw).to_json() == raw
    fields = {*raw, *shown.features[0].to_json(), *shown.predictions[0].to_json(), *json.loads(line)}
    fields |= raw["variants"][0].keys()
    assert {field for field in fields if f"`{field}`" not in page} == set()
