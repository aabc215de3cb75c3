"""The activation log: which version each label meant, since when, by whose decision. Pure.

``activations.jsonl`` beside a model's versions holds one JSON object a line, only ever appended to
(``activation_log.py``). A line says what *changed*; what a label means at time T is the log's last word about it
up to T. A line that cannot be read (torn by a crash, garbled by an editor) is reported and passed over: its
neighbours still count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rapide.server.repository.fields import FieldError, Fields, parse_object
from rapide.server.repository.layout import LABEL_NAME
from rapide.server.repository.times import format_time, parse_time

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class LabelTarget:
    """The version that a label means, and the share of unlabelled requests that it takes.

    ``weight_percent`` None: no share of its own (for ``stable``: what the others leave). ``digest`` is the
    version's at the time of labelling, so that the log proves which bytes were meant.
    """

    version: int
    weight_percent: float | None = None
    digest: str | None = None

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"version": self.version}
        if self.weight_percent is not None:
            out["weight_percent"] = self.weight_percent
        if self.digest is not None:
            out["digest"] = self.digest
        return out

    @classmethod
    def read(cls, fields: Fields) -> LabelTarget:
        weight = fields.optional_number("weight_percent")
        if weight is not None and not 0 <= weight <= 100:
            raise fields.wrong("weight_percent", "between 0 and 100", weight)
        return cls(fields.integer("version", least=1), weight, fields.optional_text("digest"))


@dataclass(frozen=True, slots=True)
class Activation:
    """One line: at ``time``, ``who`` gave ``labels`` these meanings and took ``removed`` away, because ``why``."""

    time: datetime
    model: str
    labels: Mapping[str, LabelTarget]
    removed: tuple[str, ...] = ()
    who: str = ""
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "time": format_time(self.time),
            "model": self.model,
            "labels": {label: target.to_json() for label, target in self.labels.items()},
            "removed": list(self.removed),
            "who": self.who,
            "why": self.why,
        }

    def to_line(self) -> bytes:
        """The line, newline included."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Activation:
        """Raises FieldError, naming the field, for a line that ``to_line`` did not write."""
        fields = Fields(parse_object(line))
        schema = fields.integer("schema", least=1)
        if schema != SCHEMA:
            raise FieldError(f"it has schema {schema}; this rapide reads schema {SCHEMA}: upgrade it")
        time = fields.text("time")
        try:
            instant = parse_time(time)
        except ValueError:
            raise fields.wrong("time", "a time such as 2026-11-20T10:00:00Z", time) from None
        return cls(
            time=instant,
            model=fields.text("model"),
            labels=_read_labels(fields.fields("labels")),
            removed=fields.texts("removed"),
            who=fields.text("who", ""),
            why=fields.text("why", ""),
        )


@dataclass(frozen=True, slots=True)
class ActivationLog:
    """All readable lines in the order of the file, and what was wrong with the others."""

    entries: tuple[Activation, ...] = ()
    problems: tuple[str, ...] = ()


def parse_log(content: bytes, model: str) -> ActivationLog:
    """The log of ``model``. Never raises: what cannot be read is a problem of the log."""
    *lines, tail = content.split(b"\n")
    entries: list[Activation] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                entry = Activation.from_line(line)
                if entry.model != model:
                    raise FieldError(f"it is about model {entry.model[:64]!r}")
                entries.append(entry)
            except FieldError as error:
                problems.append(f"line {number} is passed over: {error}")
    if tail:
        problems.append(f"line {len(lines) + 1} is passed over: it was not written to its end")
    return ActivationLog(tuple(entries), tuple(problems))


def labels_at(log: Iterable[Activation], time: datetime | None = None) -> dict[str, LabelTarget]:
    """What each label meant at ``time`` (None: what it means after the whole log), sorted by label."""
    labels: dict[str, LabelTarget] = {}
    for entry in log:
        if time is None or entry.time <= time:
            labels.update(entry.labels)
            for label in entry.removed:
                labels.pop(label, None)
    return dict(sorted(labels.items()))


def _read_labels(fields: Fields) -> dict[str, LabelTarget]:
    for label in fields.raw:
        if LABEL_NAME.fullmatch(label) is None:
            raise FieldError(f"{label[:64]!r} cannot name a label")
    return {label: LabelTarget.read(target) for label, target in fields.items()}
