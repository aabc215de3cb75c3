"""Which outputs a request wants, and in what form: checked before the model runs, made after it has run. Pure, but
for the write into shared memory that its caller passes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rapide.server.codecs import tensor_bytes
from rapide.server.codecs.classification import classify, requested_classes
from rapide.server.codecs.describe import closest, shown, some
from rapide.server.codecs.parameters import Region, shared_region
from rapide.server.errors import InvalidRequest
from rapide.server.repository.manifest import Manifest
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import Array, OutputTensor, Parameter, RequestedOutput

WriteRegion = Callable[[Region, bytes | memoryview], None]
"""Puts bytes into a registered region. Raises NotFound or InvalidRequest."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """One output that a request wants."""

    spec: TensorSpec
    index: int
    """Its place among the model's outputs."""
    classes: int | None = None
    """How many of the best classes are wanted instead of the tensor."""
    region: Region | None = None
    """Where in shared memory it goes, instead of into the answer."""


class Outputs:
    """The outputs of one model version."""

    __slots__ = ("_all", "_batchable", "_by_name", "_labels")

    def __init__(self, signature: Signature, manifest: Manifest | None) -> None:
        self._all = tuple(Chosen(spec, index) for index, spec in enumerate(signature.outputs))
        self._by_name = {chosen.spec.name: chosen for chosen in self._all}
        self._batchable = signature.batchable
        self._labels = class_names(signature, manifest) if manifest else {}

    def choose(self, requested: Sequence[RequestedOutput]) -> tuple[Chosen, ...]:
        """What ``requested`` asks for, all outputs where it is empty.

        Raises InvalidRequest, naming the outputs that exist, for an unknown one, and for parameters that cannot
        be.
        """
        if not requested:
            return self._all
        return tuple(self._choose(output) for output in requested)

    def make(self, chosen: Sequence[Chosen], arrays: Sequence[Array], write: WriteRegion) -> list[OutputTensor]:
        """The wanted outputs from all of the model's ``arrays``. Raises what ``write`` raises."""
        if chosen is self._all:
            return [
                OutputTensor(output.spec.name, output.spec.datatype, array)
                for output, array in zip(self._all, arrays, strict=True)
            ]
        return [self._make(output, arrays[output.index], write) for output in chosen]

    def _choose(self, requested: RequestedOutput) -> Chosen:
        chosen = self._by_name.get(requested.name)
        if chosen is None:
            raise InvalidRequest(
                f"unknown output {shown(requested.name)}{closest(requested.name, self._by_name)}; "
                f"the model has {some(self._by_name)}"
            )
        if not requested.parameters:
            return chosen
        what = f"output {shown(requested.name)}"
        classes = requested_classes(requested.parameters, what)
        if classes is not None and chosen.spec.datatype is DataType.BYTES:
            raise InvalidRequest(f"{what} is BYTES; classification needs numbers")
        return Chosen(chosen.spec, chosen.index, classes, shared_region(requested.parameters, what))

    def _make(self, chosen: Chosen, array: Array, write: WriteRegion) -> OutputTensor:
        name, datatype = chosen.spec.name, chosen.spec.datatype
        if chosen.classes is not None:
            labels = self._labels.get(name, ())
            what = f"output {shown(name)}"
            array = classify(array, datatype, chosen.classes, batched=self._batchable, labels=labels, what=what)
            datatype = DataType.BYTES
        if chosen.region is None:
            return OutputTensor(name, datatype, array)
        data = tensor_bytes.to_bytes(array, datatype)
        write(chosen.region, data)
        return OutputTensor(name, datatype, array, _where(chosen.region, len(data)))


def class_names(signature: Signature, manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Output name → names of the classes that its columns stand for, where the manifest leaves no doubt.

    A prediction's classes name the columns of every output that has as many; two predictions with different
    classes of that number name nothing.
    """
    found = {}
    for spec in signature.outputs:
        columns = spec.shape[-1] if len(spec.shape) > 1 else 0
        candidates = {
            prediction.classes for prediction in manifest.predictions if len(prediction.classes) == columns
        }
        if columns and len(candidates) == 1:
            found[spec.name] = candidates.pop()
    return found


def _where(region: Region, byte_size: int) -> Mapping[str, Parameter]:
    where: dict[str, Parameter] = {"shared_memory_region": region.name, "shared_memory_byte_size": byte_size}
    if region.offset:
        where["shared_memory_offset"] = region.offset
    return where
