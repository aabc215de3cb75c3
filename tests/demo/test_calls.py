from __future__ import annotations

import shutil
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from demo.calls import Call, WrongAnswer, make_call


@pytest.mark.parametrize(
    ("answer", "key", "expected"),
    [
        pytest.param('{"predictions":[{"price":1835.894}]}', "price", 1835.89, id="JSON"),
        pytest.param("price  1835.89\nanswered by car-price", "price", 1835.89, id="text"),
        pytest.param('{"label":4,"probabilities":[0.5]}', "label", 4, id="a whole number"),
        pytest.param("diagnosis              malignant", "diagnosis", "malignant", id="a class"),
        pytest.param('"data":["1.0:0:malignant"]', "", "malignant", id="anywhere"),
    ],
)
def test_right_answers(answer: str, key: str, expected: float | str) -> None:
    make_call(Call(f"echo '{answer}'", key, ("another", expected)))


@pytest.mark.parametrize(
    ("line", "key", "expected", "message"),
    [
        pytest.param(
            "echo 'price 1835.89'", "price", 1900.0, "answers 1900, but this call got: price 1835", id="number"
        ),
        pytest.param(
            "echo 'request 4, label 5'", "label", 4, "but this call got", id="the number of something else"
        ),
        pytest.param("echo 'diagnosis benign'", "diagnosis", "malignant", "but this call got", id="class"),
        pytest.param("echo nothing", "price", 1.0, "but this call got: nothing", id="no answer"),
        pytest.param("echo no >&2; exit 7", "price", 1.0, "exit status 7:  no", id="a failing command"),
    ],
)
def test_wrong_answers(line: str, key: str, expected: float | str, message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        make_call(Call(line, key, (expected,)))


def test_without_curl_the_same_request_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"price": 7, "got": ' + body + b"}")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setattr(shutil, "which", lambda name: None)
        url = f"http://127.0.0.1:{server.server_port}/"
        line = f"curl -s {url} -H 'Content-Type: application/json' -d '{{\"make\": \"Ford\"}}'"
        assert '{"make": "Ford"}' in make_call(Call(line, "price", (7,)))


def test_there_is_a_command_beside_this_python() -> None:
    """The demonstration calls it by that path."""
    assert Path(sys.executable).with_name("rapide").exists()
