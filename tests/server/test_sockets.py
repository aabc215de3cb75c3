"""Ports: shared by workers, reserved by the supervisor, refused to anybody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from rapide.server.errors import SettingsError
from rapide.server.sockets import listen, reachable_host, reserve, resolve, url_host


@pytest.fixture
def taken() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield other.getsockname()[1]


def test_port_0_becomes_a_number_that_workers_share() -> None:
    with reserve("127.0.0.1", {"http_port": 0, "grpc_port": 0}) as held:
        assert all(held.ports)
        assert len(set(held.ports)) == 2
        with closing(listen(held.host, held.ports[0])) as one, closing(listen(held.host, held.ports[0])) as two:
            assert one.getsockname() == two.getsockname()
            with closing(socket.create_connection((held.host, held.ports[0]), timeout=5)) as client:
                assert client.getpeername() == one.getsockname()


def test_a_reserved_port_refuses_connections_while_no_worker_listens() -> None:
    with reserve("127.0.0.1", {"http_port": 0}) as held, pytest.raises(ConnectionRefusedError):
        socket.create_connection((held.host, held.ports[0]), timeout=5)


def test_a_port_in_use_is_named_with_a_way_out(taken: int) -> None:
    with pytest.raises(SettingsError) as caught:
        reserve("127.0.0.1", {"http_port": 0, "grpc_port": taken})
    assert caught.value.message == f"port {taken} (grpc_port) is in use on 127.0.0.1."
    assert "--grpc-port 0" in caught.value.hint


def test_another_server_that_would_share_its_port_is_noticed() -> None:
    with (
        reserve("127.0.0.1", {"http_port": 0}) as held,
        closing(listen(held.host, held.ports[0])),
        pytest.raises(SettingsError, match="is in use"),
    ):
        reserve("127.0.0.1", {"http_port": held.ports[0]})


def test_a_port_is_free_again_after_its_connections_were_closed() -> None:
    with reserve("127.0.0.1", {"http_port": 0}) as held, closing(listen(held.host, held.ports[0])) as listener:
        client = socket.create_connection((held.host, held.ports[0]), timeout=5)
        listener.setblocking(True)
        server, _ = listener.accept()
        server.close()  # the server closes first: its end stays in TIME_WAIT
        client.close()
    reserve("127.0.0.1", {"http_port": held.ports[0]}).close()


@pytest.mark.parametrize("host", ["no such host", "256.1.1.1"])
def test_an_unknown_host_is_named(host: str) -> None:
    with pytest.raises(SettingsError, match="no address of this machine"):
        reserve(host, {"http_port": 0})


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1 is no address of this machine"):
        reserve("192.0.2.1", {"http_port": 0})


def test_hosts_in_urls() -> None:
    assert url_host("::1") == "[::1]"
    assert url_host("127.0.0.1") == "127.0.0.1"
    assert reachable_host("0.0.0.0") == "127.0.0.1"
    assert reachable_host("::") == "::1"
    assert resolve("localhost") in {"127.0.0.1", "::1"}
