"""Names and places in a model repository: what may be called what, and which file lies where.

models/                    the repository
  car-price/               a model
    activations.jsonl      which version each label meant, and since when
    .lock                  held while somebody publishes
    .staging-…/            a version being written; swept by the next publisher if its writer died
    1/  model.onnx         a version: immutable
        manifest.json
        variants/         other forms of the model
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from rapide.server.errors import InvalidRequest

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
BASELINE_FILE = "baseline.json"
GOLDEN_FILE = "golden.npz"
VARIANTS_FOLDER = "variants"
ACTIVATIONS_FILE = "activations.jsonl"
LOCK_FILE = ".lock"
STAGING_PREFIX = ".staging-"
BARE_SUFFIX = ".onnx"
BARE_VERSION = 1
"""The version that a bare ``.onnx`` file is served as."""
MAX_NESTING = 4
"""Folders inside a version (external weights): more is no model, and could be a trap."""
MAX_FILES = 10_000
"""Files of one version; a model split into more would not be loadable in useful time either."""

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Safe as a folder, a URL segment and a metrics label; a leading dot would hide the folder."""
LABEL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
"""Starts with a letter, so that a label is never taken for a version."""
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""At most 18 digits: every version fits the int64 that protocols carry."""


def is_model_name(name: str) -> bool:
    return MODEL_NAME.fullmatch(name) is not None


def check_model_name(name: str) -> str:
    """``name`` itself. Raises InvalidRequest if it cannot name a model."""
    if not is_model_name(name):
        raise InvalidRequest(
            f"{name[:160]!r} cannot name a model",
            hint="Use 1 to 128 letters, digits, '.', '_' and '-', starting with a letter or digit.",
        )
    return name


def check_label_name(label: str) -> str:
    """``label`` itself. Raises InvalidRequest if it cannot name a label."""
    if LABEL_NAME.fullmatch(label) is None:
        raise InvalidRequest(
            f"{label[:96]!r} cannot name a label",
            hint="Use 1 to 64 letters, digits, '.', '_' and '-', starting with a letter (for example stable).",
        )
    return label


def parse_version(text: str) -> int | None:
    """The version that a folder called ``text`` holds, or None where ``text`` is no positive integer."""
    return int(text) if _VERSION.fullmatch(text) else None


def is_safe_relative(name: str) -> bool:
    """Whether ``name`` is a plain, printable relative path that stays inside the folder it is joined to."""
    if not name or len(name) > 1024 or "\\" in name or not name.isprintable():
        return False
    parts = PurePosixPath(name).parts
    return not name.startswith("/") and "/".join(parts) == name and ".." not in parts and "." not in parts
