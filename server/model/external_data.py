"""Where an ONNX file says that its weights lie, and the check that they lie inside the version's folder.

A model can name any path as the place of a tensor's data. Whoever opens it would read that file, so each place is
checked before the runtime sees the model (CVE-2022-25882 and CVE-2024-27318 were this hole in onnx).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from rapide.server.errors import BrokenVersion
from rapide.server.repository.layout import is_safe_relative

_NUMBER = re.compile(r"-?[0-9]{1,20}")
"""A place in a file: no more digits than 64 bits need."""


@dataclass(frozen=True, slots=True)
class ExternalData:
    """The place of one tensor's data: a file, and the bytes of it (``length`` 0: the tensor's size)."""

    location: str
    offset: int = 0
    length: int = 0


def check_external_data(places: Collection[ExternalData], folder: Path, published: Collection[str] | None) -> None:
    """Raises BrokenVersion unless each place is a regular file in ``folder``, no link on its way, long enough.

    ``published``: the files that the manifest vouches for; None where there is no manifest.
    """
    for place in places:
        name = place.location
        if not is_safe_relative(name):
            raise BrokenVersion(
                f"its weights are to be read from {name[:256]!r}, which may lead out of its folder"
            )
        if published is not None and name not in published:
            raise BrokenVersion(f"its weights are to be read from {name!r}, which its manifest does not list")
        size_bytes = _regular_size_bytes(folder, name)
        if place.offset < 0 or place.length < 0 or place.offset + place.length > size_bytes:
            raise BrokenVersion(
                f"its weights are to be read from {name!r} up to byte {place.offset + place.length}, "
                f"but the file has {size_bytes}"
            )


def _regular_size_bytes(folder: Path, name: str) -> int:
    path = folder
    status = None
    for part in name.split("/"):
        path /= part
        try:
            status = os.lstat(path)
        except OSError as error:
            raise BrokenVersion(f"its weights are to be read from {name!r}: {error.strerror}") from error
        if stat.S_ISLNK(status.st_mode):
            raise BrokenVersion(f"its weights are to be read from {name!r}, which is a link")
    if status is None or not stat.S_ISREG(status.st_mode):
        raise BrokenVersion(f"its weights are to be read from {name!r}, which is no regular file")
    return status.st_size


def place_of(entries: Mapping[str, str]) -> ExternalData:
    """The place that a tensor's ``external_data`` entries name. Raises BrokenVersion for numbers that are none."""
    offset, length = (_number(entries.get(name, "0")) for name in ("offset", "length"))
    return ExternalData(entries.get("location", ""), offset, length)


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise BrokenVersion("the place of a tensor's data is not a number")
    return int(text)
