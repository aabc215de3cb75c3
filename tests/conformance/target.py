"""The server under test, and what it says that it can do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from rapide.proto import services


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back over HTTP, errors included."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Target:
    """Where the server is. An empty address means that it has no such door, and that the door's tests skip."""

    http_url: str
    grpc_address: str
    ours: bool = False
    """Whether the suite started it, so that nothing may be skipped."""
    channel: grpc.Channel = field(init=False)

    def __post_init__(self) -> None:
        if self.grpc_address:
            self.channel = grpc.insecure_channel(
                self.grpc_address, options=[("grpc.max_receive_message_length", -1)]
            )

    @property
    def host_port(self) -> str:
        """The HTTP address as tritonclient wants it."""
        return urlsplit(self.need_http()).netloc

    @property
    def is_local(self) -> bool:
        return urlsplit(self.http_url or f"//{self.grpc_address}").hostname in ("127.0.0.1", "localhost", "::1")

    @cached_property
    def stub(self) -> Any:
        """The protocol's gRPC service."""
        self.need_grpc()
        return services.stub(self.channel, services.OPEN_INFERENCE)

    @cached_property
    def extensions(self) -> frozenset[str]:
        """As the server lists them."""
        if self.http_url:
            return frozenset(self.get("/v2").json["extensions"])
        return frozenset(self.stub.ServerMetadata({}).extensions)

    def method(self, name: str) -> Callable[..., bytes]:
        """A method of the service that takes and gives bytes, whatever they are."""
        self.need_grpc()
        call: Callable[..., bytes] = self.channel.unary_unary(
            f"/{services.OPEN_INFERENCE}/{name}", request_serializer=bytes, response_deserializer=bytes
        )
        return call

    def need_http(self) -> str:
        return self.http_url or pytest.skip("no --http-url was given")

    def need_grpc(self) -> str:
        return self.grpc_address or pytest.skip("no --grpc-url was given")

    def need_extension(self, name: str) -> None:
        """Skips the test where the server does not list the extension; ours must list it."""
        if name not in self.extensions:
            assert not self.ours, f"rapide does not list the extension {name!r}"
            pytest.skip(f"the server does not offer the extension {name!r}")

    def get(self, path: str) -> HttpAnswer:
        return self.send("GET", path)

    def post(self, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> HttpAnswer:
        """``body`` is sent as JSON, unless it is bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, content, headers)

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HttpAnswer:
        """One request; an error's status is an answer, not an exception."""
        request = urllib.request.Request(self.need_http() + path, data=body, method=method, headers=headers or {})
        if body is not None and "content-type" not in {name.lower() for name in request.headers}:
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return HttpAnswer(answer.status, _lower(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return HttpAnswer(error.code, _lower(error.headers), error.read())


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
