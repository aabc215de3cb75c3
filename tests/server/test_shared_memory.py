"""Shared-memory regions over real files: bounds, names, and what clients do to objects behind our back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rapide.server.errors import Conflict, InvalidRequest, NotFound, RapideError, TooLarge
from rapide.server.shared_memory import MAX_READ_BYTES, MAX_REGIONS, SharedMemory

KEY = "/tensors"
CONTENT = bytes(range(64))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tensors").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def memory(folder: Path) -> SharedMemory:
    return SharedMemory(folder)


def register(memory: SharedMemory, **regions: tuple[str, int, int]) -> None:
    memory.prepare(
        {name: {"key": key, "offset": offset, "byte_size": size} for name, (key, offset, size) in regions.items()}
    )
    memory.commit()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_reads_and_writes_within_the_region(memory: SharedMemory, folder: Path) -> None:
    register(memory, a=(KEY, 16, 32))

    assert bytes(memory.read("a", 0, 32)) == CONTENT[16:48]
    assert bytes(memory.read("a", 30, 2)) == CONTENT[46:48]
    memory.write("a", 8, b"written", 24)

    assert (folder / "tensors").read_bytes() == CONTENT[:24] + b"written" + CONTENT[31:]


@pytest.mark.parametrize("key", ["/tensors", "tensors"])
def test_a_key_may_begin_with_a_slash(memory: SharedMemory, key: str) -> None:
    register(memory, a=(key, 0, 64))

    assert memory.status("a")["a"].to_json() == {"name": "a", "key": key, "offset": 0, "byte_size": 64}


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 33), (32, 1), (33, 0), (-1, 4), (0, -1), (2**62, 2**62)], ids=str
)
def test_nothing_outside_the_region_is_read_or_written(
    memory: SharedMemory, folder: Path, offset: int, size: int
) -> None:
    register(memory, a=(KEY, 16, 32))

    with pytest.raises(InvalidRequest, match="outside shared-memory region 'a', which has 32 bytes"):
        memory.read("a", offset, size)
    with pytest.raises(InvalidRequest, match="outside"):
        memory.write("a", offset, b"", size)
    assert (folder / "tensors").read_bytes() == CONTENT


def test_an_output_larger_than_its_room_is_not_written(memory: SharedMemory, folder: Path) -> None:
    register(memory, a=(KEY, 0, 64))

    with pytest.raises(InvalidRequest, match="needs 5 bytes; shared_memory_byte_size for region 'a' is 4"):
        memory.write("a", 0, b"xxxxx", 4)
    assert (folder / "tensors").read_bytes() == CONTENT


def test_an_object_that_shrank_is_an_error_and_no_crash(memory: SharedMemory, folder: Path) -> None:
    register(memory, a=(KEY, 0, 64))
    os.truncate(folder / "tensors", 10)

    with pytest.raises(InvalidRequest, match="has become smaller"):
        memory.read("a", 0, 64)
    with pytest.raises(InvalidRequest, match="has become smaller"):
        memory.write("a", 32, b"x", 1)
    assert (folder / "tensors").stat().st_size == 10


@pytest.mark.parametrize(
    ("key", "kind", "text"),
    [
        ("../secret", InvalidRequest, "not a POSIX name"),
        ("..", InvalidRequest, "not a POSIX name"),
        ("/..", InvalidRequest, "not a POSIX name"),
        (".", InvalidRequest, "not a POSIX name"),
        ("", InvalidRequest, "not a POSIX name"),
        ("/", InvalidRequest, "not a POSIX name"),
        ("a/b", InvalidRequest, "not a POSIX name"),
        ("//tensors", InvalidRequest, "not a POSIX name"),
        ("tensors\0", InvalidRequest, "not a POSIX name"),
        ("x" * 256, InvalidRequest, "not a POSIX name"),
        ("absent", NotFound, "there is no shared-memory object 'absent'"),
        ("link", InvalidRequest, "cannot be opened"),
        ("folder", InvalidRequest, "cannot be opened"),
        ("pipe", InvalidRequest, "has 0 bytes"),
    ],
)
def test_keys_that_are_refused(
    memory: SharedMemory, folder: Path, key: str, kind: type[RapideError], text: str
) -> None:
    (folder.parent / "secret").write_bytes(CONTENT)
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    before = open_files()

    with pytest.raises(kind, match=text):
        register(memory, a=(key, 0, 8))
    assert memory.status() == {}
    assert open_files() == before


@pytest.mark.parametrize(("offset", "size"), [(0, 65), (60, 5), (64, 1), (0, 0), (-1, 8), (2**63, 2**63)], ids=str)
def test_regions_that_the_object_does_not_hold(memory: SharedMemory, offset: int, size: int) -> None:
    with pytest.raises(InvalidRequest, match="region 'a'"):
        register(memory, a=(KEY, offset, size))


def test_a_failing_preparation_changes_nothing(memory: SharedMemory) -> None:
    register(memory, a=(KEY, 0, 8))
    before = open_files()

    with pytest.raises(NotFound):
        register(memory, a=(KEY, 0, 8), b=(KEY, 8, 8), c=("absent", 0, 8))

    assert list(memory.status()) == ["a"]
    assert open_files() == before


def test_what_was_prepared_is_invisible_until_committed_and_gone_when_aborted(memory: SharedMemory) -> None:
    before = open_files()
    memory.prepare({"a": {"key": KEY, "offset": 0, "byte_size": 8}})
    assert memory.status() == {}

    memory.abort()
    memory.commit()

    assert memory.status() == {}
    assert open_files() == before


def test_a_region_that_stays_is_not_opened_again(memory: SharedMemory, folder: Path) -> None:
    register(memory, a=(KEY, 0, 8))
    (folder / "tensors").unlink()

    register(memory, a=(KEY, 0, 8))

    assert bytes(memory.read("a", 0, 8)) == CONTENT[:8]


def test_a_region_registered_anew_under_its_name_is_opened_again(memory: SharedMemory, folder: Path) -> None:
    register(memory, a=(KEY, 0, 8))
    (folder / "other").write_bytes(b"otherwise")

    register(memory, a=("other", 0, 8))

    assert bytes(memory.read("a", 0, 8)) == b"otherwis"


def test_closing_lets_go_of_every_file(memory: SharedMemory) -> None:
    before = open_files()
    register(memory, a=(KEY, 0, 8), b=(KEY, 8, 8))
    assert open_files() == before + 2

    memory.close()

    assert open_files() == before


def test_unknown_names_are_told_with_the_known_ones(memory: SharedMemory) -> None:
    register(memory, a=(KEY, 0, 8))

    with pytest.raises(NotFound, match="'b' is not registered; registered are: 'a'"):
        memory.read("b", 0, 1)
    with pytest.raises(NotFound):
        memory.status("b")


def test_new_names_are_checked(memory: SharedMemory) -> None:
    register(memory, a=(KEY, 0, 8))

    with pytest.raises(Conflict, match="Unregister it first"):
        memory.check_new("a")
    for name in ("", "x" * 256):
        with pytest.raises(InvalidRequest, match="1 to 255 characters"):
            memory.check_new(name)


def test_the_number_of_regions_is_bounded(memory: SharedMemory) -> None:
    wanted = {str(number): {"key": KEY, "offset": 0, "byte_size": 1} for number in range(MAX_REGIONS + 1)}

    with pytest.raises(InvalidRequest, match=f"at most {MAX_REGIONS}"):
        memory.prepare(wanted)


def test_a_sparse_giant_is_not_read_into_memory(memory: SharedMemory, folder: Path) -> None:
    with (folder / "giant").open("wb") as file:
        file.truncate(MAX_READ_BYTES + 1)
    register(memory, a=("giant", 0, MAX_READ_BYTES + 1))

    with pytest.raises(TooLarge, match=f"at most {MAX_READ_BYTES}"):
        memory.read("a", 0, MAX_READ_BYTES + 1)


def test_a_region_in_force_whose_object_is_gone_is_dead_and_no_obstacle(folder: Path) -> None:
    wanted = {
        "gone": {"key": "/gone", "offset": 0, "byte_size": 8},
        "short": {"key": KEY, "offset": 0, "byte_size": 65},
        "well": {"key": KEY, "offset": 0, "byte_size": 64},
    }
    memory = SharedMemory(folder)
    with pytest.raises(NotFound, match="no shared-memory object '/gone'"):
        memory.prepare(wanted)
    memory.prepare(wanted, is_in_force=True)
    memory.commit()
    assert bytes(memory.read("well", 0, 64)) == CONTENT
    assert memory.status("gone")["gone"].to_json() == {"name": "gone", **wanted["gone"]}
    with pytest.raises(NotFound, match="'gone' cannot be used: there is no shared-memory object '/gone'"):
        memory.read("gone", 0, 8)
    with pytest.raises(NotFound, match=r"'short' cannot be used: .* has 64 bytes"):
        memory.write("short", 0, b"x", 1)
    memory.prepare({**wanted, "more": wanted["well"]})  # what is dead stays so and refuses no later change
    memory.commit()
    register(memory, well=(KEY, 0, 64))
    with pytest.raises(NotFound, match="is not registered"):
        memory.read("gone", 0, 8)
    before = open_files()
    memory.close()
    assert open_files() == before - 1
