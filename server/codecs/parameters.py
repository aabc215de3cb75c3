"""Request and tensor parameters: the ones that codecs and the service understand, checked and typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rapide.server.codecs.describe import described, shown
from rapide.server.errors import InvalidRequest, Unimplemented
from rapide.server.tensors import Parameter, RequestedOutput

ReadRegion = Callable[[str, int, int], memoryview]
"""(region, offset, byte_size) → those bytes. Raises NotFound or InvalidRequest; views, not copies."""


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a registered shared-memory region that holds, or is to hold, one tensor."""

    name: str
    offset: int
    byte_size: int


def shared_region(parameters: Mapping[str, Parameter], what: str) -> Region | None:
    """The region that ``shared_memory_region``, ``_byte_size`` and ``_offset`` name, or None.

    Raises InvalidRequest for a missing byte size and for values that are no sizes.
    """
    name = parameters.get("shared_memory_region")
    if name is None:
        return None
    if not isinstance(name, str):
        raise InvalidRequest(f"{what}: shared_memory_region must be a text, got {described(name)}")
    byte_size = size_parameter(parameters, "shared_memory_byte_size", what)
    if byte_size is None:
        raise InvalidRequest(f"{what}: shared_memory_region needs shared_memory_byte_size beside it")
    return Region(name, size_parameter(parameters, "shared_memory_offset", what) or 0, byte_size)


def read_shared(region: Region, read_region: ReadRegion | None, what: str) -> memoryview:
    """The bytes of ``region``. Raises Unimplemented where this server has shared memory turned off."""
    if read_region is None:
        raise Unimplemented(f"{what} is in shared memory, which this server does not offer")
    return read_region(region.name, region.offset, region.byte_size)


def json_parameters(holder: Mapping[str, Any], what: str) -> Mapping[str, Parameter]:
    """The ``parameters`` of a JSON object, if any. Raises InvalidRequest for a value that none can have."""
    value = holder.get("parameters")
    if value is None:
        return {}
    if type(value) is not dict:
        raise InvalidRequest(f"{what}: parameters must be an object, got {described(value)}")
    for name, parameter in value.items():
        kind = type(parameter)
        if kind not in _PARAMETER_TYPES or (kind is int and not -(2**63) <= parameter < 2**64):
            raise InvalidRequest(
                f"{what}: parameter {shown(name)} must be a text, a number of 64 bits, true or false, "
                f"got {described(parameter)}"
            )
    return value


_PARAMETER_TYPES = frozenset({bool, int, float, str})


def size_parameter(parameters: Mapping[str, Parameter], name: str, what: str) -> int | None:
    """A whole number of at least 0, or None where it is absent. Raises InvalidRequest for anything else."""
    value = parameters.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise InvalidRequest(f"{what}: {name} must be a whole number of at least 0, got {described(value)}")
    return value


def flag_parameter(parameters: Mapping[str, Parameter], name: str, what: str) -> bool | None:
    """True or false, or None where it is absent. Raises InvalidRequest for anything else."""
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidRequest(f"{what}: {name} must be true or false, got {described(value)}")


def check_outputs(outputs: Iterable[RequestedOutput]) -> None:
    """Raises InvalidRequest for an output that is asked for twice."""
    seen = set()
    for output in outputs:
        if output.name in seen:
            raise InvalidRequest(f"output {shown(output.name)} is asked for more than once")
        seen.add(output.name)
