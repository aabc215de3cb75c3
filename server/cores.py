"""How many cores and how much memory this process may really use, and the number of workers that follows.

A container sees all cores of its host; what it may use is written elsewhere: the scheduler's affinity mask, and
the CPU quota of its control group or of any group above it, in one of two file formats (v1, v2) that can be
mounted side by side. Reading is separate from deciding, and takes the file system's root, so that both can
be tested on any machine. Unreadable or absent files mean no limit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

WORKER_BYTES = 160 * 1024 * 1024
"""What to plan for one worker with small models: about 100 MB resident, plus room for requests."""
_NO_LIMIT_BYTES = 1 << 60
"""v1 writes 2⁶³ rounded down to pages for "no limit"."""


@dataclass(frozen=True, slots=True)
class Cores:
    """What this process may use."""

    affinity: int
    """Cores that the scheduler may put it on."""
    quota: float | None
    """Cores' worth of time that its control groups allow, None for all."""
    memory_bytes: int | None
    """The lower of the machine's memory and its control groups' limits, None if unknown."""

    @property
    def usable(self) -> int:
        """Cores that can be kept busy without being throttled. A fraction does not count: half a core more in
        threads than in quota means that all of them stand still for part of every period."""
        return max(1, min(self.affinity, math.floor(self.quota) if self.quota is not None else self.affinity))


@dataclass(frozen=True, slots=True)
class WorkerCount:
    """How many workers, and why in words."""

    workers: int
    why: str


def choose_workers(asked: int, cores: Cores) -> WorkerCount:
    """``asked`` workers, or for 0 one per usable core as far as memory goes."""
    if asked:
        return WorkerCount(asked, "as set")
    count, why = cores.usable, f"one per core of {cores.affinity} in the affinity mask"
    if cores.quota is not None and cores.usable < cores.affinity:
        why = f"the control group's quota is {cores.quota:g} cores"
    if cores.memory_bytes is not None and cores.memory_bytes // WORKER_BYTES < count:
        count = max(1, cores.memory_bytes // WORKER_BYTES)
        why = f"{cores.memory_bytes >> 20} MiB of memory, at {WORKER_BYTES >> 20} MiB each"
    return WorkerCount(count, why)


def read_cores(root: Path = Path("/")) -> Cores:
    """What the files under ``root`` (``proc`` and the control groups mounted there) and the scheduler say."""
    mounts = _mounts(root)
    quotas = [
        *_v2_quotas(mounts.folders("", "cpu.max")),
        *_v1_quotas(mounts.folders("cpu", "cpu.cfs_quota_us")),
    ]
    limits = [
        *_integers(mounts.folders("", "memory.max"), "memory.max"),
        *_integers(mounts.folders("memory", "memory.limit_in_bytes"), "memory.limit_in_bytes"),
        *_machine_memory(root),
    ]
    return Cores(
        affinity=_affinity(),
        quota=min(quotas, default=None),
        memory_bytes=min((limit for limit in limits if limit < _NO_LIMIT_BYTES), default=None),
    )


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class _Mounts:
    """Where this process's control groups are: controller (empty for v2) → (mount point, path below it)."""

    by_controller: dict[str, tuple[Path, PurePosixPath]]

    def folders(self, controller: str, file: str) -> Iterator[Path]:
        """The process's group and all above it that have ``file``: every one of them limits it."""
        if controller not in self.by_controller:
            return
        mount, below = self.by_controller[controller]
        for part in (below, *below.parents):
            folder = mount / part
            if (folder / file).is_file():
                yield folder


def _mounts(root: Path) -> _Mounts:
    groups = _own_groups(root)
    found: dict[str, tuple[Path, PurePosixPath]] = {}
    for line in _lines(root / "proc/self/mountinfo"):
        # proc(5): id parent major:minor root mount-point options [optional fields] - type source super-options
        left, _, right = line.partition(" - ")
        fields, kind, options = left.split(), right.split()[:1], right.split()[-1:]
        if len(fields) < 5 or kind not in (["cgroup"], ["cgroup2"]):
            continue
        controllers = [""] if kind == ["cgroup2"] else options[0].split(",")
        for controller in controllers:
            if controller in groups and controller not in found:
                mount = root / fields[4].lstrip("/")
                found[controller] = mount, _below(groups[controller], fields[3])
    return _Mounts(found)


def _own_groups(root: Path) -> dict[str, str]:
    """Controller (empty for v2) → path of this process's group. cgroups(7): ``id:controllers:path``."""
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _below(group: str, mounted: str) -> PurePosixPath:
    """The part of the path ``group`` below a mount whose root is the group ``mounted``. A container often sees its
    own group mounted as the top while ``/proc`` still tells the host's path: then the mount itself is meant."""
    try:
        return PurePosixPath(group).relative_to(mounted)
    except ValueError:
        return PurePosixPath()


def _v2_quotas(folders: Iterator[Path]) -> Iterator[float]:
    for folder in folders:
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)


def _v1_quotas(folders: Iterator[Path]) -> Iterator[float]:
    for folder in folders:
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):  # "-1" means none
            yield int(quota) / int(period)


def _integers(folders: Iterator[Path], file: str) -> Iterator[int]:
    for folder in folders:
        text = _text(folder / file)
        if text.isdigit():  # "max" means none
            yield int(text)


def _machine_memory(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            yield int(rest.split()[0]) * 1024


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()
