"""``manifest.json``: what a published version is, in the terms of the people who trained it.

Written once by the publisher, read by everybody, changed by nobody (docs/reference/manifest.md).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from rapide.server.errors import BrokenVersion, RapideError
from rapide.server.repository.fields import FieldError, Fields, parse_object
from rapide.server.repository.files import read_regular
from rapide.server.repository.layout import MANIFEST_FILE, MODEL_FILE, is_model_name, is_safe_relative
from rapide.server.repository.times import parse_time
from rapide.server.repository.variant import Variant, check_variants
from rapide.server.signature import Signature

SCHEMA = 1
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
"""Far above any real manifest (ten thousand features take 2 MB), far below what could hurt the reader."""

Kind = Literal["number", "integer", "boolean", "text"]
KINDS: tuple[str, ...] = get_args(Kind)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a version: its SHA-256 (64 hex digits) and its length in bytes."""

    sha256: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "bytes": self.bytes}

    @classmethod
    def read(cls, fields: Fields) -> FileRecord:
        sha256 = fields.text("sha256")
        if _SHA256.fullmatch(sha256) is None:
            raise fields.wrong("sha256", "64 lower-case hex digits", sha256)
        return cls(sha256, fields.integer("bytes"))


@dataclass(frozen=True, slots=True)
class Feature:
    """One named column of the trainer's table, and where it enters the model.

    ``column`` None: the input tensor, [N, 1] or [N], is this feature's alone. Otherwise the column of a packed
    [N, F] tensor.
    """

    name: str
    input: str
    column: int | None
    kind: Kind
    required: bool
    categories: tuple[str, ...] = ()
    """The texts that the model was trained on; empty where it takes any."""
    unit: str = ""
    missing: float | str | None = None
    """What the model was trained to see where the value is missing (NaN, a sentinel, a text). None: nothing."""

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "name": self.name,
            "input": self.input,
            "column": self.column,
            "kind": self.kind,
            "required": self.required,
        }
        if self.categories:
            out["categories"] = list(self.categories)
        if self.unit:
            out["unit"] = self.unit
        if self.missing is not None:
            out["missing"] = "NaN" if _is_nan(self.missing) else self.missing
        return out

    @classmethod
    def read(cls, fields: Fields) -> Feature:
        kind = cast("Kind", fields.one_of("kind", KINDS))
        return cls(
            name=fields.text("name"),
            input=fields.text("input"),
            column=fields.optional_integer("column"),
            kind=kind,
            required=fields.boolean("required"),
            categories=fields.texts("categories"),
            unit=fields.text("unit", ""),
            missing=_read_missing(fields, kind),
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """One named column of the answer.

    For example ``diagnosis`` from output ``label`` with the classes ``("malignant", "benign")``: integer labels
    are shown as class names; or ``probability.malignant`` from column 0 of output ``probabilities``.
    """

    name: str
    output: str
    column: int | None
    kind: Kind
    classes: tuple[str, ...] = ()
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name, "output": self.output, "column": self.column, "kind": self.kind}
        if self.classes:
            out["classes"] = list(self.classes)
        if self.unit:
            out["unit"] = self.unit
        return out

    @classmethod
    def read(cls, fields: Fields) -> Prediction:
        return cls(
            name=fields.text("name"),
            output=fields.text("output"),
            column=fields.optional_integer("column"),
            kind=cast("Kind", fields.one_of("kind", KINDS)),
            classes=fields.texts("classes"),
            unit=fields.text("unit", ""),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """A published version. ``lineage``, ``parity``, ``quality`` and ``gates`` are the converter's JSON objects."""

    model: str
    version: int
    created: str
    """The moment of publishing, RFC 3339 in UTC."""
    files: Mapping[str, FileRecord]
    """Every file of the version but the manifest itself, by its path inside the version's folder."""
    signature: Signature
    features: tuple[Feature, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    gates: Mapping[str, Any] = field(default_factory=dict)
    """Gate → what was found before publishing, beside its limits."""
    description: str = ""
    parent: int | None = None
    """The version that this one was derived from (retrained, quantised), if any."""
    variants: tuple[Variant, ...] = ()
    """All forms of the model in this version, the default among them; empty: there is only ``model.onnx``."""

    @property
    def digest(self) -> str:
        """The version's identity: ``sha256:`` and the 64 hex digits of ``model.onnx``."""
        return f"sha256:{self.files[MODEL_FILE].sha256}"

    @property
    def created_at(self) -> datetime:
        return parse_time(self.created)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "model": self.model,
            "version": self.version,
            "created": self.created,
            "description": self.description,
            "parent": self.parent,
            "files": {name: record.to_json() for name, record in sorted(self.files.items())},
            "signature": self.signature.to_json(),
            "features": [feature.to_json() for feature in self.features],
            "predictions": [prediction.to_json() for prediction in self.predictions],
            "lineage": dict(self.lineage),
            "parity": dict(self.parity),
            "quality": dict(self.quality),
            "gates": dict(self.gates),
            **({"variants": [variant.to_json() for variant in self.variants]} if self.variants else {}),
        }

    def to_bytes(self) -> bytes:
        """The file's content. Raises ValueError where the converter's objects hold what JSON cannot carry."""
        return (json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Manifest:
        """The manifest in ``raw``. Raises FieldError, naming the field, for anything that is not schema 1."""
        fields = Fields(raw)
        schema = fields.integer("schema", least=1)
        if schema != SCHEMA:
            raise FieldError(f"it has schema {schema}; this rapide reads schema {SCHEMA}: upgrade it")
        manifest = cls(
            model=_read_name(fields),
            version=fields.integer("version", least=1),
            created=_read_created(fields),
            files=_read_files(fields.fields("files")),
            signature=_read_signature(fields),
            features=fields.each("features", Feature.read),
            predictions=fields.each("predictions", Prediction.read),
            lineage=fields.mapping("lineage", {}),
            parity=fields.mapping("parity", {}),
            quality=fields.mapping("quality", {}),
            gates=fields.mapping("gates", {}),
            description=fields.text("description", ""),
            parent=fields.optional_integer("parent", least=1),
            variants=fields.each("variants", Variant.read),
        )
        check_variants(manifest.variants, manifest.files)
        return manifest

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Raises FieldError, as ``from_json`` does, also for what is no JSON object at all."""
        return cls.from_json(parse_object(content))


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the version in ``folder``, or None where there is none.

    Raises BrokenVersion, saying what is wrong, for one that cannot be read.
    """
    try:
        content = read_regular(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BrokenVersion(f"{MANIFEST_FILE} cannot be read: {error.strerror}") from error
    try:
        return Manifest.from_bytes(content)
    except FieldError as error:
        raise BrokenVersion(f"{MANIFEST_FILE} cannot be used: {error}") from None


def _is_nan(value: float | str) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _read_missing(fields: Fields, kind: str) -> float | str | None:
    value = fields.raw.get("missing")
    if value is None or (kind == "text" and isinstance(value, str)):
        return value
    if kind != "text" and value == "NaN":  # JSON has no NaN of its own
        return math.nan
    return fields.optional_number("missing")


def _read_name(fields: Fields) -> str:
    name = fields.text("model")
    if not is_model_name(name):
        raise fields.wrong("model", "a model's name", name)
    return name


def _read_created(fields: Fields) -> str:
    created = fields.text("created")
    try:
        parse_time(created)
    except ValueError:
        raise fields.wrong("created", "a time such as 2026-11-20T10:00:00Z", created) from None
    return created


def _read_files(fields: Fields) -> dict[str, FileRecord]:
    for name in fields.raw:
        if not is_safe_relative(name) or name == MANIFEST_FILE:
            raise FieldError(f"'files' names {name[:80]!r}, which is no plain path inside the version's folder")
    files = {name: FileRecord.read(record) for name, record in fields.items()}
    if MODEL_FILE not in files:
        raise FieldError(f"'files' does not name {MODEL_FILE}")
    return files


def _read_signature(fields: Fields) -> Signature:
    raw = fields.mapping("signature")
    try:
        return Signature.from_json(raw)
    except KeyError as error:
        raise FieldError(f"'signature' lacks {error}") from None
    except (TypeError, ValueError, AttributeError, OverflowError, RapideError) as error:
        raise FieldError(f"'signature' is malformed: {error}") from None
