"""A folder for what a tuning needs for a while, and what is said when its disk has no room."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rapide.tuning.errors import TuningError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_HINT: Final = "Make room there, or name another folder: TMPDIR=/var/tmp rapide …"


@contextmanager
def work_folder(prefix: str) -> Iterator[Path]:
    """A new folder where TMPDIR says, gone afterwards. Raises TuningError where there is no room in it."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:  # it tries to write into each that it knows
        raise TuningError(
            "there is no folder for temporary files that can be written to: the disk may be full.", hint=_HINT
        ) from error
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        try:
            yield Path(name)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise TuningError(
                f"{Path(name).parent}, for temporary files, cannot be written to: {error.strerror}.", hint=_HINT
            ) from error
