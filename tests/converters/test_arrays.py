from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.converters.arrays import load_arrays, save_arrays

# numpy's fixed-width texts cannot tell trailing NULs from padding.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_texts_come_back_as_objects(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    path = tmp_path_factory.mktemp("arrays") / "texts.npz"
    save_arrays(path, {"input:name": np.array(values, dtype=object).reshape(-1, 1)})
    loaded = load_arrays(path)["input:name"]
    assert loaded.dtype == object
    assert loaded.ravel().tolist() == values


def test_numbers_keep_their_type_and_shape(tmp_path: Path) -> None:
    arrays = {"a": np.zeros((0, 3), np.float32), "b": np.array([True]), "c": np.array([[1]], np.int64)}
    save_arrays(tmp_path / "numbers.npz", arrays)
    loaded = load_arrays(tmp_path / "numbers.npz")
    assert {name: (array.dtype, array.shape) for name, array in loaded.items()} == {
        name: (array.dtype, array.shape) for name, array in arrays.items()
    }


def test_no_pickle_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "pickled.npz", a=np.array([{"any": "object"}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        load_arrays(tmp_path / "pickled.npz")


def archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, member in members.items():
            file.writestr(name.replace("_", "."), member)
    return content.getvalue()


def written(save: Callable[..., None]) -> bytes:
    content = io.BytesIO()
    save(content, np.arange(10_000.0))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "no archive of arrays, or damaged", id="empty"),
        pytest.param(b"PK\x03\x04 not really", "no archive of arrays, or damaged", id="no archive"),
        pytest.param(written(np.savez)[:-100], "no archive of arrays, or damaged", id="cut short"),
        pytest.param(
            written(np.savez_compressed).replace(b"\x00\x00", b"\xff\xff"), "or damaged", id="other bytes"
        ),
        pytest.param(archive(a_npy=b"\x93NUMPY\x01\x00v\x00{'descr': ((".ljust(128)), "damaged", id="a header"),
        pytest.param(archive(a_txt=b"hello"), "'a.txt' in it is no array", id="a text"),
        pytest.param(written(np.save), "one array without a name", id="a lone array"),
    ],
)
def test_what_is_no_archive_of_arrays(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(ValueError, match=complaint):
        load_arrays(tmp_path / "rows.npz")
