"""``rapide check``: what this machine offers, what a server would choose here, and what stands in its way."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from rapide.server.cores import choose_workers
from rapide.server.errors import RapideError, SettingsError
from rapide.server.machine import INSTRUCTION_SETS, Machine, read_machine
from rapide.server.settings import Settings, ports_of

EXAMPLES = """\
examples:
  rapide check                                  everything, with the settings that `rapide serve` would find
  rapide check --json | jq .problems            for scripts; the exit code is 1 if there are problems
  RAPIDE_HTTP_PORT=80 rapide check              would these settings work here?
"""
_MANY_FILES = 4096
"""A connection is a file; 1024, a common limit, is soon used up by idle clients."""
_TIGHT_SHARED_MEMORY_BYTES = 16 * 1024 * 1024

Verdict = Literal["ok", "note", "problem"]
_MARKS: dict[Verdict, str] = {"ok": "  ", "note": "· ", "problem": "✗ "}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. ``advice`` says what to do about a note or a problem."""

    topic: str
    value: str
    verdict: Verdict = "ok"
    advice: str = ""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "check",
        help="show what this machine offers and what a server would choose",
        description="Shows cores, quota, instruction sets, libraries and limits, and what `rapide serve` would "
        "choose from them. Exit code 1 if something prevents serving.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file with settings (default: rapide.toml, if there)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the findings; 1 if there is a problem."""
    machine = read_machine()
    findings = [*_processor(machine), *_limits(machine), *_libraries(machine)]
    try:
        settings = _settings(args.config)
        _check_tls(settings)
        findings += [*_choices(machine, settings), *_ports(settings)]
    except RapideError as error:
        findings.append(Finding("settings", error.message, "problem", error.hint))
    problems = [finding for finding in findings if finding.verdict == "problem"]
    if args.json:
        print(json.dumps(_to_json(machine, findings), ensure_ascii=False))
    else:
        print("\n".join([*_lines(findings), "", _summary(problems)]))
    return 1 if problems else 0


def _settings(config: str | None) -> Settings:
    from rapide.server.settings_sources import load  # noqa: PLC0415 - see main.py

    return load({}, os.environ, config)


def _check_tls(settings: Settings) -> None:
    from rapide.server.tls import load_tls  # noqa: PLC0415 - see main.py

    load_tls(settings)


def _processor(machine: Machine) -> Iterator[Finding]:
    cores = machine.cores
    yield Finding("processor", f"{machine.processor} ({machine.architecture})")
    yield Finding("cores", f"{machine.host_cores} on this host, {cores.affinity} in the affinity mask")
    quota = "none" if cores.quota is None else f"{cores.quota:g} cores"
    fraction = cores.quota is not None and cores.quota != int(cores.quota)
    advice = (
        "Only whole cores are used: a worker more would be throttled. Ask for a whole number." if fraction else ""
    )
    yield Finding("cpu quota", quota, "note" if fraction else "ok", advice)
    sets = machine.instruction_sets
    there = ", ".join(name for name, found in sets.items() if found) or "none that matter"
    slow = machine.architecture == "x86_64" and not sets["avx2"]
    yield Finding(
        "instructions",
        there,
        "note" if slow else "ok",
        "Without avx2 models run several times slower." if slow else "",
    )
    absent = [name for name, found in sets.items() if not found]
    if absent:
        yield Finding("not here", ", ".join(absent))


def _limits(machine: Machine) -> Iterator[Finding]:
    memory = machine.cores.memory_bytes
    yield Finding("memory", "unknown" if memory is None else f"{memory / 2**30:.1f} GiB usable")
    few = 0 <= machine.open_files < _MANY_FILES
    yield Finding(
        "open files",
        str(machine.open_files),
        "note" if few else "ok",
        f"Each connection is one. For many clients: ulimit -n {_MANY_FILES} or more." if few else "",
    )
    free = machine.shared_memory_bytes
    tight = free is None or free < _TIGHT_SHARED_MEMORY_BYTES
    yield Finding(
        "shared mem.",
        "not there" if free is None else f"{free / 2**20:.0f} MiB free",
        "note" if tight else "ok",
        "Counters go to a temporary folder, and clients cannot use shared memory (docker: --shm-size)."
        if tight
        else "",
    )
    yield Finding(
        "shared ports",
        "SO_REUSEPORT works" if machine.reuse_port else "SO_REUSEPORT does not work",
        "ok" if machine.reuse_port else "problem",
        "" if machine.reuse_port else "Workers share their ports by it. Use a Linux kernel of 3.9 or newer.",
    )


def _libraries(machine: Machine) -> Iterator[Finding]:
    yield Finding("python", machine.python)
    yield Finding(
        "hot path",
        "compiled" if machine.is_compiled else "interpreted",
        "ok" if machine.is_compiled else "note",
        ""
        if machine.is_compiled
        else "It answers the same, at more cost for each request. An installation that is not editable compiles "
        "it where a C compiler and Python's headers are (Debian: apt install gcc python3-dev).",
    )
    for name, version in machine.libraries.items():
        missing = version is None
        advice = f"Install it: pip install {name}" if missing else ""
        yield Finding(name, version or "not installed", "problem" if missing else "ok", advice)
    if machine.libraries["onnxruntime"]:
        from rapide.server.model.runtime import providers  # noqa: PLC0415 - loads the runtime

        yield Finding("providers", ", ".join(providers()))


def _choices(machine: Machine, settings: Settings) -> Iterator[Finding]:
    count = choose_workers(settings.workers, machine.cores)
    yield Finding("would use", f"{count.workers} worker{'s' * (count.workers > 1)}: {count.why}")
    too_many = count.workers * settings.threads > machine.cores.usable
    yield Finding(
        "",
        f"{settings.threads} thread{'s' * (settings.threads > 1)} within a model's run",
        "note" if too_many else "ok",
        "Workers and threads together are more than the usable cores: they will wait for each other."
        if too_many
        else "",
    )
    yield Finding("would tune", ", ".join(_worth_tuning(machine)))


def _worth_tuning(machine: Machine) -> Iterator[str]:
    """What is worth measuring on this machine; it depends on the model which of it pays."""
    yield "rows per batch"
    if machine.cores.usable > 1:
        yield "workers against threads"
    yield "spinning"
    int8 = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"} & machine.flags
    yield (
        f"int8 variants ({', '.join(sorted(int8))})"
        if int8
        else "no int8 variants: nothing here makes them faster"
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    from rapide.server.sockets import reserve  # noqa: PLC0415 - see main.py

    for name, port in ports_of(settings).items():
        try:
            reserve(settings.host, {name: port}).close()
        except SettingsError as error:
            yield Finding(name, f"{settings.host}:{port}", "problem", str(error))
        else:
            yield Finding(name, f"{settings.host}:{port} is free" if port else "any free one")


def _lines(findings: list[Finding]) -> Iterator[str]:
    width = max(len(finding.topic) for finding in findings)
    columns = max(shutil.get_terminal_size().columns, 60)
    for finding in findings:
        yield f"{_MARKS[finding.verdict]}{finding.topic:{width}}  {finding.value}"[: columns * 4]
        if finding.advice:
            yield f"  {'':{width}}  → {finding.advice}"


def _summary(problems: list[Finding]) -> str:
    if not problems:
        return "Nothing stands in the way of serving here."
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"{count} (✗) to solve before serving here."


def _to_json(machine: Machine, findings: list[Finding]) -> dict[str, object]:
    return {
        "machine": {**asdict(machine), "flags": sorted(machine.flags & INSTRUCTION_SETS.keys())},
        "instruction_sets": machine.instruction_sets,
        "findings": [asdict(finding) for finding in findings],
        "problems": [asdict(finding) for finding in findings if finding.verdict == "problem"],
    }
