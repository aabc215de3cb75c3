"""Unix sockets: opened once, refused where somebody listens, taken over from a server that was killed."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from rapide.server.errors import SettingsError
from rapide.server.unix_sockets import UnixSockets, inherited, listen_unix


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(str(path))
    return client


def test_an_inherited_descriptor_accepts_and_the_file_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "http"
    with UnixSockets({"http_socket": str(path), "grpc_socket": ""}) as opened:
        copies = {name: os.dup(descriptor) for name, descriptor in opened.descriptors.items()}
        with closing(inherited(copies)["http_socket"]) as listener, closing(connect(path)):
            accepted, _ = listener.accept()
            accepted.close()
    assert not path.exists()


def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with (
        closing(listen_unix("http_socket", str(path))),
        pytest.raises(SettingsError, match=r"http_socket: .* is in use"),
    ):
        UnixSockets({"http_socket": str(path)})
    assert path.exists()


def test_the_socket_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listen_unix("http_socket", str(path)).close()
    with UnixSockets({"http_socket": str(path)}), closing(connect(path)):
        pass


def test_none_is_opened_when_one_cannot_be(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    bad.write_text("somebody's file")
    with pytest.raises(SettingsError, match="is there already, and is no socket"):
        UnixSockets({"http_socket": str(good), "grpc_socket": str(bad)})
    assert not good.exists()
    assert bad.read_text() == "somebody's file"


@pytest.mark.parametrize(
    ("name", "words"), [("no/such/socket", "No such file"), ("x" * 108, "longer than 107 bytes")]
)
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        listen_unix("grpc_socket", str(tmp_path / name))
