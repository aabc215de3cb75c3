"""Users that speak the Open Inference Protocol over HTTP."""

from __future__ import annotations

import itertools
import json
from functools import cache
from http.client import HTTPException
from typing import Any, ClassVar
from urllib.error import HTTPError, URLError

from locust import FastHttpUser, task

from rapide.loadtests.payloads import Payload, describe
from rapide.loadtests.users.base import PredictionUser
from rapide.loadtests.users.plan import Options, Unprepared


@cache
def _payloads(host: str, options: Options) -> list[Payload]:
    try:
        inputs = describe(host, options.model, options.version, options.timeout_s)
    except HTTPError as error:
        raise Unprepared(_told(host, error)) from None
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise Unprepared(f"cannot reach {host}: {reason}.") from None
    except (ValueError, LookupError, TypeError):
        raise Unprepared(f"{host} does not describe the model as the Open Inference Protocol says.") from None
    return options.payloads(inputs)


def _told(host: str, error: HTTPError) -> str:
    """The server's own words, where it has some."""
    try:
        return str(json.loads(error.read())["error"])
    except (OSError, ValueError, LookupError, TypeError):
        return f"{host} answered {error.code} when asked about the model."


class _HttpUser(PredictionUser, FastHttpUser):
    abstract = True
    encoding: ClassVar[str]

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.connection_timeout = self.network_timeout = self.options.timeout_s

    @classmethod
    def prepare(cls, host: str) -> list[Payload]:
        return _payloads(host, cls.options)

    def on_start(self) -> None:
        payloads = self.prepare(self.host or "")
        self.path = payloads[0].path
        self.name = f"{self.options.model} ({self.encoding})"
        self.requests = itertools.cycle([self.encode(payload) for payload in payloads])

    def encode(self, payload: Payload) -> tuple[bytes, dict[str, str]]:
        """Body and headers of one request."""
        raise NotImplementedError

    @task
    def infer(self) -> None:
        body, headers = next(self.requests)
        if key := next(self.keys):
            headers = {**headers, "rapide-user-key": key}
        with self.client.request(
            "POST",
            self.path,
            data=body,  # type: ignore[arg-type]  # bytes are sent as they are; the annotation forgets them
            headers=headers,
            name=self.name,
            catch_response=True,
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {(answer.text or '')[:200]}")
            elif b'"outputs"' not in answer.content:
                answer.failure("an answer without outputs")


class JsonUser(_HttpUser):
    """Tensors as JSON: what a first client, or curl, sends."""

    encoding = "json"

    def encode(self, payload: Payload) -> tuple[bytes, dict[str, str]]:
        return payload.to_json(), {"content-type": "application/json"}


class BinaryUser(_HttpUser):
    """Tensors as raw bytes behind the JSON: the fast way over HTTP."""

    encoding = "binary"

    def encode(self, payload: Payload) -> tuple[bytes, dict[str, str]]:
        body, json_bytes = payload.to_binary()
        headers = {
            "content-type": "application/octet-stream",
            "inference-header-content-length": str(json_bytes),
        }
        return body, headers
