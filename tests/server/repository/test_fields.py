from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.repository.fields import FieldError, Fields, parse_object


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"[1]", "expected a JSON object, found a list"),
        (b"null", "found null"),
        (b"\xff\xfe{}", "it is not"),
        (b'{"a": "\xff"}', "it is not UTF-8"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": -Infinity}', "holds -Infinity"),
        (b'{"a": 1e999}', "too large for a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it is not JSON"),
        (b'{"a": "\\ud800"}', "it is not UTF-8"),
        (b'{"\\uDC00": 1}', "it is not UTF-8"),
        (b'{"a":' * 100_000, "nests too deeply"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_object_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(FieldError, match=complaint):
        parse_object(content)


def test_surrogate_pairs_are_whole_characters() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude97"}') == {"a": "🚗"}


@given(st.binary(max_size=60))
def test_any_bytes_give_an_object_or_a_field_error(content: bytes) -> None:
    with contextlib.suppress(FieldError):
        assert isinstance(parse_object(content), dict)


@pytest.mark.parametrize(
    ("read", "complaint"),
    [
        (lambda fields: fields.text("absent"), "'a.absent' is missing"),
        (lambda fields: fields.text("integer"), "'a.integer' must be text, not 3"),
        (lambda fields: fields.integer("text"), "'a.text' must be an integer of 0 or more, not 'hello'"),
        (lambda fields: fields.integer("true"), "must be an integer of 0 or more, not a boolean"),
        (lambda fields: fields.integer("huge"), r"an integer of 0 or more, not 9{40}$"),
        (lambda fields: fields.integer("integer", least=4), "an integer of 4 or more, not 3"),
        (lambda fields: fields.boolean("integer"), "must be a boolean"),
        (lambda fields: fields.optional_number("text"), "must be a finite number"),
        (lambda fields: fields.optional_number("true"), "must be a finite number"),
        (lambda fields: fields.texts("list"), r"'a.list\[1\]' must be text, not 2"),
        (lambda fields: fields.texts("text"), "must be a list"),
        (lambda fields: fields.mapping("list"), "must be an object, not a list"),
        (lambda fields: fields.each("list", str), r"'a.list\[0\]' must be an object"),
        (lambda fields: fields.one_of("text", ("x", "y")), "must be one of x, y, not 'hello'"),
        (lambda fields: fields.one_of("list", ("x", "y")), "must be one of x, y, not a list"),
        (lambda fields: list(fields.items()), "must be an object"),
    ],
)
def test_wrong_types_name_their_place(read: object, complaint: str) -> None:
    fields = Fields({"text": "hello", "integer": 3, "huge": 10**50 - 1, "true": True, "list": ["x", 2]}, "a")
    with pytest.raises(FieldError, match=complaint):
        read(fields)  # type: ignore[operator]  # a lambda of each row


@pytest.mark.parametrize("digits", [309, 400, 4000])
def test_an_integer_that_no_float_can_hold(digits: int) -> None:
    """Found by fuzzing: JSON's integers have no end, and the supervisor reads manifests."""
    with pytest.raises(FieldError, match="'x' must be a finite number"):
        Fields({"x": 10**digits}).optional_number("x")


def test_what_would_take_much_memory_is_refused_before_it_is_read() -> None:
    with pytest.raises(FieldError, match="more than 2000000 brackets and commas"):
        parse_object(b'{"x": [' + b"{}," * 1_000_001 + b"0]}")
