"""Random changes to a good message: what a careless or hostile sender might make of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

TOKENS = (
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"1e39",
    b"NaN",
    b"-Infinity",
    b"2.5",
    b"9223372036854775808",
    b"18446744073709551616",
    b"340282366920938463463374607431768211456",
    b"[]",
    b"{}",
    b"[[]]",
    b'""',
    b'"\\ud800"',
    b'{"b64":"AA=="}',
    b"[" * 2000,
    b"\xff\xff\xff\xff",
    b"\x00",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2.5, 1e39, float("nan"), float("inf"), 2**31, 2**63, 2**64, 10**400),
    *(
        "",
        "x",
        "FP16",
        "BYTES",
        "UINT64",
        "\ud800",
        [],
        [[]],
        [0],
        [2, 2],
        [-1],
        {},
        {"b64": "AA=="},
        {"b64": "*"},
    ),
)
_SEPARATORS = b',:[]{} "'


def mutated(message: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """``message`` after a few random changes, mostly one; ``others`` lend pieces."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        change = random.choice(_CHANGES)
        message = change(message, random, others)
    return message


def _flip_bit(message: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    if not message:
        return message
    at = random.randrange(len(message))
    return message[:at] + bytes([message[at] ^ (1 << random.randrange(8))]) + message[at + 1 :]


def _truncate(message: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    return message[: random.randint(0, len(message))]


def _delete(message: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(message, random)
    return message[:start] + message[end:]


def _repeat(message: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(message, random)
    return message[:end] + message[start:end] * random.randint(1, 3) + message[end:]


def _insert_token(message: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(message))
    return message[:at] + random.choice(TOKENS) + message[at:]


def _replace_value(message: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """Puts a token where a JSON value stands: between two separators."""
    at = random.randint(0, len(message))
    start = max((message.rfind(bytes([byte]), 0, at) for byte in _SEPARATORS), default=-1) + 1
    ends = [found for byte in _SEPARATORS if (found := message.find(bytes([byte]), at)) >= 0]
    return message[:start] + random.choice(TOKENS) + message[min(ends, default=len(message)) :]


def _splice(message: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    start, end = _span(other, random)
    at = random.randint(0, len(message))
    return message[:at] + other[start:end] + message[at:]


def _change_json(message: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    """Replaces, repeats or takes away one value of a JSON object, and leaves the rest well formed."""
    start = message.find(b"{")
    if start < 0:
        return message
    text = message[start:].decode("latin-1")
    try:
        document, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return message
    holders = [document]
    for holder in holders:
        children = holder.values() if isinstance(holder, dict) else holder
        holders += [child for child in children if isinstance(child, dict | list) and child]
    _change_member(random.choice(holders), random)
    return message[:start] + json.dumps(document).encode() + text[end:].encode("latin-1")


def _change_member(holder: Any, random: Random) -> None:
    if not holder:
        return
    key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    match random.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case 1:
            holder[key] = [holder[key]]
        case _:
            holder[key] = random.choice(VALUES)


def _span(message: bytes, random: Random) -> tuple[int, int]:
    start = random.randint(0, len(message))
    return start, min(len(message), start + random.choice((1, 2, 4, 8, 32)))


_CHANGES: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    _flip_bit,
    _truncate,
    _delete,
    _repeat,
    _insert_token,
    _replace_value,
    _splice,
    _change_json,
    _change_json,
    _change_json,
    _change_json,
)
