from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rapide.server.telemetry import process
from rapide.server.telemetry.slots import (
    COUNTER,
    HEADER_BYTES,
    SEGMENT_BYTES,
    VERSION,
    SlotFile,
    SlotInUse,
    places,
    read_header,
)
from rapide.server.telemetry.version_block import BLOCK


def opened(path: Path | None, slot: int = 0) -> SlotFile:
    file = SlotFile(path, slot)
    file.open()
    return file


def test_a_record_keeps_its_place_and_value_over_lives(tmp_path: Path) -> None:
    first = opened(tmp_path / "worker-3", 3)
    first.body(COUNTER, ("a", "x", "1"), 8)[0] = 7
    first.body(COUNTER, ("b",), 8)[0] = 8
    first.close()
    second = opened(tmp_path / "worker-3", 3)
    assert second.body(COUNTER, ("b",), 8)[0] == 8
    assert second.body(COUNTER, ("a", "x", "1"), 8)[0] == 7
    header = read_header(second.descriptor)
    assert header is not None
    assert (header.slot, header.lives, header.alive, header.pid) == (3, 2, True, os.getpid())


def test_kinds_have_keys_of_their_own() -> None:
    file = opened(None)
    file.body(COUNTER, ("a", "1"), 8)[0] = 1
    assert file.body(VERSION, ("a", "1"), 8)[0] == 0


def test_the_file_grows_by_segments_and_old_memory_stays_valid(tmp_path: Path) -> None:
    file = opened(tmp_path / "worker-0")
    size = SEGMENT_BYTES // 3
    bodies = [file.body(VERSION, ("m", str(number)), size) for number in range(7)]
    for number, body in enumerate(bodies):
        body[:] = bytes([number + 1]) * size
    file.close()
    again = opened(tmp_path / "worker-0")
    assert os.stat(tmp_path / "worker-0").st_size == 4 * SEGMENT_BYTES
    for number in range(7):
        assert bytes(again.body(VERSION, ("m", str(number)), size)) == bytes([number + 1]) * size


def test_readers_see_every_record_once(tmp_path: Path) -> None:
    file = opened(tmp_path / "worker-0")
    expected = []
    for number in range(40):
        key = ("metric", "label", "ä" * number)
        file.body(COUNTER, key, 8 + number * 5000)
        expected.append((key, 8 + number * 5000))
    header = read_header(file.descriptor)
    assert header is not None
    found = list(places(file.descriptor, header))
    assert [(place.key, place.size_bytes) for place in found] == expected
    assert all(place.offset_bytes % 64 == 0 for place in found)
    assert all(
        place.offset_bytes // SEGMENT_BYTES == (place.offset_bytes + place.size_bytes - 1) // SEGMENT_BYTES
        for place in found
    )


def test_a_record_larger_than_a_segment_is_refused() -> None:
    with pytest.raises(OSError, match="does not fit"):
        opened(None).body(VERSION, ("m", "1"), SEGMENT_BYTES)


@pytest.mark.parametrize(
    "content",
    [b"", b"short", b"\0" * HEADER_BYTES, b"rapide" + b"?" * 5000],
    ids=["empty", "short", "zeros", "other"],
)
def test_a_file_of_another_layout_is_started_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "worker-0"
    path.write_bytes(content)
    file = opened(path)
    assert file.body(COUNTER, ("a",), 8)[0] == 0
    header = read_header(file.descriptor)
    assert header is not None
    assert header.lives == 1


def test_a_file_from_before_the_last_boot_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its instants are on a clock that has started again since."""
    file = opened(tmp_path / "worker-0")
    file.body(COUNTER, ("a",), 8)[0] = 5
    file.close()
    monkeypatch.setattr(process, "boot_id", lambda: b"another boot ...")
    assert opened(tmp_path / "worker-0").body(COUNTER, ("a",), 8)[0] == 0


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * HEADER_BYTES])
def test_readers_pass_over_what_is_no_slot(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "worker-0"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert read_header(file.fileno()) is None


def test_a_slot_has_one_writer(tmp_path: Path) -> None:
    first = opened(tmp_path / "worker-0")
    with pytest.raises(SlotInUse):
        opened(tmp_path / "worker-0")
    first.close()
    opened(tmp_path / "worker-0").close()


def test_a_killed_writer_is_seen_as_dead_and_its_slot_can_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "worker-0"
    program = (
        "import sys, pathlib\n"
        "from rapide.server.telemetry.slots import SlotFile, COUNTER\n"
        "file = SlotFile(pathlib.Path(sys.argv[1]), 0); file.open()\n"
        "file.body(COUNTER, ('a',), 8)[0] = 5\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        with path.open("rb") as file:
            header = read_header(file.fileno())
            assert header is not None
            alive = [header.alive]
            child.send_signal(signal.SIGKILL)
            child.wait()
            alive.append(header.alive)
            assert alive == [True, False]
    assert opened(path).body(COUNTER, ("a",), 8)[0] == 5


@pytest.fixture
def small_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SEGMENT_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_an_error_before_anything_is_mapped(tmp_path: Path) -> None:
    """Memory that is mapped but not allocated would kill the process when it is written to."""
    file = opened(tmp_path / "worker-0")
    file.body(VERSION, ("m", "1"), SEGMENT_BYTES // 2)
    with pytest.raises(OSError, match=r"too large|No space"):
        file.body(VERSION, ("m", "2"), SEGMENT_BYTES // 2)
    assert file.body(COUNTER, ("still works",), 8)[0] == 0


def test_three_versions_fit_a_segment() -> None:
    """What a version more costs in memory, in every worker."""
    assert HEADER_BYTES + 3 * (BLOCK.itemsize + 1024) <= SEGMENT_BYTES
