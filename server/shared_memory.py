"""System shared memory that clients on this machine register, so that tensors need not travel in messages.

A region is a part of a POSIX shared-memory object, which Linux shows as a file in ``/dev/shm``. It is read and
written with ``pread`` and ``pwrite``, not mapped: a client may shrink its object at any moment, and touching a
mapping beyond the end kills the process (SIGBUS) while a read merely comes back short. The copy costs what a
``memcpy`` costs.

Every worker must know the same regions, so they are part of the state that the supervisor hands out:
``prepare`` opens what is new (and refuses it as a whole), ``commit`` switches, ``abort`` forgets. A worker that
starts later may find objects gone whose regions the others still hold open, since any client may unlink them: it
keeps those as *dead* regions, which are errors to use: one client's clean-up must not keep workers from starting.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rapide.server.errors import Conflict, InvalidRequest, NotFound, TooLarge

_log = logging.getLogger(__name__)

SHARED_MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - the objects' place, not a temporary file of ours
MAX_NAME_CHARS: Final = 255
"""NAME_MAX of Linux file systems; region names get the same bound."""
MAX_REGIONS: Final = 1024
"""Each holds a file descriptor; the common limit per process is 1024 or more, and sockets need some too."""
MAX_READ_BYTES: Final = 2 * 1024**3
"""One tensor of as many FP64 elements as the codecs allow; a region may be larger, and sparse."""

_KEY: Final = re.compile(r"/?[^/\0]{1,255}")


@dataclass(frozen=True, slots=True)
class Region:
    """A registered part of a shared-memory object; ``descriptor`` is open as long as the region is registered.

    A dead region has no descriptor (-1), and says ``why_dead``.
    """

    name: str
    key: str
    offset: int
    byte_size: int
    descriptor: int
    why_dead: str = ""

    def to_json(self) -> dict[str, Any]:
        """As Triton's status call describes it."""
        return {"name": self.name, "key": self.key, "offset": self.offset, "byte_size": self.byte_size}


class SharedMemory:
    """The regions of one process. Not thread-safe: it lives on the event loop."""

    def __init__(self, folder: Path = SHARED_MEMORY_FOLDER) -> None:
        self._folder = folder
        self._regions: dict[str, Region] = {}
        self._prepared: dict[str, Region] | None = None

    def status(self, name: str = "") -> dict[str, Region]:
        """All regions, or the one called ``name``. Raises NotFound for an unknown name."""
        return {name: self._region(name)} if name else dict(self._regions)

    def check_new(self, name: str) -> None:
        """Raises InvalidRequest or Conflict unless ``name`` may be registered."""
        if not 0 < len(name) <= MAX_NAME_CHARS:
            raise InvalidRequest(f"a region's name has 1 to {MAX_NAME_CHARS} characters; this one has {len(name)}")
        if name in self._regions:
            raise Conflict(f"shared-memory region {name!r} is already registered.", hint="Unregister it first.")

    def read(self, name: str, offset: int, byte_size: int) -> memoryview:
        """``byte_size`` bytes from ``offset`` within the region.

        Raises NotFound for an unknown or dead region, InvalidRequest beyond its bounds or when it has shrunk,
        TooLarge above MAX_READ_BYTES.
        """
        region = self._slice(name, offset, byte_size)
        if byte_size > MAX_READ_BYTES:
            raise TooLarge(f"shared_memory_byte_size is {byte_size}; at most {MAX_READ_BYTES} are read at once")
        data = os.pread(region.descriptor, byte_size, region.offset + offset)
        if len(data) != byte_size:
            raise InvalidRequest(f"shared-memory region {name!r} has become smaller than when it was registered")
        return memoryview(data)

    def write(self, name: str, offset: int, data: bytes | memoryview, room_bytes: int) -> None:
        """Puts ``data`` at ``offset`` within the region, of which the caller may use ``room_bytes``.

        Raises NotFound for an unknown or dead region, InvalidRequest beyond the bounds or when it has shrunk.
        """
        region = self._slice(name, offset, room_bytes)
        if len(data) > room_bytes:
            raise InvalidRequest(
                f"the output needs {len(data)} bytes; shared_memory_byte_size for region {name!r} is {room_bytes}"
            )
        if os.fstat(region.descriptor).st_size < region.offset + region.byte_size:
            raise InvalidRequest(f"shared-memory region {name!r} has become smaller than when it was registered")
        os.pwrite(region.descriptor, data, region.offset + offset)

    def prepare(self, wanted: Mapping[str, Mapping[str, Any]], *, is_in_force: bool = False) -> None:
        """Opens what ``wanted`` (name → key, offset, byte_size) has and this process lacks; nothing is visible
        yet. What ``is_in_force`` in other workers already and cannot be opened here any more is dead here.

        Raises InvalidRequest or NotFound, and then nothing has changed.
        """
        self.abort()
        if len(wanted) > MAX_REGIONS:
            raise InvalidRequest(f"at most {MAX_REGIONS} shared-memory regions can be registered")
        prepared: dict[str, Region] = {}
        try:
            for name, given in wanted.items():
                prepared[name] = self._kept(name, given) or self._open_or_bury(name, given, is_in_force)
        except BaseException:
            self._close(prepared, but=self._regions)
            raise
        self._prepared = prepared

    def commit(self) -> None:
        """Makes what was prepared the truth, and closes what is gone."""
        if self._prepared is not None:
            before, self._regions, self._prepared = self._regions, self._prepared, None
            self._close(before, but=self._regions)

    def abort(self) -> None:
        """Forgets what was prepared."""
        if self._prepared is not None:
            self._close(self._prepared, but=self._regions)
            self._prepared = None

    def close(self) -> None:
        self.prepare({})
        self.commit()

    def _region(self, name: str) -> Region:
        try:
            return self._regions[name]
        except KeyError:
            known = ", ".join(repr(known) for known in list(self._regions)[:8]) or "none"
            raise NotFound(
                f"shared-memory region {name[:64]!r} is not registered; registered are: {known}"
            ) from None

    def _slice(self, name: str, offset: int, byte_size: int) -> Region:
        region = self._region(name)
        if offset < 0 or byte_size < 0 or offset + byte_size > region.byte_size:
            raise InvalidRequest(
                f"bytes {offset} to {offset + byte_size} are outside shared-memory region {name!r}, "
                f"which has {region.byte_size} bytes"
            )
        if region.why_dead:
            raise NotFound(
                f"shared-memory region {name!r} cannot be used: {region.why_dead}",
                hint="Unregister the region, and register it again with an object that exists.",
            )
        return region

    def _kept(self, name: str, given: Mapping[str, Any]) -> Region | None:
        region = self._regions.get(name)
        if region is not None and all(
            getattr(region, key) == given[key] for key in ("key", "offset", "byte_size")
        ):
            return region
        return None

    def _open_or_bury(self, name: str, given: Mapping[str, Any], is_in_force: bool) -> Region:
        try:
            return self._open(name, given)
        except (InvalidRequest, NotFound) as error:
            if not is_in_force:
                raise
            why = error.message.rstrip(".")
            _log.warning("shared-memory region %r is registered but cannot be used: %s", name, why)
            return Region(name, str(given["key"]), int(given["offset"]), int(given["byte_size"]), -1, why)

    def _open(self, name: str, given: Mapping[str, Any]) -> Region:
        key, offset, byte_size = str(given["key"]), int(given["offset"]), int(given["byte_size"])
        if not _KEY.fullmatch(key) or key.strip("/") in {".", ".."}:
            raise InvalidRequest(
                f"shared-memory key {key[:64]!r} is not a POSIX name: one leading slash at most, and no other"
            )
        if offset < 0 or byte_size < 1:
            raise InvalidRequest(
                f"region {name!r}: offset is {offset} and byte_size {byte_size}; expected at least 0 and 1"
            )
        descriptor = self._open_object(key)
        held = os.fstat(descriptor)
        if not stat.S_ISREG(held.st_mode) or offset + byte_size > held.st_size:
            os.close(descriptor)
            raise InvalidRequest(
                f"region {name!r} would end at byte {offset + byte_size} but "
                f"the shared-memory object {key!r} has {held.st_size} bytes"
            )
        return Region(name, key, offset, byte_size, descriptor)

    def _open_object(self, key: str) -> int:
        # O_NOFOLLOW: a link in /dev/shm must not make us open files elsewhere. O_NONBLOCK: nor wait for a FIFO's
        # writer.
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            return os.open(self._folder / key.removeprefix("/"), flags)
        except FileNotFoundError:
            raise NotFound(
                f"there is no shared-memory object {key!r}.", hint="Create it before registering it."
            ) from None
        except OSError as error:
            raise InvalidRequest(f"the shared-memory object {key!r} cannot be opened: {error.strerror}") from None

    @staticmethod
    def _close(regions: Mapping[str, Region], *, but: Mapping[str, Region]) -> None:
        kept = {region.descriptor for region in but.values()}
        for region in regions.values():
            if not region.why_dead and region.descriptor not in kept:
                os.close(region.descriptor)
