"""Parameters that mean something to us: their kinds, shared-memory regions, outputs asked for twice."""

from __future__ import annotations

from typing import Any

import pytest

from rapide.server.codecs import parameters
from rapide.server.codecs.parameters import Region
from rapide.server.errors import InvalidRequest, Unimplemented
from rapide.server.tensors import RequestedOutput


def test_a_region_has_name_offset_and_size() -> None:
    given = {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 16}
    assert parameters.shared_region(given, "x") == Region("r", 16, 8)
    del given["shared_memory_offset"]
    assert parameters.shared_region(given, "x") == Region("r", 0, 8)
    assert parameters.shared_region({}, "x") is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shared_memory_region": 5}, "x: shared_memory_region must be a text, got 5"),
        ({"shared_memory_region": "r"}, "x: shared_memory_region needs shared_memory_byte_size beside it"),
        (
            {"shared_memory_region": "r", "shared_memory_byte_size": -1},
            "x: shared_memory_byte_size must be a whole number of at least 0, got -1",
        ),
        (
            {"shared_memory_region": "r", "shared_memory_byte_size": True},
            "x: shared_memory_byte_size must be a whole number of at least 0, got true",
        ),
        (
            {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": "0"},
            "x: shared_memory_offset must be a whole number of at least 0, got the text '0'",
        ),
    ],
)
def test_a_region_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parameters.shared_region(given, "x")
    assert error.value.message == message


def test_shared_memory_may_be_turned_off() -> None:
    with pytest.raises(Unimplemented, match="x is in shared memory, which this server does not offer"):
        parameters.read_shared(Region("r", 0, 8), None, "x")


def test_a_region_is_read_where_it_says() -> None:
    asked = []

    def read_region(name: str, offset: int, byte_size: int) -> memoryview:
        asked.append((name, offset, byte_size))
        return memoryview(b"12345678")

    assert parameters.read_shared(Region("r", 16, 8), read_region, "x") == b"12345678"
    assert asked == [("r", 16, 8)]


def test_flags_are_true_or_false() -> None:
    assert parameters.flag_parameter({"f": True}, "f", "x") is True
    assert parameters.flag_parameter({}, "f", "x") is None
    with pytest.raises(InvalidRequest, match="x: f must be true or false, got 1"):
        parameters.flag_parameter({"f": 1}, "f", "x")


@pytest.mark.parametrize(
    ("holder", "message"),
    [
        ({"parameters": []}, "x: parameters must be an object, got a list"),
        (
            {"parameters": {"p": None}},
            "x: parameter 'p' must be a text, a number of 64 bits, true or false, got null",
        ),
        (
            {"parameters": {"p": {}}},
            "x: parameter 'p' must be a text, a number of 64 bits, true or false, got an object",
        ),
        (
            {"parameters": {"p": 2**64}},
            "x: parameter 'p' must be a text, a number of 64 bits, true or false, got 18446744073709551616",
        ),
        (
            {"parameters": {"p": -(2**63) - 1}},
            "x: parameter 'p' must be a text, a number of 64 bits, true or false, got -9223372036854775809",
        ),
    ],
)
def test_json_parameters_that_cannot_be_are_refused(holder: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parameters.json_parameters(holder, "x")
    assert error.value.message == message


def test_json_parameters_may_be_absent_or_null() -> None:
    assert parameters.json_parameters({}, "x") == {}
    assert parameters.json_parameters({"parameters": None}, "x") == {}


def test_an_output_is_asked_for_once() -> None:
    parameters.check_outputs([RequestedOutput("a"), RequestedOutput("b")])
    with pytest.raises(InvalidRequest, match="output 'a' is asked for more than once"):
        parameters.check_outputs([RequestedOutput("a"), RequestedOutput("b"), RequestedOutput("a")])
