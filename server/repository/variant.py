"""Variants: proven forms of one model (other number formats, another shape of the graph) within one version.

All of them answer the same requests, so that a machine may choose the one that it runs fastest. ``model.onnx`` is
always one of them, the default: whoever knows nothing of variants loads it and is right.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rapide.server.errors import BrokenVersion
from rapide.server.repository.fields import FieldError, Fields
from rapide.server.repository.layout import MODEL_FILE, VARIANTS_FOLDER

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_ROWS = re.compile(r"[0-9]{1,9}")
"""Python makes no number of text as long as a manifest may be."""
ALTERNATIVES = "|"
"""Between features of a processor of which one is enough."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of the model, and what was measured of it when it was published.

    Times and memory are those of the machine that optimised it, on one thread: they compare variants with each
    other and promise nothing about another machine.
    """

    name: str
    file: str
    """``model.onnx`` for the default, ``variants/NAME.onnx`` for the others; listed in the manifest's files."""
    is_default: bool
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How it was made: ``method`` in words, and that method's options."""
    bytes: int = 0
    load_ms: float = 0.0
    memory_bytes: int = 0
    """What a process grew by when it loaded it and ran one row."""
    latency_us: Mapping[int, float] = field(default_factory=dict)
    """Rows in one run → median µs of the run."""
    quality: Mapping[str, Any] = field(default_factory=dict)
    """How far its answers are from the original's on held-out rows: measure → figure, and ``rows``."""
    tolerance: Mapping[str, Any] = field(default_factory=dict)
    """What golden rows are held to when it is loaded, as in the manifest's ``parity``; empty: that one."""
    needs_cpu: tuple[str, ...] = ()
    """Features of the processor (named as in ``/proc/cpuinfo``) without which it does not compute as measured.
    An entry such as ``avx512_vnni|avx_vnni`` is met by one of them."""

    def runs_on(self, flags: Collection[str]) -> bool:
        """Whether a processor with ``flags`` computes it as measured."""
        return all(any(flag in flags for flag in need.split(ALTERNATIVES)) for need in self.needs_cpu)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "name": self.name,
            "file": self.file,
            "is_default": self.is_default,
            "recipe": dict(self.recipe),
            "bytes": self.bytes,
            "load_ms": self.load_ms,
            "memory_bytes": self.memory_bytes,
            "latency_us": {str(rows): value for rows, value in sorted(self.latency_us.items())},
            "quality": dict(self.quality),
        }
        if self.tolerance:
            out["tolerance"] = dict(self.tolerance)
        if self.needs_cpu:
            out["needs_cpu"] = list(self.needs_cpu)
        return out

    @classmethod
    def read(cls, fields: Fields) -> Variant:
        """Raises FieldError, naming the field."""
        name = fields.text("name")
        if _NAME.fullmatch(name) is None:
            raise fields.wrong("name", "1 to 32 of a–z, 0–9 and '-'", name)
        is_default = fields.boolean("is_default")
        file = fields.text("file")
        if file != variant_file(name, is_default=is_default):
            raise fields.wrong("file", variant_file(name, is_default=is_default), file)
        return cls(
            name=name,
            file=file,
            is_default=is_default,
            recipe=fields.mapping("recipe", {}),
            bytes=fields.integer("bytes"),
            load_ms=fields.optional_number("load_ms") or 0.0,
            memory_bytes=fields.optional_integer("memory_bytes") or 0,
            latency_us=_read_latency(fields),
            quality=fields.mapping("quality", {}),
            tolerance=fields.mapping("tolerance", {}),
            needs_cpu=fields.texts("needs_cpu"),
        )


def variant_file(name: str, *, is_default: bool) -> str:
    """Where the variant called ``name`` lies inside its version."""
    return MODEL_FILE if is_default else f"{VARIANTS_FOLDER}/{name}.onnx"


def check_variants(variants: Sequence[Variant], files: Collection[str]) -> None:
    """Raises FieldError unless there are none, or one default among distinct ones that ``files`` holds all of."""
    if not variants:
        return
    names = [variant.name for variant in variants]
    if len(set(names)) < len(names):
        raise FieldError("'variants' has two of one name")
    if sum(variant.is_default for variant in variants) != 1:
        raise FieldError("'variants' must have one default")
    for variant in variants:
        if variant.file not in files:
            raise FieldError(f"'files' does not name {variant.file}, the file of variant {variant.name!r}")


def choose_variant(variants: Sequence[Variant], name: str, flags: Collection[str]) -> Variant | None:
    """The variant to load on a processor with ``flags``: the one called ``name``; for an empty name the default,
    or where this processor would not compute that as measured the first that it does. None: there are none.

    Raises BrokenVersion for a ``name`` that there is not, or that this processor cannot run.
    """
    if name:
        named = next((variant for variant in variants if variant.name == name), None)
        if named is None:
            known = ", ".join(variant.name for variant in variants) or "none"
            raise BrokenVersion(f"it has no variant {name[:40]!r}; variants there are: {known}")
        if not named.runs_on(flags):
            raise BrokenVersion(f"its variant {name!r} needs a processor with {' and '.join(named.needs_cpu)}")
        return named
    if not variants:
        return None
    chosen = next((variant for variant in sorted(variants, key=_default_first) if variant.runs_on(flags)), None)
    if chosen is None:
        raise BrokenVersion("none of its variants runs on this processor as measured")
    return chosen


def _default_first(variant: Variant) -> bool:
    return not variant.is_default


def _read_latency(fields: Fields) -> dict[int, float]:
    latency = fields.fields("latency_us", {})
    out = {}
    for rows in latency.raw:
        value = latency.optional_number(rows)
        if _ROWS.fullmatch(rows) is None or value is None:
            raise fields.wrong("latency_us", "rows and microseconds", rows)
        out[int(rows)] = value
    return out
