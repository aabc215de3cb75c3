"""Opens a joblib or pickle file. This runs code that is stored in the file: only ever in a confined child
process."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError

_STARTS = (b"\x80", b"\x78", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18", b"ZF")
"""First bytes of pickles (protocol 2 and up) and of what joblib compresses with."""


def unpickle(path: Path, channel: Channel) -> tuple[Any, str]:
    """The object in ``path``, and the scikit-learn version that wrote it.

    Raises ConversionError, saying what to do, if it cannot be had.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise ConversionError(f"{path.name} is empty")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = _load_skops(path) if path.suffix.lower() == ".skops" else joblib.load(path)
        except MemoryError:
            raise
        except Exception as error:  # whatever the stored code raises
            raise _explained(path, start, error) from error
    return model, _trained_with(caught, channel)


def _load_skops(path: Path) -> Any:
    """skops' own format, which runs only code of the types that are trusted: all of them, in here."""
    skops = importlib.import_module("skops.io")
    return skops.load(path, trusted=skops.get_untrusted_types(file=path))


def _explained(path: Path, start: bytes, error: Exception) -> ConversionError:
    if not start.startswith(_STARTS) and path.suffix.lower() != ".skops":
        return ConversionError(
            f"{path.name} is not a pickle or joblib file (it starts with {start!r})",
            hint="Write it with joblib.dump(model, 'model.joblib').",
        )
    if isinstance(error, ModuleNotFoundError):
        return ConversionError(
            f"{path.name} needs the module {error.name!r}, which is not installed here",
            hint="Install it, or put the folder that holds it on PYTHONPATH.",
        )
    if isinstance(error, AttributeError):
        return ConversionError(
            f"{path.name} needs code that is not here: {error}",
            hint="Classes and functions of a notebook or script are not stored in a pickle: put them in a module "
            "on PYTHONPATH, or do without them.",
        )
    return ConversionError(
        f"{path.name} cannot be unpickled: {type(error).__name__}: {str(error)[:300]}",
        hint="The file may be cut off, or written by a very different version of its libraries.",
    )


def _trained_with(caught: list[warnings.WarningMessage], channel: Channel) -> str:
    """scikit-learn warns where it is not of the version that wrote an estimator; the user is told once."""
    versions = sorted(
        {
            warning.message.original_sklearn_version
            for warning in caught
            if isinstance(warning.message, InconsistentVersionWarning)
        }
    )
    if not versions:
        return str(sklearn.__version__)
    channel.note(
        f"trained with scikit-learn {', '.join(versions)}, opened with {sklearn.__version__}: the model may "
        "answer differently than where it was trained. To be sure, convert with the version of the training."
    )
    return ", ".join(versions)
