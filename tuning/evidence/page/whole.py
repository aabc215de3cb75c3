"""The page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rapide.tuning.evidence.page.accuracy import accuracy
from rapide.tuning.evidence.page.gains import gains
from rapide.tuning.evidence.page.plans import plans
from rapide.tuning.evidence.page.rows_per_run import rows_per_run

_INTRODUCTION = """\
# How good tuning is

Two questions: does the simulator behind `rapide tune` and `rapide plan` say what a real server then does,
and does tuning gain anything over the defaults? Both are answered by `scripts/tuning`, which trains three
small models, measures, and writes this page. How tuning is used: [guides/tune.md](guides/tune.md).

{models}

Each part was measured on one machine: the server, its workers and the load generator share the {cores} cores of a
virtual machine. So the ends of the distributions hold the machine's own noise and the generator's, and absolute
times are this machine's alone. Measured: {measured}.
"""
_SECTIONS: Final[tuple[tuple[str, str, Callable[[Sequence[Mapping[str, Any]]], Iterator[str]]], ...]] = (
    ("accuracy", "Simulated against real", accuracy),
    ("gains", "Tuned against default", gains),
    ("caps", "Rows per run", rows_per_run),
    ("plans", "Planned against real", plans),
)


def page(document: Mapping[str, Any]) -> str:
    """docs/tuning.md, of the figures in docs/tuning.json; sections without figures are left out."""
    parts = [
        _INTRODUCTION.format(
            models="\n".join(f"* *{name}*: {words}" for name, words in document.get("models", {}).items()),
            cores=document.get("cores", "?"),
            measured="; ".join(f"{part} {when}" for part, when in document.get("measured", {}).items()) or "never",
        )
    ]
    for name, heading, section in _SECTIONS:
        if document.get(name):
            parts += [f"## {heading}", *section(document[name])]
            parts += _remarks(document, name)
    return "\n".join(parts).rstrip() + "\n"


def _remarks(document: Mapping[str, Any], name: str) -> list[str]:
    """What somebody wrote about the figures of a section: shown beside these figures alone, since others have
    other reasons."""
    told = document.get("remarks", {}).get(name)
    if told is None or told["of"] != document["measured"][name]:
        return []
    return ["Why, as far as we know:", "", *(f"* {text}" for text in told["texts"]), ""]
