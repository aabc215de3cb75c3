"""Pages that cannot be written: said before the work, or beside what came of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from rapide.cli.report_page import check_page, write_page
from rapide.reports.page import Page
from rapide.server.errors import RapideError


def test_what_could_be_written_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_page(None)
    check_page(Path("page.html"))
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param(".", "is a folder", id="a folder"),
        pytest.param("absent/page.html", "there is no folder .*absent", id="no folder"),
        pytest.param("file/page.html", "there is no folder .*file", id="a file in its place"),
    ],
)
def test_what_could_not_is_said(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RapideError, match=message):
        check_page(tmp_path / name)


def test_a_folder_that_may_not_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the system, which lets root write everywhere: so its answer is stood in for."""
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(RapideError, match="you may not write into"):
        check_page(tmp_path / "page.html")


def test_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(RapideError, match="matplotlib") as refused:
        check_page(tmp_path / "page.html")
    assert "rapide[reports]" in refused.value.hint


def test_a_page_that_fails_is_a_sentence(tmp_path: Path) -> None:
    assert write_page(tmp_path / "page.html", lambda: Page("one")) == ""
    assert "<title>one" in (tmp_path / "page.html").read_text()
    assert "was not written: [Errno" in write_page(tmp_path / "absent" / "page.html", lambda: Page("one"))
