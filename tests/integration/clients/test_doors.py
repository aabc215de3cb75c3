"""The doors as operators may set them: TLS, client certificates, Unix sockets, one port for both protocols."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.certificates import Pair, self_signed
from tests.doors import ENGINES, opened
from tests.integration.clients.conftest import LANES
from tests.integration.clients.echo import ANY_SIZE, check, large, request, row, stub
from tests.integration.server_process import RapideServer, running

pytestmark = pytest.mark.integration
HTTP_BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, -1.0]}]}
).encode()


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The server's."""
    return self_signed(tmp_path_factory.mktemp("own"), "server")


@pytest.fixture(scope="session")
def client_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A client's, and the authority that made it."""
    return self_signed(tmp_path_factory.mktemp("client"), "client")


def grpc_credentials(own: Pair, client: Pair | None = None) -> grpc.ChannelCredentials:
    if client is None:
        return grpc.ssl_channel_credentials(own.certificate.read_bytes())
    return grpc.ssl_channel_credentials(
        own.certificate.read_bytes(), client.key.read_bytes(), client.certificate.read_bytes()
    )


def tls_context(own: Pair, client: Pair | None = None, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=own.certificate)
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def agreed(port: int, own: Pair, *alpn: str, client: Pair | None = None) -> str | None:
    """What the server chooses of the protocols that a client offers."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        tls_context(own, client, alpn).wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.selected_alpn_protocol()


def ask_grpc(address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
    channel = (
        grpc.insecure_channel(address, options=ANY_SIZE)
        if credentials is None
        else grpc.secure_channel(address, credentials, options=ANY_SIZE)
    )
    with channel:
        for number in range(20):
            check(stub(channel).ModelInfer(request(row(number)), timeout=20), row(number))
        check(stub(channel).ModelInfer(request(large()), timeout=60), large())


def ask_http(connection: http.client.HTTPConnection) -> None:
    """A fast route twice and one of Starlette's, on one connection."""
    with contextlib.closing(connection):
        for method, path, body in (
            ("POST", "/v2/models/echo/infer", HTTP_BODY),
            ("GET", "/v2/models/echo", None),
            ("POST", "/v2/models/echo/infer", HTTP_BODY),
        ):
            connection.request(method, path, body)
            response = connection.getresponse()
            said = json.loads(response.read())
            assert response.status == 200
        assert said["outputs"][0]["data"] == [1.0, -1.0]


def https(port: int, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("localhost", port, timeout=20, context=context)


class OverUnix(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self._path)


# Client certificates and Unix sockets: real workers, two of them, on uvloop.


@pytest.fixture(scope="module")
def guarded(
    repository: Path, own: Pair, client_pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RapideServer]:
    folder = tmp_path_factory.mktemp("sockets")
    flags = (
        *("--workers", "2", *LANES, "--tls-cert-file", str(own.certificate), "--tls-key-file", str(own.key)),
        *("--tls-client-ca-file", str(client_pair.certificate)),
        *("--http-socket", str(folder / "http"), "--grpc-socket", str(folder / "grpc")),
    )
    with running(repository, *flags) as server:
        yield server


def test_a_client_with_a_certificate_is_served(guarded: RapideServer, own: Pair, client_pair: Pair) -> None:
    assert guarded.ready["http"].startswith("https://")
    ask_grpc(guarded.grpc_target, grpc_credentials(own, client_pair))
    ask_http(https(guarded.http_address[1], tls_context(own, client_pair)))
    port = int(guarded.grpc_target.rpartition(":")[2])
    assert agreed(port, own, "http/1.1", "h2", client=client_pair) == "h2"
    assert agreed(guarded.http_address[1], own, "h2", "http/1.1", client=client_pair) == "http/1.1"


def test_a_client_without_one_is_not(guarded: RapideServer, own: Pair) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        ask_grpc(guarded.grpc_target, grpc_credentials(own))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask_http(https(guarded.http_address[1], tls_context(own)))


def test_nothing_is_answered_in_the_clear(guarded: RapideServer) -> None:
    with pytest.raises((ConnectionError, http.client.BadStatusLine)):
        ask_http(http.client.HTTPConnection(*guarded.http_address, timeout=20))


def test_unix_sockets_are_answered_by_every_worker(guarded: RapideServer) -> None:
    ask_grpc(f"unix:{guarded.ready['grpc_socket']}")
    ask_http(OverUnix(Path(guarded.ready["http_socket"])))


# One port.


@pytest.mark.parametrize("is_secured", [False, True], ids=["plain", "tls"])
def test_one_port_for_both(repository: Path, own: Pair, is_secured: bool) -> None:
    secure = ("--tls-cert-file", str(own.certificate), "--tls-key-file", str(own.key)) if is_secured else ()
    with running(repository, "--workers", "1", *LANES, "--one-port", *secure) as server:
        host, port = server.http_address
        assert server.grpc_target == f"{host}:{port}"
        ask_grpc(server.grpc_target, grpc_credentials(own) if is_secured else None)
        ask_http(
            https(port, tls_context(own)) if is_secured else http.client.HTTPConnection(host, port, timeout=20)
        )
        if is_secured:
            # Who speaks both wants HTTP's routes; gRPC clients offer h2 alone.
            assert agreed(port, own, "h2", "http/1.1") == "http/1.1"
            assert agreed(port, own, "h2") == "h2"
            ask_http(https(port, tls_context(own, alpn=("h2", "http/1.1"))))


# The reference engines, and what they cannot do.


@pytest.mark.parametrize("engines", ENGINES)
@pytest.mark.parametrize("has_authority", [False, True], ids=["tls", "mtls"])
async def test_both_engines_speak_tls(
    repository: Path, tmp_path: Path, own: Pair, client_pair: Pair, engines: str, has_authority: bool
) -> None:
    settings: dict[str, Any] = {"tls_cert_file": str(own.certificate), "tls_key_file": str(own.key)}
    client = client_pair if has_authority else None
    if has_authority:
        settings["tls_client_ca_file"] = str(client_pair.certificate)
    async with opened(repository, tmp_path / "state", **ENGINES[engines], **settings) as doors:
        await asyncio.to_thread(ask_grpc, doors.grpc, grpc_credentials(own, client))
        port = int(doors.http.rpartition(":")[2])
        await asyncio.to_thread(ask_http, https(port, tls_context(own, client)))
        if has_authority:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(ask_http, https(port, tls_context(own)))


def test_a_server_with_wrong_files_does_not_start(repository: Path, own: Pair, client_pair: Pair) -> None:
    server = RapideServer(
        str(repository), "--tls-cert-file", str(own.certificate), "--tls-key-file", str(client_pair.key)
    )
    try:
        assert server.wait() == 1
        assert "tls_key_file: the key in" in server.errors
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.close()
