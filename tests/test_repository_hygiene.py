"""What no reviewer should have to look for: paths of one machine, dead links, scripts that are not executable."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]


def _files() -> list[Path]:
    """What is, or is about to be, committed: links left out, as their targets are listed themselves."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def _texts() -> Iterator[tuple[Path, str]]:
    for path in _files():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            yield path.relative_to(ROOT), content.decode()


# Written in two halves, so that this file is not found by its own search.
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.$}/-])/(?:wor" r"k|far" r"m|roo" r"t|tmp/la" r"b|home/\w+)/\w"),
    "the host of a package registry": re.compile(
        r"(?:pypi\.o" r"rg|pythonhosted\.o" r"rg|registry\.npmjs\.o" r"rg|deb\.debian\.o" r"rg)"
    ),
    "a merge left half done": re.compile(r"^(?:<{7} |>{7} )", re.MULTILINE),
    "unfinished work": re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()!r}"
        for path, text in _texts()
        for match in FORBIDDEN[what].finditer(text)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


def test_scripts_are_executable_and_say_what_runs_them() -> None:
    scripts = [path for path in _files() if path.parent.name in ("scripts", ".ci")]
    assert scripts
    wrong = [str(path.relative_to(ROOT)) for path in scripts if not os.access(path, os.X_OK)]
    wrong += [str(path.relative_to(ROOT)) for path in scripts if not path.read_bytes().startswith(b"#!/")]
    assert not wrong


def test_no_large_file_is_committed() -> None:
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in _files()}
    assert {name: size for name, size in large.items() if size > 512 * 1024} == {}


def test_links_in_the_docs_lead_somewhere() -> None:
    pages = {path: text for path, text in _texts() if path.suffix == ".md"}
    dead = [f"{path}: {link}" for path, text in pages.items() for link in _links(text) if not _leads(path, link)]
    assert not dead, "\n".join(dead)


def _leads(page: Path, link: str) -> bool:
    name, _, anchor = unquote(link).partition("#")
    goal = ROOT / page.parent / name if name else ROOT / page
    return goal.exists() and (not anchor or goal.suffix != ".md" or anchor in _anchors(goal.read_text()))


def _links(text: str) -> list[str]:
    """Relative targets of Markdown links, those in code blocks left out."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    targets = re.findall(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)", prose)
    return [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub makes from a page's headings."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *#*$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
