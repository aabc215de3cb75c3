"""Run as a program by test_killed.py: kills writers of a repository with SIGKILL and reports what they left.

``python -m tests.server.repository.killed steps publish FOLDER``: for N = 1, 2, 3, … a child does the work and
kills itself at the N-th line that it executes in the modules that write, until one child comes to the end.
``… moments publish FOLDER``: children work on and on until the parent kills them, each after a while of its own.

A program of its own, because a forked child should inherit no threads. Prints a JSON object.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rapide.server.repository import activation_log, files, local, publisher
from rapide.server.repository.digest import verify_version
from rapide.server.repository.labels import parse_changes
from tests.server.repository.examples import published

WRITERS = {module.__file__ for module in (publisher, activation_log, files, local)}
Work = Callable[[Path, int], object]


def publish_one(root: Path, turn: int) -> None:
    published(root, "m", b"second %d" % turn)


def label_one(root: Path, turn: int) -> None:
    changes = parse_changes([f"stable={1 + turn % 2}", f"canary={2 - turn % 2}:10%"])
    local.LocalRepository(root).set_labels("m", changes, "ann", f"turn {turn}")


WORKS: dict[str, Work] = {"publish": publish_one, "label": label_one}


def at_every_step(work: Work, folder: Path) -> dict[str, Any]:
    step, faults, outcomes = 0, [], set()
    while True:
        step += 1
        root = prepared(folder / str(step))
        child = os.fork()
        if child == 0:
            kill_at_line(step)
            work(root, 1)
            sys.settrace(None)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        outcomes.add(outcome(root))
        faults += [f"step {step}: {fault}" for fault in faults_of(root)]
        if os.WIFEXITED(status):
            return {"steps": step, "exit": os.WEXITSTATUS(status), "outcomes": sorted(outcomes), "faults": faults}


def at_any_moment(work: Work, folder: Path, rounds: int = 40) -> dict[str, Any]:
    root, faults = prepared(folder / "root"), []
    chance = random.Random(7)
    for round_ in range(rounds):
        child = os.fork()
        if child == 0:
            turn = 0
            while True:
                work(root, turn)
                turn += 1
        time.sleep(chance.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        faults += [f"round {round_}: {fault}" for fault in faults_of(root)]
    return {"faults": faults, "outcomes": [outcome(root)]}


def kill_at_line(number: int) -> None:
    """From here on this process dies before it executes its ``number``-th line of the modules that write."""
    left = number

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in WRITERS:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def prepared(root: Path) -> Path:
    for content in (b"one", b"two"):
        published(root, "m", content)
    return root


def outcome(root: Path) -> str:
    """What a reader can tell apart: how many versions there are, and what stable means."""
    model = local.LocalRepository(root).scan().models["m"]
    stable = model.labels.get("stable")
    return f"{len(model.versions)} versions, stable={stable.version if stable else None}"


def faults_of(root: Path) -> list[str]:
    """Everything that is not as it should be, before and after somebody else publishes and labels."""
    repository = local.LocalRepository(root)
    before = repository.scan()
    found = [str(problem) for problem in before.problems]
    number = published(root, "m", b"next")
    repository.set_labels("m", parse_changes([f"beta={number}"]), "bob")
    after = repository.scan()
    found += [f"afterwards {problem}" for problem in after.problems]
    if number <= max(before.models["m"].versions) or after.models["m"].labels["beta"].version != number:
        found.append(f"version {number} was given twice")
    for version in after.models["m"].versions.values():
        verify_version(version)
    found += [f"{path.name} was left behind" for path in (root / "m").glob(".staging-*")]
    return found


if __name__ == "__main__":
    mode, work, folder = sys.argv[1:]
    run = {"steps": at_every_step, "moments": at_any_moment}[mode]
    print(json.dumps(run(WORKS[work], Path(folder))))
