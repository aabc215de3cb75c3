"""Which requests a hot way may answer: those whose inputs and outputs are rows of a fixed size, in usual order."""

from __future__ import annotations

from rapide.server.catalogue import LoadedVersion
from rapide.server.errors import RapideError
from rapide.server.signature import DYNAMIC, DataType
from rapide.server.tensors import InferRequest, bind


def usual_outputs(request: InferRequest, version: LoadedVersion) -> list[int] | None:
    """Which of the model's outputs requests like ``request`` want; None where they must go the general way."""
    signature = version.model.signature
    names = [spec.name for spec in signature.outputs]
    wanted = [output.name for output in request.outputs] or names
    try:
        bind(request, signature)
        indexes = [names.index(name) for name in wanted]
    except (RapideError, ValueError):
        return None
    # The engine wants the signature's order; a client that sends inputs in another goes the general way.
    if [tensor.name for tensor in request.inputs] != [spec.name for spec in signature.inputs]:
        return None
    outputs = [signature.outputs[index] for index in indexes]
    if not signature.batchable or any(
        spec.datatype is DataType.BYTES or DYNAMIC in spec.shape[1:] for spec in outputs
    ):
        return None
    return indexes
