"""JSON text: what is read beyond RFC 8259, and what is refused, in bounded time."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from rapide.server.codecs.json_text import dump, parse_object
from rapide.server.errors import InvalidRequest


def test_an_object_is_read() -> None:
    assert parse_object(b'{"a": [1, 2.5, "x", null, true]}') == {"a": [1, 2.5, "x", None, True]}
    assert parse_object(memoryview(b"{}")) == {}


def test_nan_and_infinity_are_read_as_pythons_clients_write_them() -> None:
    values = parse_object(b'{"a": [NaN, Infinity, -Infinity, "NaN"]}')["a"]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, "NaN"]


def test_characters_written_as_pairs_are_read_beside_nan() -> None:
    assert parse_object(b'{"a": NaN, "b": "\\ud83d\\ude00"}')["b"] == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the request body is not valid JSON: "),
        (b'{"a": ', "the request body is not valid JSON: "),
        (b'{"a": 1} x', "the request body is not valid JSON: "),
        (b'{"a": nan}', "the request body is not valid JSON: "),
        (b'{"a": "\xff"}', "the request body is not valid JSON: "),
        (b'{"a": 1e999}', "the request body is not valid JSON: "),
        (b'{"a": NaN', "the request body is not valid JSON: "),
        (b'{"a": "\xff", "b": NaN}', "the request body is not valid JSON: "),
        (
            b'{"a": NaN, "b": "\\ud800"}',
            "the request body is not valid JSON: a string has half of a surrogate pair",
        ),
        (b'{"a": "\\uDE00\\uD83D", "b": NaN}', "the request body is not valid JSON: a string has half of a"),
        (b'{"a": NaN, "b": ' + b"1" * 5000 + b"}", "the request body is not valid JSON: "),
        (b"[1]", "the request body must be a JSON object"),
        (b"null", "the request body must be a JSON object"),
    ],
)
def test_other_texts_are_refused(text: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_object(text)
    assert error.value.message.startswith(message)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"a":[NaN,', b"[NaN,"])
def test_deep_nesting_is_refused_at_once(opening: bytes) -> None:
    started = time.process_time()
    with pytest.raises(InvalidRequest) as error:
        parse_object(opening * 100_000)
    assert error.value.message == "the request body is nested too deeply: JSON of at most 1024 levels is read"
    assert time.process_time() - started < 1


def test_the_message_says_where() -> None:
    with pytest.raises(InvalidRequest, match="line 2 column"):
        parse_object(b'{"a": 1,\n "b": }')


def test_numpy_is_written_short_and_what_is_not_finite_as_null() -> None:
    array = np.array([0.1, np.nan, np.inf, -np.inf], dtype=np.float32)
    assert dump({"a": array}) == b'{"a":[0.1,null,null,null]}'
