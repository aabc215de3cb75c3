from __future__ import annotations

import pytest

from rapide.server.errors import InvalidRequest
from rapide.server.repository.layout import check_label_name, check_model_name, is_safe_relative, parse_version


@pytest.mark.parametrize("name", ["a", "car-price", "7", "A.b_c-9", "x" * 128])
def test_good_model_names(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "..", "a b", "é", "x" * 129, "a\n", "a\0"])
def test_bad_model_names(name: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot name a model"):
        check_model_name(name)


@pytest.mark.parametrize("label", ["", "3", "-", "a=b", "a b", "stable\n", "x" * 65])
def test_bad_label_names(label: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot name a label"):
        check_label_name(label)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1", 1),
        ("42", 42),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("0", None),
        ("01", None),
        ("-1", None),
        ("1.0", None),
        ("²", None),
        ("", None),
        ("1\n", None),
    ],
)
def test_versions(text: str, version: int | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("name", ["model.onnx", "weights/layer.0.bin", "a b"])
def test_paths_inside(name: str) -> None:
    assert is_safe_relative(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "x" * 1025,
    ],
)
def test_paths_that_lead_elsewhere(name: str) -> None:
    assert not is_safe_relative(name)
