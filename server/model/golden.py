"""Golden rows: inputs with the answers that the original model gave (``golden.npz``, written by the converter).

Arrays are named ``input:<name>`` and ``output:<name>``, shaped as one request and its answer. Text is stored as
unicode arrays, BF16 as two-byte voids. How close the answers must be is the manifest's
``parity["tolerance"] = {"relative": …, "absolute": …}``.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from rapide.server.errors import BrokenVersion, RapideError
from rapide.server.model.closeness import Tolerance, difference
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import NUMPY_DTYPES, Array

MAX_GOLDEN_BYTES = 256 * 1024 * 1024
"""Unpacked: some hundred rows are usual, and even of images they take less."""
_MAX_ARRAYS = 20_000
"""Twice as many as a version may have columns."""
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes. LZMA takes whatever memory its header asks for."""
_DAMAGE = (
    *(OSError, ValueError, EOFError, MemoryError, RecursionError, NotImplementedError, SyntaxError),
    *(zlib.error, zipfile.BadZipFile, tokenize.TokenError),
)
"""What reading a made-up archive can raise."""
DEFAULT_TOLERANCE = Tolerance(relative=1e-3, absolute=1e-5)
"""Float32 against the float64 that most trainers compute in; converters state a tighter one."""


@dataclass(frozen=True, slots=True)
class GoldenRows:
    """``inputs`` in the signature's order; expected ``outputs`` by name, perhaps not all of the model's."""

    inputs: list[Array]
    outputs: Mapping[str, Array]

    def check(self, run: Callable[[list[Array]], list[Array]], signature: Signature, tolerance: Tolerance) -> None:
        """Raises BrokenVersion unless the model gives these answers to all rows at once and to the first alone."""
        self._compare(run, self.inputs, slice(None), signature, tolerance)
        if signature.batchable and len(self.inputs[0]) > 1:
            self._compare(run, [array[:1] for array in self.inputs], slice(0, 1), signature, tolerance)

    def _compare(
        self,
        run: Callable[[list[Array]], list[Array]],
        inputs: list[Array],
        rows: slice,
        signature: Signature,
        tolerance: Tolerance,
    ) -> None:
        try:
            outputs = run(inputs)
        except RapideError as error:
            raise BrokenVersion(f"it fails on its own golden rows: {error.__cause__ or error}") from error
        for spec, found in zip(signature.outputs, outputs, strict=True):
            expected = self.outputs.get(spec.name)
            if expected is not None:
                fault = difference(found, expected[rows] if expected.ndim else expected, tolerance)
                if fault:
                    raise BrokenVersion(f"output {spec.name!r} of its golden rows has {fault}")


def read_golden(path: Path, signature: Signature) -> GoldenRows:
    """The golden rows in the file at ``path``. Raises BrokenVersion for a file that does not fit ``signature``."""
    try:
        _check_archive(path)
        with np.load(path, allow_pickle=False) as arrays:
            inputs = [_restored(arrays[f"input:{spec.name}"], spec) for spec in signature.inputs]
            outputs = {
                spec.name: _restored(arrays[f"output:{spec.name}"], spec)
                for spec in signature.outputs
                if f"output:{spec.name}" in arrays
            }
    except KeyError as error:
        raise BrokenVersion(f"{path.name} has no array {error.args[0]!r}") from error
    except _DAMAGE as error:
        raise BrokenVersion(f"{path.name} cannot be read: {str(error)[:200] or type(error).__name__}") from error
    if not outputs:
        raise BrokenVersion(f"{path.name} holds no answers")
    return GoldenRows(inputs, outputs)


def _check_archive(path: Path) -> None:
    """Raises BrokenVersion unless unpacking the archive takes no more memory than its arrays may.

    numpy allocates what an array's header says before it reads the array.
    """
    if path.stat().st_size > MAX_GOLDEN_BYTES:
        raise BrokenVersion(f"{path.name} is larger than {MAX_GOLDEN_BYTES} bytes")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > _MAX_ARRAYS:
            raise BrokenVersion(f"{path.name} holds {len(members)} arrays; the limit is {_MAX_ARRAYS}")
        if sum(member.file_size for member in members) > MAX_GOLDEN_BYTES:
            raise BrokenVersion(f"{path.name} unpacks to more than {MAX_GOLDEN_BYTES} bytes")
        for member in members:
            if member.compress_type not in _PACKINGS:
                raise BrokenVersion(f"{path.name} is packed in a way that numpy does not use")
            with archive.open(member) as file:
                shape, dtype = _header(file)
            if dtype.hasobject:
                raise BrokenVersion(f"{path.name} cannot be read: it holds a pickle, which could run code")
            if not 0 <= math.prod(shape) * dtype.itemsize <= member.file_size:
                raise BrokenVersion(
                    f"{path.name}: {member.filename[:80]!r} claims {list(shape)} of {dtype} "
                    f"in {member.file_size} bytes"
                )


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of a ``.npy``. Raises ValueError."""
    version = np.lib.format.read_magic(file)
    read = _HEADERS.get(version)
    if read is None:
        raise ValueError(f"it is of version {version}")
    shape, _, dtype = read(file)
    return shape, dtype


_HEADERS: Mapping[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def tolerance_of(parity: Mapping[str, Any]) -> Tolerance:
    """The tolerance that the manifest's parity report states, or the default. Raises BrokenVersion."""
    stated = parity.get("tolerance", {})
    try:
        return Tolerance(
            float(stated.get("relative", DEFAULT_TOLERANCE.relative)),
            float(stated.get("absolute", DEFAULT_TOLERANCE.absolute)),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise BrokenVersion(f"its manifest's parity tolerance is {stated!r}") from error


def _restored(array: Array, spec: TensorSpec) -> Array:
    """``array`` as the model takes or gives it. Raises ValueError where it cannot be."""
    dtype = NUMPY_DTYPES[spec.datatype]
    if spec.datatype is DataType.BYTES:
        if array.dtype.kind not in "US":
            raise ValueError(f"{spec.name!r} is {array.dtype}, but should be text")
        texts = np.empty(array.shape, dtype)
        flat = [text.encode() if isinstance(text, str) else text for text in array.ravel().tolist()]
        texts.ravel()[:] = flat
        return texts
    if array.dtype.kind == "V":
        array = array.view(dtype)
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ValueError(f"{spec.name!r} is {array.dtype}, but should be {spec.datatype}")
    return np.ascontiguousarray(array, dtype).reshape(array.shape)
