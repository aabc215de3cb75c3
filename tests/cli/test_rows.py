"""Rows as people have them: texts, files, standard input; JSON and CSV."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from rapide.cli.rows import Given, Table, read
from rapide.server.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ('{"make": "Ford"}', Given(rows=[{"make": "Ford"}])),
        (' [{"make": "Ford"}, {"make": "Fiat"}]', Given(rows=[{"make": "Ford"}, {"make": "Fiat"}])),
        ("[[1, 2], [3, 4]]", Given(rows=[[1, 2], [3, 4]])),
        ('{"make": ["Ford", "Fiat"]}', Given(columns={"make": ["Ford", "Fiat"]})),
        ('{"make": ["Ford"], "year": 2014}', Given(rows=[{"make": ["Ford"], "year": 2014}])),
        ('{"instances": [[1]]}', Given(rows=[[1]])),
        ('{"inputs": {"x": [1]}}', Given(columns={"x": [1]})),
        ('{"make": "Ford"}\n\n{"make": "Fiat"}\n', Given(rows=[{"make": "Ford"}, {"make": "Fiat"}])),
        ("{}", Given(rows=[{}])),
        ("[]", Given(rows=[])),
    ],
)
def test_json(text: str, given: Given) -> None:
    assert read(text) == given


def test_what_is_sent() -> None:
    assert Given(rows=[1]).to_json() == {"instances": [1]}
    assert Given(columns={"x": [1]}).to_json() == {"inputs": {"x": [1]}}


@pytest.mark.parametrize(
    ("given", "empty"),
    [
        (Given(rows=[]), True),
        (Given(columns={}), True),
        (Given(columns={"x": [], "y": []}), True),
        (Given(rows=[{}]), False),
        (Given(columns={"x": [None]}), False),
        (Given(columns={"x": 1}), False),
    ],
)
def test_whether_there_is_a_row(given: Given, empty: bool) -> None:
    assert given.empty is empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{make: Ford}",
            "the text of the rows is not JSON: Expecting property name enclosed in double quotes at line 1",
        ),
        ('{"make": "Ford"', "is not JSON"),
        ("[1, 2", "is not JSON"),
        ('{"a": 1}\nnonsense', "is not JSON"),
    ],
)
def test_json_that_is_none(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(text)

    assert message in str(caught.value)
    assert "single quotes around it" in caught.value.hint


def test_files(tmp_path: Path) -> None:
    json_file, csv_file, other = tmp_path / "cars.json", tmp_path / "cars.csv", tmp_path / "cars.txt"
    json_file.write_text('\ufeff[{"make": "Ford"}]', encoding="utf-8")
    csv_file.write_text("make\nFord\n")
    other.write_text("make,year\nFord,2014\n")

    assert read(str(json_file)) == Given(rows=[{"make": "Ford"}])
    assert read(str(csv_file)) == Table(["make"], [["Ford"]])
    assert read(str(other)) == Table(["make", "year"], [["Ford", "2014"]])


@pytest.mark.parametrize("text", ['{"make": "Ford"}', "make\nFord"])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))

    given = read("-")
    assert (given.given({}) if isinstance(given, Table) else given).to_json() in (
        {"instances": [{"make": "Ford"}]},
        {"inputs": {"make": ["Ford"]}},
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"make,year\n", "has no rows"),
        (b"make,year\nFord\n", "row 2 has 1 values, the first line 2 names"),
        (b"\xff\xfe\x00", "cannot be read as text"),
    ],
    ids=str,
)
def test_files_that_do_not_help(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "cars"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidRequest) as caught:
        read(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", "0"], None, [1, -2, 0]),
        (["1", "2.5", "1e3"], None, [1, 2.5, 1000.0]),
        (["1", "", "3"], None, [1, None, 3]),
        (["true", "False"], None, [True, False]),
        (["007", "008"], None, ["007", "008"]),
        (["1", "two"], None, ["1", "two"]),
        (["nan", "inf"], None, ["nan", "inf"]),
        (["", ""], None, [None, None]),
        (["95", "98"], "text", ["95", "98"]),
        (["95", "98"], "number", [95, 98]),
        (["TRUE", ""], "boolean", [True, None]),
    ],
)
def test_cells_are_read_as_the_model_says_or_as_they_look(
    cells: list[str], kind: str | None, values: list[Any]
) -> None:
    kinds = {} if kind is None else {"x": kind}

    columns = Table(["x"], [[cell] for cell in cells]).given(kinds).columns

    assert columns == {"x": values}
    assert columns is not None
    assert [type(value) for value in columns["x"]] == [type(value) for value in values]


@pytest.mark.parametrize(("cell", "kind"), [("far", "number"), ("7", "boolean")])
def test_cells_that_contradict_the_model(cell: str, kind: str) -> None:
    with pytest.raises(InvalidRequest, match=f"column 'x': '{cell}' is no {kind}"):
        Table(["x"], [[cell]]).given({"x": kind})
