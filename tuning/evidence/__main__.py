"""``python -m rapide.tuning.evidence replays|accuracy|gains|caps|plans|render``: renders docs/tuning.md.

``replays`` asks the servers that ``accuracy`` then compares the simulator with; only the former needs a quiet
machine."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rapide.server.machine import read_machine
from rapide.tuning import stall_meter
from rapide.tuning.evidence import accuracy, caps, gains, planned, replays, subjects
from rapide.tuning.evidence.page.whole import page

DOCS = Path("docs")
"""Of the checkout where this is called: what runs may be a compiled copy of it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("replays", "accuracy", "gains", "caps", "plans", "render"))
    parser.add_argument(
        "--model", choices=tuple(subjects.KINDS), action="append", help="only this one (repeatable)"
    )
    parser.add_argument("--profile", action="append", help="of the gains, only this one (repeatable)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "rapide-evidence")
    args = parser.parse_args()
    kept = DOCS / "tuning.json"
    document: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    work = args.work / subjects.EDITION
    names = args.model or list(subjects.KINDS)
    if args.what == "replays":
        return _replays(work, names)
    if args.what != "render":
        subjects.train(work / "models")
        machine = read_machine()
        if document.get("edition") != subjects.EDITION:  # figures of other models say nothing of these
            document = {"edition": subjects.EDITION}
        cpus = tuple(range(machine.cores.usable))
        models = {name: kind.words for name, kind in subjects.KINDS.items()}
        document |= {"models": models, "cores": len(cpus)}
        if args.what == "gains":
            measured = _gains(work, names, args.profile, cpus)
        else:
            measured = {"accuracy": _accuracy, "caps": _caps, "plans": _plans}[args.what](work, names)
        others = [row for row in document.get(args.what, []) if args.profile or row["model"] not in names]
        found = {_key(row): row for row in [*others, *measured]}
        document[args.what] = sorted(found.values(), key=lambda row: list(subjects.KINDS).index(row["model"]))
        stamp = min(_asked(work, name)[0] for name in names) if args.what == "accuracy" else _stamp()
        earlier = ", some rows earlier" if len(found) > len(measured) else ""
        document["measured"] = document.get("measured", {}) | {args.what: f"{stamp}{earlier}"}
        kept.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    (DOCS / "tuning.md").write_text(page(document))
    return 0


def _replays(work: Path, names: list[str]) -> int:
    subjects.train(work / "models")
    for name in names:
        collected = replays.collect(work / "models", name, work, _say)
        _kept(work, name).write_bytes(pickle.dumps((_stamp(), collected)))
    return 0


def _kept(work: Path, name: str) -> Path:
    return work / f"{name}.replays"


def _asked(work: Path, name: str) -> tuple[str, replays.Collected]:
    """When the replays of ``name`` were made, and what they gave."""
    found: tuple[str, replays.Collected] = pickle.loads(_kept(work, name).read_bytes())  # noqa: S301 - our own
    return found


def _stamp() -> str:
    """Now, and how what is measured now runs."""
    way = "compiled" if read_machine().is_compiled else "interpreted"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {read_machine().processor}, the hot path {way}"


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a row is asked, and not found."""
    return tuple(row.get(name) for name in ("model", "cores", "configuration", "profile", "rows"))


def _accuracy(work: Path, names: list[str]) -> list[dict[str, Any]]:
    collected = {name: _asked(work, name)[1] for name in names}
    stalls = stall_meter.together([each.stalls for each in collected.values()])
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # nothing is measured here, only simulated
        judged = [
            pool.submit(accuracy.judge, each, name, cpus, stalls, _say)
            for name, each in collected.items()
            for cpus in each.observations
        ]
        return [one.to_json() for comparisons in judged for one in comparisons.result()]


def _gains(
    work: Path, names: list[str], profiles: Sequence[str] | None, cpus: tuple[int, ...]
) -> list[dict[str, Any]]:
    loads: Mapping[str, Any] = gains.LOADS
    return [
        gains.gain(work / "models", work / "tuning", name, profile, cpus, _step, fresh=not number)
        for name in names
        for number, profile in enumerate(each for each in loads[name] if profiles is None or each in profiles)
    ]


def _caps(work: Path, names: list[str]) -> list[dict[str, Any]]:
    return [row for name in names for row in caps.measure_rows(work / "models", name, _say)]


def _plans(work: Path, names: list[str]) -> list[dict[str, Any]]:
    return [planned.check(work / "models", work / "tuning", name, _step) for name in names]


def _step(text: str, share: float) -> None:
    _say(f"{share:4.0%} {text}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
