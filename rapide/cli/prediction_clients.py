"""Asking a server for predictions by name: what both protocols share, and HTTP's way (``:predict``).

gRPC's way is in ``grpc_client.py``, imported only for a ``grpc://`` address.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from rapide.cli.rows import Given, Kinds
from rapide.server.errors import DeadlineExceeded, InvalidRequest, RapideError, Unavailable

START_HINT = "Is the server running there? `rapide serve models/` starts one and prints its addresses."


@dataclass(frozen=True, slots=True)
class Question:
    """Which model is asked, and for whom. Empty texts leave the choice to the server."""

    model: str
    version: str = ""
    label: str = ""
    user_key: str = ""
    request_id: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Predictions row for row, and who made them."""

    rows: Sequence[Any]
    model: str
    version: str
    label: str
    request_id: str


class Client(Protocol):
    """A server, over one of the protocols."""

    def kinds(self, question: Question) -> Kinds:
        """What the model says of its features; empty where it does not say."""
        ...

    def predict(self, question: Question, given: Given) -> Answer:
        """Raises RapideError with what the server says, or what to do if there is none."""
        ...


class Refused(RapideError):
    """The server answered, and the answer is an error; the message is the server's own."""


def connect(url: str) -> Client:
    """A client for ``http://``, ``https://`` or ``grpc://`` addresses. Raises InvalidRequest for others."""
    split = urlsplit(url if "://" in url else f"http://{url}")
    try:
        host, port = split.hostname, split.port
    except ValueError:
        host, port = None, None
    if split.scheme not in {"http", "https", "grpc"} or not host:
        raise InvalidRequest(
            f"{url!r} is no address of a server.", hint="Write http://localhost:8000 or grpc://localhost:8001."
        )
    if split.scheme == "grpc":
        from rapide.cli.grpc_client import GrpcClient  # noqa: PLC0415 - loads longer than most predictions take

        return GrpcClient(f"[{host}]:{port or 8001}" if ":" in host else f"{host}:{port or 8001}")
    return HttpClient(split.scheme, host, port, split.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class HttpClient:
    """``prefix`` is what a gateway may want before the routes."""

    scheme: str
    host: str
    port: int | None
    prefix: str

    def kinds(self, question: Question) -> Kinds:
        _, metadata = self._call("GET", f"/v2/models/{quote(question.model, safe='')}", question, None)
        return {feature["name"]: feature["kind"] for feature in metadata.get("features", ())}

    def predict(self, question: Question, given: Given) -> Answer:
        headers, answer = self._call("POST", _predict_path(question), question, given.to_json())
        return Answer(
            rows=answer["predictions"] if "predictions" in answer else _rows_of(answer["outputs"]),
            model=headers.get("rapide-model", question.model),
            version=headers.get("rapide-model-version", ""),
            label=headers.get("rapide-model-label", ""),
            request_id=headers.get("x-request-id", ""),
        )

    def _call(
        self, method: str, path: str, question: Question, body: dict[str, Any] | None
    ) -> tuple[Mapping[str, str], dict[str, Any]]:
        connection = self._connection(question.timeout_s)
        headers = {
            "content-type": "application/json",
            "rapide-timeout-ms": f"{question.timeout_s * 1000:.0f}",
            "rapide-user-key": question.user_key,
            "x-request-id": question.request_id,
        }
        try:
            connection.request(
                method,
                self.prefix + path,
                None if body is None else json.dumps(body),
                {name: value for name, value in headers.items() if value},
            )
            response = connection.getresponse()
            status, text = response.status, response.read()
        except TimeoutError:
            raise DeadlineExceeded(f"{self._address} did not answer within {question.timeout_s:g} s.") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"cannot reach {self._address}: {error}.", hint=START_HINT) from None
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return found, self._read(status, text)

    def _read(self, status: int, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Unavailable(
                f"{self._address} answered {status}, but not as a rapide server does.", hint=START_HINT
            )
        if status != 200:
            raise Refused(str(value.get("error", f"the server answered {status}")))
        return value

    @property
    def _address(self) -> str:
        return f"{self.scheme}://{self.host}{f':{self.port}' if self.port else ''}"

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)


def _predict_path(question: Question) -> str:
    if question.version and question.label:
        raise InvalidRequest("give a version or a label, not both.")
    path = f"/v1/models/{quote(question.model, safe='')}"
    if question.version:
        path += f"/versions/{quote(question.version, safe='')}"
    if question.label:
        path += f"/labels/{quote(question.label, safe='')}"
    return f"{path}:predict"


def _rows_of(outputs: Any) -> list[Any]:
    """Columns, as TensorFlow Serving gives them, turned into rows; a lone column goes without its name."""
    if not isinstance(outputs, dict):
        return outputs if isinstance(outputs, list) else [outputs]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
