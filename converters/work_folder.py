"""The folder that work is done in, and what is said when its disk has no room."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rapide.converters.errors import ConversionError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SIGNS = {os.strerror(number): number for number in (*_FULL, errno.EFBIG)}
"""How the system says it, also in the words of libraries that wrap the error."""

_REMEDY = "Make room there, or name a folder with more of it: TMPDIR=/var/tmp rapide …"


@contextmanager
def work_folder(prefix: str) -> Iterator[Path]:
    """A new folder where TMPDIR says, gone afterwards. Raises ConversionError where there is no room in it."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:  # it tries to write into each that it knows
        raise ConversionError(
            "there is no folder for temporary files that can be written to: the disk may be full", hint=_REMEDY
        ) from error
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        try:
            yield Path(name)
        except OSError as error:
            told = no_room(str(error), Path(name))
            if told is None:
                raise
            raise told from error


def no_room(text: str, folder: Path) -> ConversionError | None:
    """What to say of an error with this ``text``, met while working in ``folder``; None if it is about other
    things."""
    number = next((number for sign, number in _SIGNS.items() if sign in text), None)
    if number is None:
        return None
    if number in _FULL:
        return ConversionError(
            f"no space left in {folder.parent}, where the work is done",
            hint=_REMEDY,
        )
    return ConversionError(
        f"a file in {folder.parent}, where the work is done, became larger than is allowed here",
        hint="The shell's limit is shown by ulimit -f.",
    )
