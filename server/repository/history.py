"""Which version answered at time T: read off the activation log. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rapide.server.errors import NotFound
from rapide.server.repository.activations import Activation, LabelTarget, labels_at
from rapide.server.repository.labels import Share, shares
from rapide.server.repository.times import format_time


@dataclass(frozen=True, slots=True)
class Standing:
    """What a model's labels meant at ``time``, who had decided so, and how unlabelled requests were shared out."""

    model: str
    time: datetime
    labels: Mapping[str, LabelTarget]
    decisions: Mapping[str, Activation]
    """The change that gave each label the meaning it had."""
    shares: tuple[Share, ...]
    notes: tuple[str, ...] = ()
    """What the answer rests on where the log alone does not decide."""

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "time": format_time(self.time),
            "labels": {
                label: {
                    **target.to_json(),
                    "since": format_time(self.decisions[label].time),
                    "who": self.decisions[label].who,
                    "why": self.decisions[label].why,
                }
                for label, target in self.labels.items()
            },
            "unlabelled": [share.to_json() for share in self.shares],
            "notes": list(self.notes),
        }


def standing(
    model: str, log: Iterable[Activation], published: Mapping[int, datetime | None], time: datetime
) -> Standing:
    """How things stood at ``time``.

    ``published`` holds the versions that are here now and when they were published (None: unknown, taken as
    always). A version deleted since is known only if some label ever meant it.
    """
    entries = [entry for entry in log if entry.time <= time]
    labels = labels_at(entries)
    here = {version for version, since in published.items() if since is None or since <= time}
    mentioned = {target.version for entry in entries for target in entry.labels.values()}
    shared = shares(labels, here | mentioned)
    return Standing(
        model=model,
        time=time,
        labels=labels,
        decisions={label: _decision(entries, label) for label in labels},
        shares=shared,
        notes=_notes(shared),
    )


def only_label(standing: Standing, label: str) -> Standing:
    """``standing`` reduced to ``label``. Raises NotFound, naming those that were set, where it was not."""
    if label not in standing.labels:
        raise NotFound(
            f"model {standing.model!r} had no label {label!r} at {format_time(standing.time)}",
            hint=f"Labels then: {', '.join(standing.labels) or 'none'}.",
        )
    return Standing(
        model=standing.model,
        time=standing.time,
        labels={label: standing.labels[label]},
        decisions={label: standing.decisions[label]},
        shares=tuple(share for share in standing.shares if share.label == label),
        notes=standing.notes,
    )


def _decision(entries: list[Activation], label: str) -> Activation:
    return next(entry for entry in reversed(entries) if label in entry.labels)


def _notes(shared: tuple[Share, ...]) -> tuple[str, ...]:
    if not shared:
        return ("no version is known to have been published by then",)
    if shared[0].label == "":
        return (
            "no stable label was set: the highest version that the server had loaded answered; "
            f"known by then: {shared[0].version}",
        )
    return ()
