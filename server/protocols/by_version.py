"""What is made once for each loaded version, and goes with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from rapide.server.catalogue import LoadedVersion

T = TypeVar("T")


class ByVersion(Generic[T]):
    """The one of the last version is kept at hand: nearly all requests meet the same."""

    __slots__ = ("_all", "_last", "_make", "_version")

    def __init__(self, make: Callable[[LoadedVersion], T]) -> None:
        self._make = make
        self._all: WeakKeyDictionary[LoadedVersion, T] = WeakKeyDictionary()
        self._version: LoadedVersion | None = None
        self._last: T | None = None

    def of(self, version: LoadedVersion) -> T | None:
        if version is not self._version:
            if version not in self._all:
                self._all[version] = self._make(version)
            self._last = self._all[version]
            self._version = version
        return self._last
