"""Nested JSON lists to flat ones, row-major, with errors that name the index where the nesting is wrong."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

from rapide.server.codecs.describe import described
from rapide.server.errors import InvalidRequest


def flat_elements(data: Any, shape: tuple[int, ...], what: str) -> list[Any]:
    """The elements of ``data``: nested exactly as ``shape`` says, or already flat; for shape [] also a bare value.

    Raises InvalidRequest when the number of elements or the size of any nested list is not the shape's.
    """
    if type(data) is not list:
        if shape:
            raise InvalidRequest(f"{what}: expected data to be a list, got {described(data)}")
        return [data]
    if len(shape) > 1 and data and type(data[0]) is list:
        return unnest(data, shape, what)
    count = math.prod(shape)
    if len(data) != count:
        raise InvalidRequest(f"{what} has {len(data)} elements; its shape {list(shape)} needs {count}")
    return data


def unnest(data: list[Any], shape: tuple[int, ...], what: str) -> list[Any]:
    """The elements of lists nested exactly as ``shape`` says. Raises InvalidRequest for any other nesting."""
    items = [data]
    for level, size in enumerate(shape):
        if items and (set(map(type, items)) != {list} or set(map(len, items)) != {size}):
            raise _wrong_nesting(items, shape, level, what)
        items = list(chain.from_iterable(items))
    return items


def shape_of(value: Any, max_rank: int, what: str) -> tuple[int, ...]:
    """The shape that the first element of each level suggests; ``unnest`` then checks the others.

    Raises InvalidRequest for lists nested more than ``max_rank`` deep.
    """
    shape: list[int] = []
    while type(value) is list:
        shape.append(len(value))
        if len(shape) > max_rank:
            raise InvalidRequest(f"{what}: lists are nested more than {max_rank} deep")
        if not value:
            break
        value = value[0]
    return tuple(shape)


def index_of(position: int, shape: tuple[int, ...]) -> list[int]:
    """The index, in a tensor of ``shape``, of the element at a flat, row-major position."""
    index: list[int] = []
    for size in reversed(shape):
        position, rest = divmod(position, size)
        index.append(rest)
    return index[::-1]


def _wrong_nesting(items: list[Any], shape: tuple[int, ...], level: int, what: str) -> InvalidRequest:
    size = shape[level]
    position = next(i for i, item in enumerate(items) if type(item) is not list or len(item) != size)
    item = items[position]
    got = f"one of {len(item)}" if type(item) is list else described(item)
    where = f" at index {index_of(position, shape[:level])}" if level else ""
    return InvalidRequest(f"{what}: expected a list of {size}{where}, got {got} (the shape is {list(shape)})")
