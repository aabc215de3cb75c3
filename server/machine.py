"""What this machine offers to a server: processor, memory, sockets, libraries. Reads; ``rapide check`` judges.

Like ``cores.py`` it takes the file system's root, so that any machine's files can be tested on any other.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import socket
from dataclasses import dataclass
from pathlib import Path

from rapide.server.cores import Cores, read_cores

INSTRUCTION_SETS = {
    "avx2": "256-bit integer arithmetic: the least that ONNX Runtime's fast kernels need",
    "fma": "fused multiply-add: matrix products twice as fast",
    "f16c": "half-precision conversion",
    "avx512f": "512-bit arithmetic",
    "avx512_vnni": "fast int8: dynamic and static quantisation pay, without saturation",
    "avx512_bf16": "fast bfloat16",
    "avx_vnni": "fast int8 on processors without AVX-512",
    "amx_int8": "matrix tiles for int8",
    "amx_bf16": "matrix tiles for bfloat16",
    "asimddp": "fast int8 (Arm)",
    "i8mm": "int8 matrix products (Arm)",
    "bf16": "fast bfloat16 (Arm)",
}
"""Names as in ``/proc/cpuinfo`` → what each is good for here. Only those of the machine's own family are shown."""
_ARM = frozenset({"asimddp", "i8mm", "bf16"})
LIBRARIES = ("onnxruntime", "numpy", "grpcio", "protobuf", "uvicorn", "starlette", "uvloop", "httptools", "orjson")


@dataclass(frozen=True, slots=True)
class Machine:
    """All facts. ``libraries`` holds None for what is not installed."""

    processor: str
    architecture: str
    flags: frozenset[str]
    cores: Cores
    host_cores: int
    kernel: str
    python: str
    libraries: dict[str, str | None]
    is_compiled: bool
    """Whether the hot path runs as C (setup.py)."""
    open_files: int
    """How many files and sockets a process may have open at most (the soft limit)."""
    shared_memory_bytes: int | None
    """Free in ``/dev/shm``; None where there is none."""
    reuse_port: bool

    @property
    def instruction_sets(self) -> dict[str, bool]:
        """Those that matter on this architecture, and whether they are there."""
        is_arm = self.architecture in ("aarch64", "arm64")
        return {name: name in self.flags for name in INSTRUCTION_SETS if (name in _ARM) == is_arm}


def is_compiled() -> bool:
    """Whether the hot path was compiled at installation, as it is for what it is built from (setup.py)."""
    found = importlib.util.find_spec("rapide.server.engine")
    return found is not None and not str(found.origin).endswith(".py")


def read_machine(root: Path = Path("/")) -> Machine:
    """This machine's facts; ``root`` holds ``proc`` and ``dev``."""
    processor, flags = read_processor(root / "proc/cpuinfo")
    return Machine(
        processor=processor,
        architecture=platform.machine(),
        flags=flags,
        cores=read_cores(root),
        host_cores=os.cpu_count() or 1,
        kernel=platform.release(),
        python=platform.python_version(),
        libraries={name: _version(name) for name in LIBRARIES},
        is_compiled=is_compiled(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        shared_memory_bytes=_free_bytes(root / "dev/shm"),
        reuse_port=_can_share_ports(),
    )


def cpu_signature(usable_cores: int, root: Path = Path("/")) -> str:
    """What measurements of speed hold for, as a folder's name: the processor, its instruction sets that matter,
    and the cores that may be used (another quota is another machine to a tuner)."""
    processor, flags = read_processor(root / "proc/cpuinfo")
    facts = "\n".join([platform.machine(), processor, *sorted(flags & INSTRUCTION_SETS.keys())])
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\([^)]*\)", "", processor.lower())).strip("-")[:48] or "processor"
    return f"{name}-{usable_cores}c-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, frozenset[str]]:
    """Name and flags of the first processor; x86 and Arm use different words."""
    fields: dict[str, str] = {}
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags") or fields.get("Features") or ""
    return fields.get("model name") or platform.machine(), frozenset(flags.split())


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _free_bytes(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _can_share_ports() -> bool:
    """Whether two sockets can listen on one port: some sandboxes know the option but do not honour it."""
    try:
        with socket.socket() as one, socket.socket() as two:
            for shared in (one, two):
                shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", 0))
            one.listen(1)
            two.bind(one.getsockname())
            two.listen(1)
    except (OSError, AttributeError):
        return False
    return True
