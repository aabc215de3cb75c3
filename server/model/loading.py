"""One loaded version: checked, proved and warm.

What is refused before the runtime sees it: files that are not those which were published, graphs beyond the
bounds of ``graph_rules.py``, weights outside the version's folder, oversized files. Of a version with variants
one is loaded: the one that was asked for, or the default if this processor computes it as it was proven. After
loading, the graph must agree with the manifest, and the golden rows must be answered as the original model did.
A file without a manifest gets its signature from the graph, and its rows are merged only if running made-up
ones shows that they are independent.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rapide.server.codecs.named import predict_codec
from rapide.server.errors import BrokenVersion, InvalidRequest
from rapide.server.machine import read_processor
from rapide.server.model.categories import unknown_category
from rapide.server.model.external_data import ExternalData, check_external_data
from rapide.server.model.golden import read_golden, tolerance_of
from rapide.server.model.graph import GraphTensor, check_agreement
from rapide.server.model.graph_rules import check_graph, places_outside, read_outline
from rapide.server.model.probing import Sample, find_sample, measure, probe
from rapide.server.model.session import Session, SessionOptions, UnknownCategory
from rapide.server.repository.digest import verify_version
from rapide.server.repository.files import read_regular
from rapide.server.repository.layout import GOLDEN_FILE
from rapide.server.repository.manifest import Manifest
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.repository.variant import Variant, choose_variant
from rapide.server.signature import DataType, Signature
from rapide.server.tensors import NUMPY_DTYPES, Array

_log = logging.getLogger(__name__)
_UNKNOWN_RUN_US = 1000.0
"""Where no row could be made up to measure with: it begins on a thread, and the engine learns from there."""


@dataclass(frozen=True, slots=True)
class Model:
    """A version that answers. ``run`` is safe on several threads at once."""

    name: str
    version: str
    digest: str
    """``sha256:…`` of ``model.onnx``, whichever variant was loaded: it names the version."""
    manifest: Manifest | None
    signature: Signature
    run_us: float
    """Processor time of a run of one row, measured at load."""
    row_us: float
    """What each further row adds."""
    session: Session
    sample_row: list[Array]
    """One row that is known to run; empty where none is known."""
    has_rows: bool
    """Whether each output has one row for each row of input, even if they may not be merged."""
    variant: str = ""
    """Which of the version's variants this is; empty where it has none."""
    max_rows_per_run: int = 0
    """Some models are slower per row above some number of rows (forests change their algorithm); 0 is no limit."""

    def run(self, arrays: list[Array]) -> list[Array]:
        """The outputs for checked ``arrays``, in the signature's order. Blocking. Raises RapideError."""
        if self.has_rows and not arrays[0].shape[0]:
            return self._run_no_rows(arrays)
        most = self.max_rows_per_run
        try:
            if most and self.signature.batchable and arrays[0].shape[0] > most:
                return self._run_in_parts(arrays, most)
            return self.session.run(arrays)
        except UnknownCategory as error:
            raise self._located(error, arrays) from error.__cause__

    def _located(self, error: UnknownCategory, arrays: list[Array]) -> InvalidRequest:
        """``error`` with the value's place, where the manifest lists the categories."""
        features = self.manifest.features if self.manifest else ()
        text = unknown_category(features, [spec.name for spec in self.signature.inputs], arrays)
        return UnknownCategory(text) if text else error

    def _run_in_parts(self, arrays: list[Array], most: int) -> list[Array]:
        """The outputs of runs of at most ``most`` rows, put together: rows are independent of each other."""
        rows = arrays[0].shape[0]
        parts = [
            self.session.run([array[start : start + most] for array in arrays]) for start in range(0, rows, most)
        ]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _run_no_rows(self, arrays: list[Array]) -> list[Array]:
        """The empty answer to an empty batch, cut from one row's: kernels are not written with no rows in mind.

        The row is the sample, or neutral where the request's further dimensions differ from the sample's.
        """
        row = self.sample_row
        if [array.shape[1:] for array in row] != [array.shape[1:] for array in arrays]:
            row = [_neutral_row(array) for array in arrays]
        return [output[:0] for output in self.session.run(row)]


def load_model(entry: VersionEntry, options: SessionOptions, variant: str = "") -> Model:
    """Loads, checks and warms the version. Blocking, for seconds if it is large: call it on a thread.

    ``variant``: the name of one of the manifest's variants; empty for the default. Raises BrokenVersion, whose
    message says what is wrong, also for a variant that there is not or that needs another processor.
    """
    verify_version(entry)
    chosen = _chosen(entry, variant)
    path = entry.model_path if chosen is None else entry.folder / chosen.file
    try:
        content = read_regular(path, options.max_model_bytes)
    except OSError as error:
        raise BrokenVersion(f"{path.name} cannot be read: {error.strerror}") from error
    digest = entry.digest or f"sha256:{hashlib.sha256(content).hexdigest()}"
    places = _checked_places(content)
    check_external_data(places, path.parent, _vouched_for(entry, path.parent))
    session = Session(content, path.parent, has_external_data=bool(places), options=options)
    del content
    learned = (
        _from_graph(session) if entry.manifest is None else _from_manifest(session, entry, entry.manifest, chosen)
    )
    run_us, row_us = _UNKNOWN_RUN_US, 0.0
    if learned.row is not None:
        run_us, row_us = measure(session.run, learned.row, is_batchable=learned.signature.batchable)
    if learned.doubt:
        _log.info("%s/%d runs every request alone: %s", entry.model, entry.version, learned.doubt)
    return Model(
        name=entry.model,
        version=str(entry.version),
        digest=digest,
        manifest=entry.manifest,
        signature=learned.signature,
        run_us=run_us,
        row_us=row_us,
        session=session,
        sample_row=learned.row or [],
        has_rows=learned.has_rows,
        variant="" if chosen is None else chosen.name,
        max_rows_per_run=options.max_rows_per_run,
    )


def _checked_places(content: bytes) -> list[ExternalData]:
    """Where the weights lie that the graph in ``content`` does not hold. Raises BrokenVersion for one that may not
    be loaded."""
    outline = read_outline(content)
    check_graph(outline)
    return list(places_outside(outline))


def _chosen(entry: VersionEntry, name: str) -> Variant | None:
    variants = () if entry.manifest is None else entry.manifest.variants
    if not variants and not name:
        return None
    chosen = choose_variant(variants, name, read_processor()[1])
    if chosen is not None and not name and not chosen.is_default:
        _log.warning(
            "%s/%d: this processor would not compute its default variant as proven; %r is loaded instead",
            entry.model,
            entry.version,
            chosen.name,
        )
    return chosen


def _vouched_for(entry: VersionEntry, folder: Path) -> set[str] | None:
    """The files in ``folder`` that the manifest lists, by their paths there; None without a manifest."""
    if entry.manifest is None:
        return None
    files = [entry.folder / name for name in entry.manifest.files]
    return {str(file.relative_to(folder)) for file in files if file.is_relative_to(folder)}


@dataclass(frozen=True, slots=True)
class _Learned:
    """What loading found out. ``row``: a request of one row that runs; ``doubt``: why rows are not merged."""

    signature: Signature
    row: list[Array] | None
    has_rows: bool
    doubt: str = ""


def _from_manifest(session: Session, entry: VersionEntry, manifest: Manifest, variant: Variant | None) -> _Learned:
    signature = manifest.signature
    check_agreement(signature, session.inputs, session.outputs)
    predict_codec(signature, manifest.features, manifest.predictions)  # names that lead nowhere break the version
    session.select([spec.name for spec in signature.inputs], [spec.name for spec in signature.outputs])
    if GOLDEN_FILE not in manifest.files:
        by_name = {tensor.name: tensor for tensor in session.inputs}
        sample = find_sample(session.run, [by_name[spec.name] for spec in signature.inputs])
        return _Learned(signature, None if sample is None else sample.rows[0], signature.batchable)
    golden = read_golden(entry.folder / GOLDEN_FILE, signature)
    stated = {"tolerance": variant.tolerance} if variant and variant.tolerance else manifest.parity
    golden.check(session.run, signature, tolerance_of(stated))
    rows = golden.inputs
    row = [array[:1] for array in rows] if signature.batchable else rows
    return _Learned(signature, row, signature.batchable)


def _from_graph(session: Session) -> _Learned:
    found = probe(session.run, session.inputs)
    inputs = tuple(tensor.spec for tensor in session.inputs)
    outputs = tuple(
        _observed(tensor, found.sample, index, has_rows=found.has_rows)
        for index, tensor in enumerate(session.outputs)
    )
    row = None if found.sample is None else found.sample.rows[0]
    signature = Signature(inputs, tuple(tensor.spec for tensor in outputs), batchable=not found.doubt)
    return _Learned(signature, row, found.has_rows, found.doubt)


def _observed(tensor: GraphTensor, sample: Sample | None, index: int, *, has_rows: bool) -> GraphTensor:
    """An output as declared, corrected by what came out: declarations are optional, and may be wrong."""
    if sample is None:
        return tensor
    shape = sample.answers[0][index].shape
    dims = tensor.dims if len(tensor.dims) == len(shape) else (None,) * len(shape)
    if has_rows:
        dims = (None, *dims[1:])
    fits = [None if isinstance(dim, int) and dim != size else dim for dim, size in zip(dims, shape, strict=True)]
    return replace(tensor, dims=tuple(fits))


def _neutral_row(array: Array) -> Array:
    row = np.zeros((1, *array.shape[1:]), array.dtype)
    if array.dtype == NUMPY_DTYPES[DataType.BYTES]:
        row[...] = b""
    return row
