"""How one version of one model is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final

import numpy as np

from rapide.profiles.arrival_record import ArrivalRecord, arrivals_json, merged_arrivals, read_arrivals
from rapide.profiles.arrivals import Arrivals
from rapide.profiles.bounds import check_figures
from rapide.profiles.errors import ProfileError
from rapide.profiles.histogram import BYTES, DURATIONS, ROWS, Histogram, Scale
from rapide.profiles.input_record import InputRecord, inputs_json, merged_inputs, no_inputs, read_inputs
from rapide.profiles.reading import Node
from rapide.profiles.twins import twin
from rapide.server.telemetry import bins

HISTOGRAMS: Final[Mapping[str, Scale]] = {
    "rows": ROWS,
    "payload_bytes": BYTES,
    "concurrency": ROWS,
    "deadline_budget_s": DURATIONS,
    "deadline_slack_s": DURATIONS,
    "duration_s": DURATIONS,
    "overhead_s": DURATIONS,
    "queue_s": DURATIONS,
    "compute_s": DURATIONS,
}
"""The histograms of a document, by key. One that is missing is empty: the first documents had fewer."""
_BATCH_FIELDS: Final = ("compute_s", "input_s", "output_s", "queue_s")


@dataclass(frozen=True, slots=True)
class Encoding:
    """Requests that came by one protocol in one form."""

    protocol: str
    encoding: str
    requests: int


@dataclass(frozen=True, slots=True)
class BatchCost:
    """What the runs of about ``rows`` rows cost together, in seconds; ``queue_s`` is their requests' waiting."""

    rows: float
    """Their mean."""
    runs: int
    requests: int
    compute_s: float
    input_s: float
    output_s: float
    queue_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ModelProfile:
    """One entry of a document (docs/reference/profile.md)."""

    model: str
    version: str
    digest: str
    requests: Mapping[str, int]
    """How many ended how: ``ok`` or the error's name."""
    encodings: tuple[Encoding, ...]
    arrivals: ArrivalRecord
    inputs: InputRecord
    rows: Histogram
    payload_bytes: Histogram
    concurrency: Histogram
    """Requests in flight, at one worker, when another came."""
    deadline_budget_s: Histogram
    """From arrival to deadline, of answered requests that had one."""
    deadline_slack_s: Histogram
    """What was left of it with the answer."""
    duration_s: Histogram
    overhead_s: Histogram
    """Of ``duration_s``, what neither queue nor model took."""
    queue_s: Histogram
    compute_s: Histogram
    batches: tuple[BatchCost, ...]
    adapted: Mapping[str, int] = field(default_factory=dict)
    """The limits in force, by setting, of a version that its server adapts."""

    @property
    def name(self) -> str:
        """For people: ``car-price version 2``."""
        return f"{self.model} version {self.version}" if self.version else self.model

    def exact(self) -> Arrivals:
        """The recorded last arrivals, from the first of them on. Raises ProfileError if there were none."""
        self._needs(1, "replay")
        return self.arrivals.recent

    def twin(self, seed: int, duration_s: float, rate_per_s: float | None = None) -> Arrivals:
        """A statistical twin: arrivals that are like the recorded ones, over any time and at any mean rate.

        The same seed gives the same arrivals. Raises ProfileError if fewer than two arrivals were recorded, all at
        one instant, or figures that make no sense.
        """
        self._needs(2, "imitate")
        recent = self.arrivals.recent
        if not np.isfinite(recent.rate_per_s):
            raise ProfileError(
                f"{self.name}: all {recent.count} recorded arrivals came at one instant: no gap to imitate",
                hint="Replay them as they were (exact arrivals).",
            )
        rate = recent.rate_per_s if rate_per_s is None else rate_per_s
        check_figures(rate_per_s=rate, duration_s=duration_s, seed=seed)
        return twin(self.arrivals, seed=seed, duration_s=duration_s, rate_per_s=rate_per_s)

    def _needs(self, arrivals: int, purpose: str) -> None:
        known = self.arrivals.recent.count
        if known < arrivals:
            raise ProfileError(
                f"{self.name}: expected at least {arrivals} recorded arrival{'s' * (arrivals > 1)} to {purpose}, "
                f"got {known}",
                hint="Send the server some traffic, and save its profile again.",
            )


def read_model(node: Node) -> ModelProfile:
    """From a document. Raises ProfileError."""
    return ModelProfile(
        model=node["model"].text(),
        version=node["version"].text(),
        digest=node["digest"].text(),
        requests={code: count.whole() for code, count in node["requests"].table().items()},
        encodings=tuple(
            Encoding(mix["protocol"].text(), mix["encoding"].text(), mix["requests"].whole())
            for mix in node["encodings"].items()
        ),
        arrivals=read_arrivals(node["arrivals"]),
        inputs=read_inputs(node["inputs"]) if "inputs" in node else no_inputs(),
        batches=tuple(_read_batch(batch) for batch in node["batches"].items()),
        adapted={limit: value.whole() for limit, value in node["adapted"].table().items()}
        if "adapted" in node
        else {},
        **{
            key: Histogram.read(node[key], scale) if key in node else Histogram.empty(scale)
            for key, scale in HISTOGRAMS.items()
        },
    )


def model_json(known: ModelProfile) -> dict[str, Any]:
    """What ``read_model`` reads."""
    return {
        "model": known.model,
        "version": known.version,
        "digest": known.digest,
        "requests": dict(known.requests),
        "encodings": [
            {"protocol": mix.protocol, "encoding": mix.encoding, "requests": mix.requests}
            for mix in known.encodings
        ],
        "arrivals": arrivals_json(known.arrivals),
        "inputs": inputs_json(known.inputs),
        **{key: getattr(known, key).to_json() for key in HISTOGRAMS},
        "batches": [
            {
                "rows": batch.rows,
                "runs": batch.runs,
                "requests": batch.requests,
                **{field: getattr(batch, field) for field in _BATCH_FIELDS},
            }
            for batch in known.batches
        ],
        **({"adapted": dict(known.adapted)} if known.adapted else {}),
    }


def merged_models(same: Sequence[ModelProfile]) -> ModelProfile:
    """One version as several servers saw it. Raises ProfileError if they served different bytes under its name."""
    digests = sorted({one.digest for one in same if one.digest})
    if len(digests) > 1:
        raise ProfileError(
            f"{same[0].name} is not the same model in all profiles: its digests are {', '.join(digests)}",
            hint="Publish different models under different versions, and merge profiles of the same ones.",
        )
    histograms: dict[str, Histogram] = {
        key: reduce(Histogram.merged, [getattr(one, key) for one in same]) for key in HISTOGRAMS
    }
    return replace(
        same[0],
        digest=digests[0] if digests else "",
        requests=_sum_by_key([one.requests for one in same]),
        encodings=_merged_encodings(same),
        arrivals=merged_arrivals([one.arrivals for one in same]),
        inputs=merged_inputs([one.inputs for one in same]),
        batches=_merged_batches(same),
        adapted={
            limit: max(one.adapted.get(limit, 0) for one in same)
            for limit in sorted({limit for one in same for limit in one.adapted})
        },
        **histograms,  # type: ignore[arg-type]  # mypy does not follow names from a table
    )


def _read_batch(node: Node) -> BatchCost:
    return BatchCost(
        rows=node["rows"].number(),
        runs=node["runs"].whole(),
        requests=node["requests"].whole(),
        **{field: node[field].number() for field in _BATCH_FIELDS if field != "queue_s" or field in node},
    )


def _sum_by_key(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    keys = sorted({key for one in counts for key in one})
    return {key: sum(one.get(key, 0) for one in counts) for key in keys}


def _merged_encodings(same: Sequence[ModelProfile]) -> tuple[Encoding, ...]:
    counts: dict[tuple[str, str], int] = {}
    for one in same:
        for mix in one.encodings:
            counts[mix.protocol, mix.encoding] = counts.get((mix.protocol, mix.encoding), 0) + mix.requests
    return tuple(Encoding(*names, number) for names, number in counts.items())


def _merged_batches(same: Sequence[ModelProfile]) -> tuple[BatchCost, ...]:
    """Batches whose mean rows are in one bin of the rows' histogram are put together, as a server does."""
    edges = np.array(bins.ROW_EDGES)
    by_bin: dict[int, list[BatchCost]] = {}
    for batch in (batch for one in same for batch in one.batches if batch.runs):
        by_bin.setdefault(int(bins.bin_of(edges, np.array([batch.rows]))[0]), []).append(batch)
    return tuple(_sum_of_batches(by_bin[place]) for place in sorted(by_bin))


def _sum_of_batches(batches: Sequence[BatchCost]) -> BatchCost:
    runs = sum(batch.runs for batch in batches)
    return BatchCost(
        rows=sum(batch.rows * batch.runs for batch in batches) / runs,
        runs=runs,
        requests=sum(batch.requests for batch in batches),
        **{field: sum(getattr(batch, field) for batch in batches) for field in _BATCH_FIELDS},
    )
