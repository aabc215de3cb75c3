"""Every domain error has its codes, and nothing private leaves in a text."""

from __future__ import annotations

import asyncio
import inspect
import logging

import grpc
import pytest

from rapide.server import errors
from rapide.server.context import CallContext
from rapide.server.errors import Internal, InvalidRequest, NotFound, QueueFull, RapideError, RequestCancelled
from rapide.server.protocols.status import MAX_TEXT_CHARS, TABLE, refused, retry_after_s, status_of, text_of
from rapide.server.telemetry.vocabulary import CODES

GRPC_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

EXPECTED = {
    "invalid_request": (400, "INVALID_ARGUMENT"),
    "not_found": (404, "NOT_FOUND"),
    "too_large": (413, "RESOURCE_EXHAUSTED"),
    "unsupported_media": (415, "UNIMPLEMENTED"),
    "conflict": (409, "FAILED_PRECONDITION"),
    "queue_full": (429, "RESOURCE_EXHAUSTED"),
    "request_cancelled": (499, "CANCELLED"),
    "unavailable": (503, "UNAVAILABLE"),
    "deadline_exceeded": (504, "DEADLINE_EXCEEDED"),
    "unimplemented": (501, "UNIMPLEMENTED"),
    "internal": (500, "INTERNAL"),
    "repository_error": (500, "INTERNAL"),
    "broken_version": (409, "FAILED_PRECONDITION"),
    "settings_error": (400, "INVALID_ARGUMENT"),
    "rapide_error": (500, "INTERNAL"),
}


def context() -> CallContext:
    return CallContext("http", "request-7", 0.0)


def test_the_table() -> None:
    assert {row.name: (row.http, GRPC_NAMES[row.grpc]) for row in TABLE.values()} == EXPECTED


def test_every_domain_error_has_a_row_and_a_place_in_the_metrics() -> None:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RapideError)}
    assert kinds == TABLE.keys()
    assert {TABLE[kind].name for kind in kinds - {RapideError}} <= set(CODES)


def test_a_class_without_a_row_answers_as_its_base() -> None:
    class Vanished(NotFound):
        pass

    assert status_of(Vanished("x")) is TABLE[NotFound]


def test_domain_errors_are_told_as_they_are() -> None:
    error = InvalidRequest("input 'x' is odd.", hint="Make it even.")

    assert refused(error, context()) is error
    assert text_of(error) == "input 'x' is odd. Make it even."


def test_a_cancelled_task_is_a_cancelled_request() -> None:
    assert isinstance(refused(asyncio.CancelledError(), context()), RequestCancelled)


@pytest.mark.parametrize("error", [KeyError("/etc/secret"), MemoryError(), Internal("the model failed")], ids=repr)
def test_what_is_our_fault_is_logged_and_says_nothing_private(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        told = refused(error, context())

    assert isinstance(told, Internal)
    assert "secret" not in text_of(told)
    assert "request-7" in caplog.text
    assert caplog.records[0].exc_info is not None


def test_an_unexpected_error_names_the_request_for_the_log() -> None:
    assert "request id request-7" in text_of(refused(ValueError("x"), context()))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("two\nlines\tand\0more", "two lines and\N{REPLACEMENT CHARACTER}more"),
        ("Grüße, µs", "Grüße, µs"),
        ("x" * 5000, "x" * (MAX_TEXT_CHARS - 1) + "…"),
    ],
)
def test_texts_are_one_bounded_line(given: str, told: str) -> None:
    assert text_of(InvalidRequest(given)) == told


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, 1), (0.4, 1), (2.6, 3), (90.0, 90)])
def test_when_to_come_again(wait_s: float, header: int) -> None:
    assert retry_after_s(QueueFull("full", retry_after_s=wait_s)) == header
    assert retry_after_s(InvalidRequest("x")) is None
