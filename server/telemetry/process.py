"""What Linux knows of a process: memory, CPU time, open files, when it started. Reads ``/proc``."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UTIME, _STIME, _STARTTIME, _RSS = 11, 12, 19, 21
"""Fields of ``/proc/<pid>/stat`` (proc(5)), counted from the one after the command's closing bracket."""


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One living process at one instant."""

    resident_bytes: int
    cpu_s: float
    start_time_s: float
    """Epoch seconds."""
    open_files: int
    max_files: int
    threads: int


def started_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; −1 if there is none. With the id it names a process."""
    fields = _stat(pid)
    return int(fields[_STARTTIME]) if fields else -1


def boot_id() -> bytes:
    """16 bytes that name the machine's present boot."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return uuid.UUID(text.strip()).bytes


def facts(pid: int) -> ProcessFacts | None:
    """What there is to know, or None if the process is gone."""
    fields = _stat(pid)
    if fields is None:
        return None
    try:
        open_files = len(os.listdir(f"/proc/{pid}/fd"))
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    except OSError:
        return None
    return ProcessFacts(
        resident_bytes=int(fields[_RSS]) * _PAGE_BYTES,
        cpu_s=(int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_SECOND,
        start_time_s=_boot_time_s() + int(fields[_STARTTIME]) / _TICKS_PER_SECOND,
        open_files=open_files,
        max_files=_max_files(limits),
        threads=int(fields[17]),
    )


def _stat(pid: int) -> list[str] | None:
    try:
        raw = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = raw.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields


def _boot_time_s() -> float:
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _max_files(limits: str) -> int:
    for line in limits.splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else 0
    return 0
