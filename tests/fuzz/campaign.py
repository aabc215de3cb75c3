"""Runs fuzz targets: for so many inputs or so long, with random changes or guided by coverage, and looks for what
no single input shows: time and memory that grow.

    python -m tests.fuzz.http2_fuzz --seconds 3600                     # random: needs nothing
    python -m tests.fuzz.http2_fuzz --atheris corpus/ -max_total_time=3600    # pip install atheris

A failure prints the input, made smaller, and the seed of the run. ``corpus/<target>.txt`` has inputs that
together reach most of what there is (one a line, in Base64): they are changed, and lend their pieces to others.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FunctionType

from tests.fuzz.mutate import mutated

CORPUS = Path(__file__).with_name("corpus")
MAX_CPU_S = 5.0
"""What one input may cost: thousands of times the usual, so that a busy machine does not matter."""
MAX_GROWTH_BYTES = 64 << 20
"""What the process may grow by after its first inputs: caches with a bound stay far below."""
_WARM_UP = 2000
SHRINK_S = 20.0
"""How long an input that fails is made smaller."""


@dataclass(frozen=True, slots=True)
class Target:
    """``attempt`` raises where something happened that must not. ``seeds`` are good inputs; ``grow`` makes a new
    one where there is a grammar, else one is made by changing what is known."""

    name: str
    attempt: Callable[[bytes], object]
    seeds: Sequence[bytes]
    grow: Callable[[Random], bytes] | None = None

    def known(self) -> list[bytes]:
        """The seeds and the corpus."""
        corpus = CORPUS / f"{self.name}.txt"
        lines = corpus.read_text().split() if corpus.exists() else []
        return [*self.seeds, *map(base64.b64decode, lines)]


def fuzz(
    target: Target,
    random: Random,
    *,
    runs: int | None = None,
    until_s: float = 0.0,
    others: Sequence[bytes] = (),
) -> int:
    """Tries ``target`` ``runs`` times or until that instant; how many inputs were tried.

    Raises AssertionError, with the input, for the first that fails, takes too long, or after which the process has
    grown too much.
    """
    known = target.known()
    pieces = [*known, *others]
    tried, base_bytes = 0, 0
    while tried < runs if runs is not None else time.monotonic() < until_s:
        _try(target, _next(target, known, pieces, random))
        tried += 1
        if tried == _WARM_UP:
            base_bytes = _resident_bytes()
        elif tried % _WARM_UP == 0:
            growth_bytes = _resident_bytes() - base_bytes
            assert growth_bytes < MAX_GROWTH_BYTES, f"target {target.name} grew by {growth_bytes} bytes"
    return tried


def _next(target: Target, known: list[bytes], pieces: list[bytes], random: Random) -> bytes:
    if target.grow is None:
        return mutated(random.choice(known), pieces, random)
    match random.randrange(8):
        case 0:
            return mutated(random.choice(known), pieces, random)
        case 1:
            return mutated(target.grow(random), pieces, random)
        case _:
            return target.grow(random)


def _try(target: Target, data: bytes) -> None:
    started_s = time.process_time()
    error = _failure(target, data)
    cpu_s = time.process_time() - started_s
    if error is not None:
        data = _smaller(target, data, type(error), time.monotonic() + SHRINK_S)
        raise AssertionError(f"target {target.name} on {data!r}: {error!r}") from error
    assert cpu_s < MAX_CPU_S, f"target {target.name} took {cpu_s:.1f} s on {data!r}"


def _failure(target: Target, data: bytes) -> Exception | None:
    try:
        target.attempt(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it should not have been
        return error
    return None


def _smaller(target: Target, data: bytes, kind: type[Exception], until_s: float) -> bytes:
    """A part of ``data`` that fails likewise, as far as taking away ever smaller pieces gets."""
    size = len(data) // 2
    while size:
        for start in range(len(data) - size, -1, -size):
            rest = data[:start] + data[start + size :]
            if time.monotonic() > until_s:
                return data
            if isinstance(_failure(target, rest), kind):
                data = rest
        size //= 2
    return data


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(description: str | None, targets: Sequence[Target], arguments: list[str] | None = None) -> int:
    """The command line of a module of targets."""
    names = [target.name for target in targets]
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", choices=[*names, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=None, help="of the random changes; printed, to be repeated")
    parser.add_argument("--atheris", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="libFuzzer's arguments")
    options = parser.parse_args(arguments)
    chosen = [target for target in targets if options.target in ("all", target.name)]
    if options.atheris is not None:
        return _with_atheris(chosen, options.atheris)
    seed = time.time_ns() if options.seed is None else options.seed
    others = [seed for target in targets for seed in target.seeds]
    for target in chosen:
        print(f"{target.name}: random inputs, seed {seed}", flush=True)
        tried = fuzz(target, Random(seed), until_s=time.monotonic() + options.seconds, others=others)
        print(f"{target.name}: {tried} inputs, none of which did what it must not", flush=True)
    return 0


def _with_atheris(targets: list[Target], arguments: list[str]) -> int:
    import atheris  # noqa: PLC0415 - optional

    for function in _functions_of("rapide.server"):
        atheris.instrument_func(function)  # in place: it counts the branches taken

    def one_input(data: bytes) -> None:
        if data:
            targets[data[0] % len(targets)].attempt(data[1:])

    for folder in (Path(argument) for argument in arguments if not argument.startswith("-")):
        folder.mkdir(parents=True, exist_ok=True)
        for index, target in enumerate(targets):
            for number, seed in enumerate(target.known()):
                (folder / f"{target.name}-{number}").write_bytes(bytes([index]) + seed)

    def changed(data: bytes, max_bytes: int, seed: int) -> bytes:
        """A third each: bytes changed blindly, changed with a sense of what they are, and wholly new ones."""
        random = Random(seed)
        known = targets[data[0] % len(targets)] if data else targets[0]
        index = targets.index(known)
        match random.randrange(3):
            case 0:
                return bytes(atheris.Mutate(data, max_bytes))
            case 1 if known.grow is not None:
                body = known.grow(random)
            case _:
                body = mutated(data[1:], pieces[index], random)
        return (bytes([index]) + body)[:max_bytes]

    pieces = [target.known() for target in targets]
    atheris.Setup([sys.argv[0], *arguments], one_input, custom_mutator=changed)
    atheris.Fuzz()
    return 0


def _functions_of(package: str) -> Iterator[FunctionType]:
    for module in [module for name, module in sys.modules.items() if name.startswith(package)]:
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        for holder in (module, *classes):
            for value in vars(holder).values():
                if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                    yield value
