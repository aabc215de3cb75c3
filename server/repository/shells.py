"""Files that are often taken for ONNX models, known by their first bytes."""

from __future__ import annotations

_SHELLS: tuple[tuple[bytes, str], ...] = (
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x78\x9c", "a zlib file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x7fELF", "a program"),
    (b"{", "JSON or text"),
    (b"<", "markup"),
    (b"ubj", "an XGBoost model"),
    (b"tree\n", "a LightGBM model"),
    (b"CBM1", "a CatBoost model"),
    (b"ORTM", "an ORT-format model"),
)
"""None of them begins an ONNX model: its first byte tells a field's number and type."""


def shell_of(head: bytes) -> str:
    """What a file that begins with ``head`` is, in words; empty if it may be ONNX."""
    for mark, name in _SHELLS:
        if head.startswith(mark):
            return name
    return ""
