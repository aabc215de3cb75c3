"""Variants: what a manifest may say of them, and which one a processor loads."""

from __future__ import annotations

from typing import Any

import pytest

from rapide.server.errors import BrokenVersion
from rapide.server.repository.fields import FieldError
from rapide.server.repository.manifest import Manifest
from rapide.server.repository.variant import Variant, choose_variant
from tests.server.repository.test_manifest import MANIFEST, RECORD

VNNI = "avx512_vnni|avx_vnni"
INT8 = Variant(
    "int8",
    "model.onnx",
    True,
    {"method": "dynamic int8", "per_channel": True},
    12,
    3.5,
    1000,
    {1: 5.5, 32: 60.0},
    {"cosine": 0.995, "rows": 40},
    {"relative": 0.0, "absolute": 0.1},
    (VNNI,),
)
ORIGINAL = Variant("original", "variants/original.onnx", False)
FILES = {"model.onnx": RECORD, "variants/original.onnx": RECORD}
RAW: dict[str, Any] = {
    **MANIFEST.to_json(),
    "files": {name: record.to_json() for name, record in FILES.items()},
    "variants": [INT8.to_json(), ORIGINAL.to_json()],
}


def test_what_is_written_is_read() -> None:
    manifest = Manifest.from_json(RAW)
    assert manifest.variants == (INT8, ORIGINAL)
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_a_manifest_without_variants_says_nothing_of_them() -> None:
    assert "variants" not in MANIFEST.to_json()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "INT8"}, r"'variants\[0\].name' must be 1 to 32 of"),
        ({"name": "../x"}, r"'variants\[0\].name' must be"),
        ({"name": "original"}, "two of one name"),
        ({"is_default": False}, r"'variants\[0\].file' must be variants/int8.onnx, not 'model.onnx'"),
        ({"is_default": False, "file": "variants/int8.onnx"}, "must have one default"),
        ({"file": "../model.onnx"}, r"'variants\[0\].file' must be model.onnx"),
        ({"bytes": -1}, r"'variants\[0\].bytes' must be an integer"),
        ({"load_ms": "fast"}, r"'variants\[0\].load_ms' must be a finite number"),
        ({"latency_us": {"many": 3.0}}, r"'variants\[0\].latency_us' must be rows and microseconds"),
        ({"latency_us": {"1": None}}, "must be rows and microseconds"),
        ({"latency_us": {"9" * 5000: 3.0}}, "must be rows and microseconds"),
        ({"latency_us": {"²": 3.0}}, "must be rows and microseconds"),
        ({"needs_cpu": "avx"}, r"'variants\[0\].needs_cpu' must be a list"),
    ],
)
def test_a_wrong_variant_is_named(changes: dict[str, Any], complaint: str) -> None:
    raw = {**RAW, "variants": [{**INT8.to_json(), **changes}, ORIGINAL.to_json()]}
    with pytest.raises(FieldError, match=complaint):
        Manifest.from_json(raw)


def test_a_variants_file_must_be_listed() -> None:
    with pytest.raises(FieldError, match=r"does not name variants/original.onnx, the file of variant 'original'"):
        Manifest.from_json({**RAW, "files": {"model.onnx": RECORD.to_json()}})


@pytest.mark.parametrize(
    ("name", "flags", "chosen"),
    [
        ("", {"avx_vnni"}, INT8),
        ("", {"avx2"}, ORIGINAL),
        ("int8", {"avx512_vnni", "avx2"}, INT8),
        ("original", set(), ORIGINAL),
    ],
)
def test_the_variant_that_a_processor_loads(name: str, flags: set[str], chosen: Variant) -> None:
    assert choose_variant((ORIGINAL, INT8), name, flags) is chosen


def test_no_variants_no_choice() -> None:
    assert choose_variant((), "", {"avx2"}) is None


@pytest.mark.parametrize(
    ("variants", "name", "complaint"),
    [
        ((INT8, ORIGINAL), "int4", "it has no variant 'int4'; variants there are: int8, original"),
        ((), "int8", "it has no variant 'int8'; variants there are: none"),
        ((INT8, ORIGINAL), "int8", r"needs a processor with avx512_vnni\|avx_vnni"),
        ((INT8,), "", "none of its variants runs on this processor"),
    ],
)
def test_what_cannot_be_loaded(variants: tuple[Variant, ...], name: str, complaint: str) -> None:
    with pytest.raises(BrokenVersion, match=complaint):
        choose_variant(variants, name, {"avx2"})
