"""``--memory-gib`` and ``--timeout``: what a child process may take, of convert and optimise."""

from __future__ import annotations

import argparse

from rapide.cli.finite import check_finite
from rapide.converters.errors import ConversionError
from rapide.converters.limits import GIB, Limits

MAX_GIB = 1 << 20
MAX_S = 7 * 24 * 3600
"""More than any machine has, and any conversion takes; the system's own limits have no room for more."""


def add_child_limits(group: argparse._ArgumentGroup, whose: str) -> None:
    """Adds both options; ``whose``: "the child process", for the help texts."""
    defaults = Limits()
    group.add_argument(
        "--memory-gib",
        type=float,
        default=defaults.memory_bytes / GIB,
        metavar="X",
        help=f"memory for {whose} (default: {defaults.memory_bytes / GIB:g})",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=defaults.time_s,
        metavar="S",
        help=f"seconds for {whose} (default: {defaults.time_s:g})",
    )


def child_limits(args: argparse.Namespace) -> Limits:
    """The limits that were asked for. Raises RapideError for what can be none."""
    check_finite({"--memory-gib": args.memory_gib, "--timeout": args.timeout})
    for option, given, most in (("--memory-gib", args.memory_gib, MAX_GIB), ("--timeout", args.timeout, MAX_S)):
        if not 0 < given <= most:
            raise ConversionError(f"{option} {given:g} is not above 0 and at most {most}")
    return Limits(memory_bytes=int(args.memory_gib * GIB), time_s=args.timeout)
