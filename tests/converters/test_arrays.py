from __future__ import annotations

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
