"""``rapide profile`` as people call it: files, a real server, and whatever may be wrong with either."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rapide.cli.main import main
from rapide.cli.profile_figures import duration, row_bars
from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import Profile
from rapide.profiles.histogram import ROWS, Histogram
from rapide.profiles.synthetic import KINDS
from tests.profiles.recorded import document, poisson


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "profile.json"
    path.write_bytes(document(poisson(50, 600)))
    return path


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that gives the same answer to everything; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/profile" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What is printed, on either stream."""
    assert main(["profile", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code and not captured.out else captured.out


def test_show(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, "show", str(saved))
    for words in ("cars version 1", "600 requests to 1 model version", "requests per second", "rows per request"):
        assert words in shown
    assert "in all" in shown
    assert "4.5 ms" in shown
    assert said(capsys, str(saved)) == shown  # a file alone is shown, too


def test_the_busiest_second_may_be_hours_ago(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.json"
    flood_then_calm = np.concatenate([np.linspace(0.0, 0.9, 500), 10.0 + np.arange(900.0)])
    path.write_bytes(document(Arrivals(flood_then_calm, np.ones(1400, np.int64))))
    assert "busiest second        500\n" in said(capsys, "show", str(path))


def test_save_from_a_server(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.json"
    with answering(200, saved.read_bytes()) as url:
        assert "600 requests" in said(capsys, url, "--save", str(copy))
        assert f"{url}: 600 requests" in said(capsys, url)
        assert "600 requests" in said(capsys, f"{url}/profile/", "--save", str(copy))
    assert Profile.load(copy).find("cars").arrivals.count == 600
    assert list(tmp_path.glob(".*")) == []


def test_a_page(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    said(capsys, "show", str(saved), "--html", str(page))
    text = page.read_text()
    assert text.count("<svg") >= 5
    for words in ("cars version 1", "Gaps between requests", "Latency by stage", "Cost of a batch"):
        assert words in text


def test_json_is_the_document(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "show", str(saved), "--json"))
    assert found["kind"] == "rapide-profile"
    assert found["models"][0]["arrivals"]["count"] == 600


def test_merge(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merged = tmp_path / "all.json"
    said(capsys, "merge", str(saved), str(saved), "--save", str(merged))
    assert Profile.load(merged).find("cars").arrivals.count == 1200
    assert Profile.load(merged).workers == 2


@pytest.mark.parametrize("kind", KINDS)
def test_make(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made.json"
    arguments = ("--model", "cars", "--rate", "50", "--duration", "4", "--rows", "8", "--save", str(made))
    said(capsys, "make", kind, *arguments)
    assert set(Profile.load(made).find("cars").exact().rows.tolist()) == {8}
    assert f"{kind}, made up: 50 requests/s for 4 s" in said(capsys, "make", kind, *arguments[:-2])


def test_diff(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same, faster = tmp_path / "same.json", tmp_path / "faster.json"
    same.write_bytes(document(poisson(50, 600, seed=1)))
    faster.write_bytes(document(poisson(100, 600, seed=2), version="2"))
    shown = said(capsys, "diff", str(saved), str(same), "--check")
    assert "the usage has not drifted" in shown
    assert shown.count("stable") == 4
    shown = said(capsys, "diff", str(saved), str(faster), "--check", code=3)
    assert "the usage has drifted" in shown
    assert "note: cars was version 1, now 2" in shown
    found = json.loads(said(capsys, "diff", str(saved), str(faster), "--json"))
    assert found["drifted"] is True
    rate = next(one for one in found["models"][0]["distances"] if one["figure"] == "rate")
    assert rate["drifted"] is True
    assert rate["live"] == pytest.approx(100, rel=0.15)


def test_diff_of_different_models(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.json"
    said(capsys, "make", "steady", "--model", "bikes", "--save", str(other))
    shown = said(capsys, "diff", str(saved), str(other))
    assert "note: only in the live profile: bikes" in shown
    assert "note: only in the tuned one: cars" in shown
    assert "drifted" in shown


NOTHING = b'{"kind":"rapide-profile","schema":1,"workers":2,"models":[]}'


def test_nothing_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.json"
    empty.write_bytes(NOTHING)
    assert "no request has been recorded" in said(capsys, "show", str(empty))
    said(capsys, "show", str(empty), "--html", str(tmp_path / "page.html"))
    assert "No request has been recorded." in (tmp_path / "page.html").read_text()
    assert "too few requests" in said(capsys, "diff", str(empty), str(empty))


def test_one_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = tmp_path / "one.json"
    one.write_bytes(document(poisson(1, 1)))
    assert "1 requests to 1 model version" in said(capsys, "show", str(one))
    said(capsys, "show", str(one), "--html", str(tmp_path / "page.html"))


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no such file": (("show", "none.json"), "none.json: cannot be read: No such file or directory"),
    "no such action": (("shw", "a.json"), "no action 'shw'; did you mean show?"),
    "a word": (("shw",), "shw: cannot be read: No such file or directory. Name"),
    "nothing to show": (("show",), "show takes one file or server, got nothing"),
    "one to merge": (("merge", "a.json"), "merge takes at least two files or servers, got 1"),
    "make what": (("make",), "make takes one kind (steady, diurnal"),
    "make for whom": (("make", "steady"), "make needs the name of the model"),
    "make a wave": (("make", "wave", "--model", "m"), "there is no synthetic profile 'wave'"),
    "no rate": (("make", "steady", "--model", "m", "--rate", "0"), "rate_per_s: expected a number above 0, got"),
    "one to compare": (("diff", "a.json"), "diff takes two files or servers"),
    "nobody there": (("show", "http://127.0.0.1:9"), "http://127.0.0.1:9/profile cannot be reached: "),
    "no address": (("show", "http://["), "cannot be reached: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = WRONG[name]
    assert main(["profile", *arguments]) == 1
    assert message in capsys.readouterr().err.replace("\n  ", ". ")


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, b'{"error": "no route GET /profile"}', "/profile answered 404: no route GET /profile"),
        (503, b"busy", "/profile answered 503: Service Unavailable"),
        (200, b"<html>", "expected JSON, got expecting value at line 1"),
        (200, b'{"kind":"rapide-profile","schema":9}', "schema: expected 1, got 9. Read it with the rapide that"),
        (200, NOTHING[:-20], "expected JSON, got"),
        (404, b'{"error": "\\u001b[2J\\ud800 gone"}', "/profile answered 404:  [2J  gone"),
    ],
)
def test_what_a_server_may_say(status: int, body: bytes, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(status, body) as url:
        assert main(["profile", "show", url]) == 1
    shown = capsys.readouterr().err.replace("\n  ", ". ")
    assert message in shown
    assert url in shown


def test_half_a_sign_in_an_error_is_no_second_error(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(404, b'{"error": "\\ud800 gone"}') as url:
        assert main(["profile", url, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"].endswith("/profile answered 404:   gone")


def test_a_port_that_does_not_speak_http(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"\x00\x00\x12\x04" + bytes(30))

        thread = threading.Thread(target=answer)
        thread.start()
        assert main(["profile", f"http://127.0.0.1:{server.getsockname()[1]}"]) == 1
        thread.join()
    shown = capsys.readouterr().err
    assert "what answers there does not speak HTTP (BadStatusLine)" in shown
    assert "\x00" not in shown


def test_a_folder_that_is_missing_is_told(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", str(saved), "--save", str(tmp_path / "no" / "such" / "folder.json")]) == 1
    assert f"there is no folder {tmp_path / 'no' / 'such'}" in capsys.readouterr().err
    assert main(["profile", "show", str(saved), "--save", str(tmp_path)]) == 1
    assert f"--save {tmp_path} is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 µs"), (1.2e-5, "12 µs"), (9.999e-4, "1 ms"), (0.0034, "3.4 ms"), (0.9999, "1 s"), (75, "75 s")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_bars_of_many_bins_are_put_together() -> None:
    labels, counts = row_bars(Histogram.of(ROWS, np.array([1, 2, 2, 5])))
    assert (labels, counts) == (["1", "2", "3", "4", "5"], [1, 2, 0, 0, 1])
    labels, counts = row_bars(Histogram.of(ROWS, np.array([0, 1, 100_000])))
    assert len(labels) == 16
    assert (labels[0], labels[-1], sum(counts)) == ("0–6", "≥ 28673", 3)
    assert row_bars(Histogram.empty(ROWS)) == ([], [])
