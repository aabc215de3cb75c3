"""The HTTP API described for machines (OpenAPI 3.1), made from the route table: what is not served is not
described."""

from __future__ import annotations

import re
from typing import Any, Final

from rapide.server.protocols.http_call import BINARY, JSON, Route, RouteTable
from rapide.server.protocols.openapi_schemas import SCHEMAS

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_PLACEHOLDERS: Final = {
    "model": "The model's name.",
    "version": "A whole number.",
    "label": "A label, such as stable.",
    "region": "The shared-memory region's name.",
}
_COMMON_HEADERS: Final = (("x-request-id", "Your name for this call; echoed, and in every log line about it."),)
_INFERENCE_HEADERS: Final = (
    ("rapide-label", "Answer with this label's version."),
    ("rapide-version", "Answer with this version, whatever labels and weights say."),
    ("rapide-user-key", "Calls with the same key meet the same version."),
    ("rapide-timeout-ms", "How long the answer is worth waiting for."),
    ("traceparent", "W3C trace context."),
)
_INFERENCE_ERRORS: Final = {
    "400": "The request contradicts the protocol or the model's signature.",
    "404": "No such model, version or label.",
    "413": "The message is above the limit.",
    "415": "The content encoding is not read here.",
    "429": "The model's queue is full; Retry-After says when to come again.",
    "503": "Loading or draining.",
    "504": "The deadline passed before the model ran.",
}


def document(table: RouteTable, version: str) -> dict[str, Any]:
    """The whole description; ``version`` is the server's."""
    paths: dict[str, dict[str, Any]] = {}
    for route in table.routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rapide",
            "version": version,
            "description": "Predictions over the Open Inference Protocol (v2) and TensorFlow Serving's (v1).",
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in table.routes)],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*_path_parameters(route), *_header_parameters(route)],
        "responses": _responses(route),
    }
    if route.takes:
        operation["requestBody"] = {"required": route.infers, "content": _content(route.takes)}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PLACEHOLDERS[name],
            "schema": {"type": "string"},
        }
        for name in _PLACEHOLDER.findall(route.path)
    ]


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    headers = _COMMON_HEADERS + (_INFERENCE_HEADERS if route.infers else ())
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in headers
    ]


def _responses(route: Route) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer."}
    if route.gives:
        answer["content"] = _content(route.gives)
    elif route.media_type != JSON:
        answer["content"] = {route.media_type.partition(";")[0]: {"schema": {"type": "string"}}}
    error = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    refusals = _INFERENCE_ERRORS if route.infers else {"default": "Why not."}
    return {"200": answer} | {code: {"description": text, "content": error} for code, text in refusals.items()}


def _content(schema: str) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    if schema in {"InferRequest", "InferResponse"}:
        text = "JSON as above, its length in the header Inference-Header-Content-Length, then the binary tensors."
        content[BINARY] = {"schema": {"type": "string", "format": "binary", "description": text}}
    return content
