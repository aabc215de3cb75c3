"""Cores and memory from control groups as containers, Kubernetes and desktops show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rapide.server.cores import WORKER_BYTES, Cores, choose_workers, read_cores

GIB = 1 << 30


V2_MOUNT = "31 23 0:27 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_CPU_MOUNT = "33 32 0:28 {root} /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V1_MEMORY_MOUNT = "34 32 0:29 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_container_with_its_own_v2_namespace(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/\n")
    put(tmp_path, "proc/self/mountinfo", V2_MOUNT.format(root="/"))
    put(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    put(tmp_path, "sys/fs/cgroup/memory.max", f"{GIB}\n")
    cores = read_cores(tmp_path)
    assert cores.quota == 1.5
    assert cores.memory_bytes == GIB


def test_a_limit_on_any_group_above_counts(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "0::/kubepods/burstable/pod1\n")
    put(tmp_path, "proc/self/mountinfo", V2_MOUNT.format(root="/"))
    put(tmp_path, "sys/fs/cgroup/kubepods/cpu.max", "200000 100000\n")
    put(tmp_path, "sys/fs/cgroup/kubepods/burstable/pod1/cpu.max", "max 100000\n")
    put(tmp_path, "sys/fs/cgroup/kubepods/burstable/pod1/memory.max", "max\n")
    put(tmp_path, "sys/fs/cgroup/kubepods/burstable/memory.max", f"{2 * GIB}\n")
    assert read_cores(tmp_path) == Cores(len(os.sched_getaffinity(0)), 2.0, 2 * GIB)


def test_v1_with_the_container_mounted_as_the_top(tmp_path: Path) -> None:
    put(
        tmp_path,
        "proc/self/cgroup",
        "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=x:/\n",
    )
    put(tmp_path, "proc/self/mountinfo", (V1_CPU_MOUNT + V1_MEMORY_MOUNT).format(root="/docker/abc"))
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    put(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    put(tmp_path, "proc/meminfo", "MemTotal:        8000000 kB\nMemFree: 1 kB\n")
    cores = read_cores(tmp_path)
    assert (cores.quota, cores.memory_bytes, cores.usable) == (0.5, 8_000_000 * 1024, 1)


def test_v1_and_v2_side_by_side(tmp_path: Path) -> None:
    put(tmp_path, "proc/self/cgroup", "2:cpu:/a\n0::/b\n")
    put(tmp_path, "proc/self/mountinfo", "junk\n" + (V2_MOUNT + V1_CPU_MOUNT).format(root="/"))
    put(tmp_path, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n")
    put(tmp_path, "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert read_cores(tmp_path).quota == 3.0


def test_without_any_file_nothing_is_limited(tmp_path: Path) -> None:
    cores = read_cores(tmp_path)
    assert (cores.quota, cores.memory_bytes) == (None, None)


def test_this_machine_can_be_read() -> None:
    cores = read_cores()
    assert cores.usable >= 1
    assert cores.memory_bytes


@pytest.mark.parametrize(
    ("asked", "cores", "workers", "why"),
    [
        (3, Cores(2, 1.0, GIB), 3, "as set"),
        (0, Cores(8, None, None), 8, "8 in the affinity mask"),
        (0, Cores(8, 2.9, 64 * GIB), 2, "quota is 2.9 cores"),
        (0, Cores(2, 16.0, 64 * GIB), 2, "2 in the affinity mask"),
        (0, Cores(8, 0.25, 64 * GIB), 1, "quota is 0.25 cores"),
        (0, Cores(64, None, GIB), 6, "1024 MiB of memory"),
        (0, Cores(4, None, WORKER_BYTES // 2), 1, "of memory"),
    ],
)
def test_workers(asked: int, cores: Cores, workers: int, why: str) -> None:
    chosen = choose_workers(asked, cores)
    assert chosen.workers == workers
    assert why in chosen.why
