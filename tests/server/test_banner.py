"""The banner: for people, and as fields for machines."""

from __future__ import annotations

import json
import shlex

import pytest

from rapide.server.banner import addresses, banner_json, banner_text, curl_line
from rapide.server.control import ServedModel
from rapide.server.settings import Settings

CAR = ServedModel(
    "car-price",
    [1, 2],
    ["stable=2", "canary=1:5%"],
    "/v1/models/car-price:predict",
    '{"instances": [{"a": "it\'s"}]}',
)
DIGITS = ServedModel("digits", [3], [], "/v2/models/digits/infer", 'import json; print("…")', is_script=True)
UNKNOWN = ServedModel("odd", [1], [])


@pytest.mark.parametrize(
    ("host", "http", "grpc"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000", "127.0.0.1:8001"),
        ("0.0.0.0", "http://127.0.0.1:8000", "127.0.0.1:8001"),
        ("::", "http://[::1]:8000", "[::1]:8001"),
        ("192.0.2.7", "http://192.0.2.7:8000", "192.0.2.7:8001"),
    ],
)
def test_addresses_can_be_pasted(host: str, http: str, grpc: str) -> None:
    where = addresses(Settings(host=host))
    assert (where["http"], where["grpc"]) == (http, grpc)


def test_curl_lines_survive_a_shell() -> None:
    assert shlex.split(curl_line("http://h", CAR)) == ["curl", f"http://h{CAR.path}", "-d", CAR.body]
    words = shlex.split(curl_line("http://h", DIGITS))
    assert words == ["python3", "-c", DIGITS.body, "|", "curl", f"http://h{DIGITS.path}", "-d", "@-"]
    assert curl_line("http://h", UNKNOWN) == "curl http://h/v2/models/odd"


def test_for_people() -> None:
    text = banner_text(Settings(workers=2, models="models"), [CAR, DIGITS], "one per core", 0.617)
    for words in (
        "is ready after 0.62 s",
        "models (looked at every 1 s)",
        "car-price  version 1, 2   stable=2 canary=1:5%",
        "digits     version 3",
        "http://127.0.0.1:8000    API: http://127.0.0.1:8000/docs",
        "127.0.0.1:8001",
        "http://127.0.0.1:8002/metrics",
        "2 × 1 thread (one per core)",
        curl_line("http://127.0.0.1:8000", CAR),
    ):
        assert words in text


def test_many_models_are_counted_and_none_is_said() -> None:
    many = [ServedModel(f"m{number}", [1], []) for number in range(30)]
    text = banner_text(Settings(workers=1), many, "as set", 1.0)
    assert "and 10 more" in text
    assert text.count("curl ") == 4
    assert "nothing yet" in banner_text(Settings(workers=1, control="explicit"), [], "as set", 1.0)


def test_for_machines() -> None:
    fields = json.loads(json.dumps(banner_json(Settings(workers=2), [CAR], "as set", 0.5, ["car-price/2: …"])))
    assert fields["event"] == "ready"
    assert fields["models"] == [{"name": "car-price", "versions": [1, 2], "labels": CAR.labels}]
    assert fields["docs"] == "http://127.0.0.1:8000/docs"
    assert fields["workers"] == 2
    assert len(fields["curl"]) == 1
    assert fields["tuned"] == ["car-price/2: …"]


def test_what_is_tuned_is_said() -> None:
    text = banner_text(Settings(workers=1), [CAR], "tuned", 0.5, ["car-price/2: max_rows_per_run=64 (file)"])
    assert "  tuned     car-price/2: max_rows_per_run=64 (file)" in text
    assert "tuned " not in banner_text(Settings(workers=1), [CAR], "as set", 0.5)
