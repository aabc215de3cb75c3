"""The child process that tries one graph alone: load, memory, answers, loss. One process each, so that memory is
the graph's own, and a graph that ends the runtime ends only its trial."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rapide.converters.arrays import load_arrays, save_arrays
from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.optimise.arrays import as_request, decoded
from rapide.converters.optimise.loss import losses, worst_differences
from rapide.converters.optimise.measures import METRIC
from rapide.converters.optimise.rows import GOLDEN_INPUT, GOLDEN_OUTPUT, INPUT, TRUTH, part
from rapide.converters.optimise.truth import lost, metrics
from rapide.server.errors import InvalidRequest, RapideError
from rapide.server.model.session import Session, SessionOptions
from rapide.server.repository.manifest import Manifest, read_manifest
from rapide.server.signature import Signature
from rapide.server.tensors import Array

_CHUNK_ROWS = 256
_LOADS = 3
_EXACT = 1e-6
"""Relative to the largest answer: what another order of the same additions may leave in float32."""


def main(job: dict[str, Any], channel: Channel) -> None:
    """Answers with what was found, as ``_Trial.result`` describes it. Writes the answers beside the graph."""
    channel.step(f"trying {job['name']}")
    manifest = read_manifest(Path(job["version"]))
    if manifest is None:
        raise ConversionError("its manifest is gone")
    channel.answer(_Trial(job, manifest).result())


class _Trial:
    def __init__(self, job: Mapping[str, Any], manifest: Manifest) -> None:
        self._name = str(job["name"])
        self._path = Path(job["graph"])
        self._folder = Path(job["folder"])
        self._manifest = manifest
        self._rows = load_arrays(self._folder / "rows.npz")
        self._one = slice(0, 1) if manifest.signature.batchable else None

    def result(self) -> dict[str, Any]:
        """``bytes``, ``load_ms``, ``memory_bytes``, ``losses``, ``metrics``, ``worst`` (differences by output,
        golden rows included), ``is_exact`` and ``flipped`` (golden rows with another label)."""
        before = _resident_bytes()
        content = self._path.read_bytes()
        session, load_ms = self._loaded(content)
        _run(session, as_request(part(self._rows, INPUT), self._manifest.signature, self._one))
        memory_bytes = max(0, _resident_bytes() - before)
        answers = self._answers(session)
        size = len(content)
        load_ms = min([load_ms, *(self._loaded(content)[1] for _ in range(_LOADS - 1))])
        found = {"bytes": size, "load_ms": round(load_ms, 2), "memory_bytes": memory_bytes}
        save_arrays(self._folder / f"{self._name}.npz", answers)
        return found | self._compared(answers)

    def _loaded(self, content: bytes) -> tuple[Session, float]:
        begun_s = time.perf_counter()
        try:
            session = Session(content, self._folder, has_external_data=False, options=SessionOptions())
        except RapideError as error:
            raise GateRefused("trial", f"{self._name}: {error.message}") from error
        signature = self._manifest.signature
        session.select([spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs])
        return session, (time.perf_counter() - begun_s) * 1e3

    def _answers(self, session: Session) -> dict[str, Array]:
        """``held-out:NAME`` and ``golden:NAME`` by output."""
        signature = self._manifest.signature
        answers = _answered(session, part(self._rows, INPUT), signature)
        found = {f"held-out:{name}": array for name, array in answers.items()}
        golden = part(self._rows, GOLDEN_INPUT)
        if golden:
            answers = _answered(session, golden, signature)
            found |= {f"golden:{name}": array for name, array in answers.items()}
        return found

    def _compared(self, answers: Mapping[str, Array]) -> dict[str, Any]:
        original = load_arrays(self._folder / "original.npz")
        then, now = part(original, "held-out:"), part(answers, "held-out:")
        judged = [loss.to_json() for loss in losses(then, now)]
        expected = part(self._rows, GOLDEN_OUTPUT)
        golden = {name: array for name, array in part(answers, "golden:").items() if name in expected}
        differences = [worst_differences(then, now), worst_differences(expected, golden) if golden else {}]
        figures = self._metrics(then, now)
        judged += [
            {"measure": METRIC, "output": name, "loss": lost(name, *pair), "typical": 0.0}
            for name, pair in figures.items()
        ]
        largest = {name: _largest(array) for name, array in then.items()}
        return {
            "losses": [{**loss, "loss": _finite(loss["loss"])} for loss in judged],
            "metrics": figures,
            "worst": {
                name: _finite(max((found.get(name, 0.0) for found in differences), default=0.0)) for name in then
            },
            "is_exact": all(worst <= _EXACT * largest[name] for name, worst in differences[0].items()),
            "flipped": _flipped(expected, golden),
        }

    def _metrics(self, then: Mapping[str, Array], now: Mapping[str, Array]) -> dict[str, tuple[float, float]]:
        truth = self._rows.get(TRUTH)
        if truth is None:
            return {}
        before, after = metrics(self._manifest, truth, then), metrics(self._manifest, truth, now)
        return {name: (value, after[name]) for name, value in before.items() if name in after}


def _answered(session: Session, feeds: Mapping[str, Array], signature: Signature) -> dict[str, Array]:
    rows = len(next(iter(feeds.values())))
    step = _CHUNK_ROWS if signature.batchable else max(1, rows)
    pieces = [
        _run(session, as_request(feeds, signature, slice(start, start + step) if signature.batchable else None))
        for start in range(0, rows, step)
    ]
    return {
        spec.name: decoded(np.concatenate([piece[index] for piece in pieces]))
        for index, spec in enumerate(signature.outputs)
    }


def _run(session: Session, arrays: list[Array]) -> list[Array]:
    try:
        return session.run(arrays)
    except InvalidRequest as error:
        raise GateRefused("trial", f"it fails on the rows: {error.message}") from error
    except RapideError as error:
        raise GateRefused("trial", f"it fails on the rows: {error.__cause__ or error.message}") from error


def _flipped(expected: Mapping[str, Array], answered: Mapping[str, Array]) -> list[int]:
    """Golden rows with another label than the original's."""
    flipped: set[int] = set()
    for name, array in answered.items():
        if array.dtype.kind not in "fV":
            wrong = (expected[name] != array).reshape(len(array), -1).any(axis=1)
            flipped.update(np.flatnonzero(wrong).tolist())
    return sorted(flipped)


def _largest(array: Array) -> float:
    if array.dtype.kind not in "fV":
        return 1.0
    values = np.abs(array.astype(np.float64))
    return float(values[np.isfinite(values)].max(initial=0.0))


def _finite(value: float) -> float:
    """JSON has no infinity: beyond any limit."""
    return min(value, 1e300)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
