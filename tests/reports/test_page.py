"""A page is one well-formed file, and nothing that it is told becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from rapide.reports.page import Page

VOID = {"meta"}


class Reader(HTMLParser):
    """Follows the elements of a page; fails where one is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(page: Page) -> Reader:
    reader = Reader()
    reader.feed(page.html())
    reader.close()
    assert reader.open == []
    return reader


EVIL = '<script>alert("x")</script>&'


def test_nothing_that_is_told_becomes_markup() -> None:
    page = Page(EVIL, EVIL)
    page.heading(EVIL)
    page.text(EVIL)
    page.facts({EVIL: EVIL})
    page.table([EVIL], [[EVIL]], EVIL)
    page.plot("<svg></svg>", EVIL)
    reader = read(page)
    assert "script" not in {tag for tag, _ in reader.seen}
    assert "".join(reader.texts).count(EVIL) == 11


def test_columns_of_numbers_are_set_flush_right() -> None:
    page = Page("t")
    page.table(["name", "value", "share"], [["a1b", "1,234.5 ms", "3.2 %"], ["c", "–", "−4e-05"]])
    classes = [attributes.get("class") for tag, attributes in read(page).seen if tag in ("th", "td")]
    assert classes == [None, "number", "number"] * 3


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells under 2 headers"):
        Page("t").table(["a", "b"], [["1"]])


def test_both_themes_are_there_and_nothing_is_fetched() -> None:
    text = Page("t").html()
    assert "prefers-color-scheme: dark" in text
    assert "--ink: #1b1f24" in text
    assert "--ink: #e6e8eb" in text
    assert not {"http://", "https://", "url(", "src="} & {word for word in text.split() if "//" in word}


def test_saving_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    page = Page("new")
    page.save(path)
    assert path.read_text() == page.html()
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_saved_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OSError, match="page"):
        Page("new").save(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
