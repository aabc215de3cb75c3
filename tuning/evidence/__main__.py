"""``python -m rapide.tuning.evidence accuracy|gains|plans|render``: measures, and renders docs/tuning.md."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rapide.server.machine import read_machine
from rapide.tuning.evidence import accuracy, gains, planned, subjects
from rapide.tuning.evidence.page import page

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("accuracy", "gains", "plans", "render"))
    parser.add_argument(
        "--model", choices=tuple(subjects.KINDS), action="append", help="only this one (repeatable)"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "rapide-evidence")
    args = parser.parse_args()
    kept = DOCS / "tuning.json"
    document: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    names = args.model or list(subjects.KINDS)
    if args.what != "render":
        subjects.train(args.work / "models")
        machine = read_machine()
        cpus = tuple(range(machine.cores.usable))
        document |= {"cores": len(cpus), "processor": machine.processor}
        measured = {"accuracy": _accuracy, "gains": _gains, "plans": _plans}[args.what](args.work, names, cpus)
        others = [row for row in document.get(args.what, []) if row["model"] not in names]
        document[args.what] = sorted(others + measured, key=lambda row: list(subjects.KINDS).index(row["model"]))
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        way = "compiled" if machine.is_compiled else "interpreted"
        document["measured"] = document.get("measured", {}) | {args.what: f"{when}, the hot path {way}"}
        kept.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    (DOCS / "tuning.md").write_text(page(document))
    return 0


def _accuracy(work: Path, names: list[str], cpus: tuple[int, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in names:
        known = accuracy.prepare(work / "models", name, cpus, work, _say)
        for configuration in accuracy.CONFIGURATIONS[name]:
            found += [one.to_json() for one in accuracy.compare(known, name, configuration, _say)]
    return found


def _gains(work: Path, names: list[str], cpus: tuple[int, ...]) -> list[dict[str, Any]]:
    loads: Mapping[str, Any] = gains.LOADS
    return [
        gains.gain(work / "models", work / "tuning", name, profile, cpus, _step)
        for name in names
        for profile in loads[name]
    ]


def _plans(work: Path, names: list[str], _cpus: tuple[int, ...]) -> list[dict[str, Any]]:
    return [planned.check(work / "models", work / "tuning", name, _step) for name in names]


def _step(text: str, share: float) -> None:
    _say(f"{share:4.0%} {text}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
