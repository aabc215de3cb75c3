"""Changing labels, and the shares of traffic that follow from them. Pure.

A label names a version. Requests that ask for a label by name get that version. Requests that ask for nothing
are shared out: each label with a weight takes its percentage, ``stable`` takes the rest. Where no label is set
the highest version answers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rapide.server.errors import Conflict, InvalidRequest, NotFound
from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.layout import check_label_name, parse_version

REMAINDER_LABEL = "stable"
"""Takes the share that the weighted labels leave: where requests go that name no version and no label."""
_CHANGE = re.compile(r"([^=]*)=(?:(-)|([0-9]+)(?::([0-9]+(?:\.[0-9]+)?)%)?)")
_ROUNDING_PERCENT = 1e-6
"""Shares such as 33.3 + 33.3 + 33.4 do not add up exactly in binary."""


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """What somebody asks to change: labels to set and labels to remove. No other label moves."""

    set: Mapping[str, LabelTarget]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """The percentage of requests naming neither version nor label that ``version`` answers, as ``label``.

    ``label`` is empty for the highest version where ``stable`` is not set.
    """

    label: str
    version: int
    percent: float

    def to_json(self) -> dict[str, Any]:
        return {"label": self.label, "version": self.version, "percent": self.percent}


def parse_changes(texts: Iterable[str]) -> LabelChanges:
    """Changes from ``stable=2``, ``canary=3:10%`` and ``canary=-`` (remove).

    Raises InvalidRequest for other texts, or for a label named twice.
    """
    targets: dict[str, LabelTarget] = {}
    removed: list[str] = []
    for text in texts:
        match = _CHANGE.fullmatch(text)
        version = parse_version(match[3]) if match and match[3] else None
        if match is None or (version is None and not match[2]):
            raise InvalidRequest(
                f"{text[:96]!r} is no change of a label",
                hint="Write stable=2, or canary=3:10% for a share of requests, or canary=- to remove the label.",
            )
        label = check_label_name(match[1])
        if label in targets or label in removed:
            raise InvalidRequest(f"label {label!r} is given twice")
        if version is None:
            removed.append(label)
        else:
            targets[label] = LabelTarget(version, float(match[4]) if match[4] else None)
    return LabelChanges(targets, tuple(removed))


def apply_changes(
    labels: Mapping[str, LabelTarget], changes: LabelChanges, versions: Collection[int]
) -> dict[str, LabelTarget]:
    """What the labels mean after ``changes``, sorted by label; ``stable`` never carries a weight of its own.

    Raises NotFound for a version that is not in ``versions`` or a removed label that is not set, InvalidRequest
    for weights that do not add up, Conflict where the rest of the requests would belong to nobody.
    """
    for label, target in changes.set.items():
        if target.version not in versions:
            raise NotFound(
                f"label {label!r} cannot mean version {target.version}: there is no such version",
                hint=f"Versions here: {_listed(versions)}.",
            )
    for label in changes.removed:
        if label not in labels:
            raise NotFound(f"label {label!r} is not set", hint=f"Labels here: {_listed(labels)}.")
    after = {label: target for label, target in labels.items() if label not in changes.removed}
    after.update(changes.set)
    return _balanced(after)


def shares(labels: Mapping[str, LabelTarget], versions: Collection[int]) -> tuple[Share, ...]:
    """How requests that name neither version nor label are shared out, over what ``versions`` can answer.

    The remainder comes first, weighted labels follow by name; empty shares are left out. A weighted label whose
    version is not in ``versions`` loses its share to the remainder: a canary that is gone must not fail anybody's
    request. ``stable`` keeps its share even then: which version else may answer is not ours to guess.
    """
    weighted = [
        Share(label, target.version, target.weight_percent)
        for label, target in sorted(labels.items())
        if label != REMAINDER_LABEL and target.weight_percent and target.version in versions
    ]
    rest = 100.0 - sum(share.percent for share in weighted)
    if rest <= _ROUNDING_PERCENT:
        return tuple(weighted)
    stable = labels.get(REMAINDER_LABEL)
    if stable is not None:
        return (Share(REMAINDER_LABEL, stable.version, rest), *weighted)
    return (Share("", max(versions), rest), *weighted) if versions else ()


def _balanced(labels: dict[str, LabelTarget]) -> dict[str, LabelTarget]:
    """``labels`` sorted, with the remainder label's weight (which may be written out) checked and dropped."""
    weights = {
        label: target.weight_percent
        for label, target in labels.items()
        if label != REMAINDER_LABEL and target.weight_percent is not None
    }
    total = sum(weights.values())
    if total > 100 + _ROUNDING_PERCENT:
        listed = " + ".join(f"{label} {weight:g} %" for label, weight in sorted(weights.items()))
        raise InvalidRequest(f"the shares add up to {total:g} %, more than 100 %: {listed}")
    stable = labels.get(REMAINDER_LABEL)
    if stable is None and 0 < total < 100 - _ROUNDING_PERCENT:
        raise Conflict(
            f"{100 - total:g} % of the requests would belong to no label",
            hint=f"Set {REMAINDER_LABEL} as well: it takes what the other labels leave.",
        )
    if stable is not None:
        if stable.weight_percent is not None and abs(stable.weight_percent - (100 - total)) > _ROUNDING_PERCENT:
            raise InvalidRequest(
                f"{REMAINDER_LABEL} cannot take {stable.weight_percent:g} %: {100 - total:g} % are left for it",
                hint=f"Write {REMAINDER_LABEL}={stable.version} without a share; it takes the rest.",
            )
        labels[REMAINDER_LABEL] = replace(stable, weight_percent=None)
    return dict(sorted(labels.items()))


def _listed(names: Iterable[object]) -> str:
    texts = [str(name) for name in sorted(names, key=_natural)]
    return ", ".join(texts[-8:]) or "none"


def _natural(name: object) -> tuple[int, str]:
    return (name, "") if isinstance(name, int) else (0, str(name))
