"""What was found to be best for one model on one kind of machine: the record, and its JSON form. Pure.

A tuning file belongs to a processor and a model's bytes, never to a model's folder, which must fit every machine.
It holds the choice (``ModelTuning``, ``workers``) and, for people, the evidence that it rests on.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from rapide.server.proven import Proven
from rapide.server.repository.fields import FieldError, Fields, parse_object
from rapide.server.settings import BY_NAME, Settings

SCHEMA: Final = 1
KIND: Final = "rapide-tuning"
GraphLevel = Literal["off", "basic", "extended", "all"]
GRAPH_LEVELS: Final = ("off", "basic", "extended", "all")
_LARGEST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class ModelTuning:
    """How one model version is run. The defaults are the server's."""

    variant: str = ""
    """Which of the version's variants; empty is ``model.onnx``."""
    intra_op_threads: int = 1
    allow_spinning: bool = False
    graph_level: GraphLevel = "all"
    arena: bool = True
    dynamic_block_base: int = 0
    """How finely a parallel loop is cut (``session.dynamic_block_base`` of ONNX Runtime); 0 cuts evenly."""
    max_rows_per_run: int = 0
    """A larger batch goes through the runtime in parts of at most so many rows; 0 is no limit."""
    max_batch_rows: int = 64
    max_delay_us: float = 0.0
    max_queue_rows: int = 4096
    sessions: int = 1
    inline_below_us: float = 75.0
    proven: Proven | None = None
    """Within which range the limits may be moved, if the server is allowed to (``steering``)."""

    def to_json(self) -> dict[str, Any]:
        """What was not proven is left out."""
        out = {name: getattr(self, name) for name in _NAMES}
        return {**out, "proven": self.proven.to_json()} if self.proven else out

    def to_text(self) -> str:
        """Equal records give equal texts; ``from_text`` restores them."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> ModelTuning:
        """Raises FieldError for what ``to_text`` did not write."""
        return cls.read(Fields(parse_object(text.encode())))

    @classmethod
    def read(cls, fields: Fields) -> ModelTuning:
        """Unknown keys are left alone: a newer release may have found more to tune."""
        tuning = cls(
            variant=fields.text("variant", ""),
            allow_spinning=fields.boolean("allow_spinning", False),
            graph_level=cast("GraphLevel", fields.one_of("graph_level", GRAPH_LEVELS))
            if "graph_level" in fields.raw
            else "all",
            arena=fields.boolean("arena", True),
            proven=Proven.read(fields.fields("proven")) if "proven" in fields.raw else None,
            **{name: _integer(fields, name, least) for name, least in _INTEGERS.items() if name in fields.raw},
            **{name: _number(fields, name) for name in _NUMBERS if name in fields.raw},
        )
        if tuning.max_queue_rows < tuning.max_batch_rows:
            raise fields.wrong(
                "max_queue_rows", f"at least max_batch_rows ({tuning.max_batch_rows})", tuning.max_queue_rows
            )
        return tuning

    @property
    def words(self) -> str:
        """What differs from the server's defaults, for a person at a glance."""
        changed = [
            f"{name}={_shown(getattr(self, name))}"
            for name, default in ModelTuning().to_json().items()
            if getattr(self, name) != default
        ]
        return ", ".join(changed) or "the defaults"


_NAMES: Final = tuple(field.name for field in dataclasses.fields(ModelTuning) if field.name != "proven")
_INTEGERS: Final[Mapping[str, int]] = {
    "intra_op_threads": 1,
    "dynamic_block_base": 0,
    "max_rows_per_run": 0,
    "max_batch_rows": 1,
    "max_queue_rows": 1,
    "sessions": 1,
}
"""Name → least value."""
_NUMBERS: Final = ("max_delay_us", "inline_below_us")

SETTING_OF: Final[Mapping[str, str]] = {
    "intra_op_threads": "threads",
    "allow_spinning": "spinning",
    "max_batch_rows": "max_batch_rows",
    "max_delay_us": "max_delay_us",
    "max_queue_rows": "max_queue_rows",
    "sessions": "sessions",
    "inline_below_us": "inline_below_us",
}
"""What is tuned → the server's setting for all models, where there is one."""


def in_force(settings: Settings, tuning: ModelTuning | None) -> ModelTuning:
    """How a version runs under ``settings``, tuned or not: a setting that differs from its default was meant, and
    wins over what was tuned."""
    base = tuning or ModelTuning()
    given: dict[str, Any] = {
        name: getattr(settings, setting)
        for name, setting in SETTING_OF.items()
        if tuning is None or getattr(settings, setting) != BY_NAME[setting].default
    }
    return dataclasses.replace(base, **given)


@dataclass(frozen=True, slots=True)
class TuningFile:
    """One file: what was chosen for one model on one kind of machine, and why."""

    cpu: str
    """The machine's signature (``machine.cpu_signature``)."""
    digest: str
    """``sha256:…`` of ``model.onnx``."""
    model: str
    workers: int
    tuning: ModelTuning
    version: int = 0
    """The version that it was tuned for, for people: the digest decides."""
    written: str = ""
    """When, RFC 3339 in UTC."""
    onnxruntime: str = ""
    slo: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """For ``rapide tune --explain``: reasons, predictions, measurements. The server does not read it."""

    def to_bytes(self) -> bytes:
        document = {
            "kind": KIND,
            "schema": SCHEMA,
            "cpu": self.cpu,
            "digest": self.digest,
            "model": self.model,
            "version": self.version,
            "written": self.written,
            "onnxruntime": self.onnxruntime,
            "slo": self.slo,
            "workers": self.workers,
            "tuning": self.tuning.to_json(),
            "evidence": dict(self.evidence),
        }
        return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> TuningFile:
        """Raises FieldError: no tuning file, another schema, or a value that cannot be."""
        fields = Fields(parse_object(text))
        if fields.raw.get("kind") != KIND:
            raise FieldError(f"it is no tuning file: 'kind' must be {KIND!r}")
        if fields.raw.get("schema") != SCHEMA:
            raise FieldError(f"its schema is {fields.raw.get('schema')!r}; this release reads {SCHEMA}")
        return cls(
            cpu=fields.text("cpu"),
            digest=fields.text("digest"),
            model=fields.text("model"),
            workers=_integer(fields, "workers", 1),
            tuning=ModelTuning.read(fields.fields("tuning")),
            version=fields.integer("version") if "version" in fields.raw else 0,
            written=fields.text("written", ""),
            onnxruntime=fields.text("onnxruntime", ""),
            slo=fields.text("slo", ""),
            evidence=fields.mapping("evidence", {}),
        )


def _integer(fields: Fields, name: str, least: int) -> Any:
    value = fields.integer(name, least=least)
    if value > _LARGEST:
        raise fields.wrong(name, f"at most {_LARGEST}", value)
    return value


def _number(fields: Fields, name: str) -> Any:
    value = fields.optional_number(name)
    if value is None or not 0 <= value <= _LARGEST:
        raise fields.wrong(name, f"between 0 and {_LARGEST}", value)
    return value


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
