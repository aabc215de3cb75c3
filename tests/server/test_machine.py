"""Facts about machines, from files as they are on x86, on Arm, and in bare sandboxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rapide.server.machine import cpu_signature, read_machine


def test_this_machine() -> None:
    machine = read_machine()
    assert machine.processor
    assert machine.open_files > 0
    assert machine.reuse_port
    assert machine.libraries["onnxruntime"]


def test_an_x86_processor(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Test CPU\nflags\t: fpu avx2 avx512_vnni\n\nprocessor\t: 1\nflags\t: fpu\n"
    )
    machine = replace(read_machine(tmp_path), architecture="x86_64")
    assert machine.processor == "Test CPU"
    assert machine.instruction_sets["avx512_vnni"]
    assert not machine.instruction_sets["amx_int8"]
    assert "asimddp" not in machine.instruction_sets
    assert machine.shared_memory_bytes is None


def test_an_arm_processor(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nFeatures : fp asimd asimddp i8mm\n")
    machine = replace(read_machine(tmp_path), architecture="aarch64")
    assert machine.instruction_sets == {"asimddp": True, "i8mm": True, "bf16": False}


def test_a_sandbox_without_files(tmp_path: Path) -> None:
    machine = read_machine(tmp_path)
    assert machine.processor
    assert not machine.flags


def test_a_signature_names_what_speed_depends_on(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    cpuinfo = tmp_path / "proc/cpuinfo"

    def signature(flags: str, cores: int = 2) -> str:
        cpuinfo.write_text(f"model name\t: Intel(R) Xeon(R) CPU @ 2.60GHz\nflags\t: {flags}\n")
        return cpu_signature(cores, tmp_path)

    assert signature("avx2 fpu").startswith("intel-xeon-cpu-2-60ghz-2c-")
    assert signature("avx2 fpu") == signature("avx2 sse2"), "every x86-64 has sse2: it matters to nobody"
    assert len({signature("avx2"), signature("avx2 avx512_vnni"), signature("avx2", cores=4)}) == 3
