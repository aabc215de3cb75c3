"""The requests' bytes, made before the first one leaves, from what the server says of its models."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError, URLError

import grpc
import numpy as np

from rapide.loadtests import payloads
from rapide.loadtests.payloads import Input, Payload
from rapide.loadtests.replay.plan import Integers, ModelArrivals, ReplayError, ReplayPlan
from rapide.loadtests.replay.schedule import Schedule
from rapide.loadtests.wire.grpc_connection import GrpcCall
from rapide.loadtests.wire.http2 import request_headers
from rapide.loadtests.wire.http_connection import request_bytes
from rapide.proto import services

INFER = f"/{services.OPEN_INFERENCE}/ModelInfer"
MOST_BYTES = 128 * 2**20
"""All payloads together, in each process; beyond that there are fewer different ones of each size."""
ASKED_WITHIN_S = 10.0
SIZES_APART = 37
"""Payloads that follow one another differ in size: they are so many places apart, and come to all in the end."""
_ROWS_HINT = "Give rows with --rows-from."
START_HINT = "Is the server running there? `rapide serve models/` starts one and prints its addresses."

Call = GrpcCall | bytes


@dataclass(frozen=True, slots=True)
class Calls:
    """``calls[of[i]]`` is what request i sends."""

    calls: Sequence[Call]
    of: Integers


def make_calls(plan: ReplayPlan, schedule: Schedule) -> Calls:
    """One call for each different (model, rows, payload). Raises ReplayError: no server, model or rows."""
    kinds = np.stack([schedule.models, schedule.rows], axis=1)
    groups, group_of = np.unique(kinds, axis=0, return_inverse=True)
    share_bytes = MOST_BYTES // max(1, len(groups))
    inputs: dict[int, tuple[Input, ...]] = {}
    calls: list[Call] = []
    of = np.zeros(schedule.count, dtype=np.int64)
    for group, (model, rows) in enumerate(groups.tolist()):
        if model not in inputs:
            inputs[model] = describe(plan, plan.requests[model].model, plan.requests[model].version)
        mine = group_of.reshape(-1) == group
        seeds, seed_of = np.unique(schedule.seeds[mine], return_inverse=True)
        made = _payloads(plan, model, inputs[model], rows, seeds.tolist(), share_bytes)
        of[mine] = len(calls) + seed_of.reshape(-1) % len(made)
        calls += [encode(plan, payload) for payload in made]
    return Calls(calls, of)


def describe(plan: ReplayPlan, model: str, version: str) -> tuple[Input, ...]:
    """The model's inputs, as the server describes them. Raises ReplayError in the server's words."""
    host, port = plan.address
    timeout_s = min(ASKED_WITHIN_S, plan.timeout_s)
    if plan.encoding == "grpc":
        return _describe_grpc(f"{host}:{port}", model, version, timeout_s)
    return _describe_http(f"http://{host}:{port}", model, version, timeout_s)


def _describe_grpc(address: str, model: str, version: str, timeout_s: float) -> tuple[Input, ...]:
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:  # as the load itself goes
        try:
            return payloads.describe_grpc(
                services.stub(channel, services.OPEN_INFERENCE), model, version, timeout_s
            )
        except grpc.RpcError as error:
            code, text = error.code(), error.details() or ""
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise ReplayError(f"cannot reach {address} over gRPC: {text}.", START_HINT)
    raise ReplayError(text or f"{address} answered {code.name} when asked about model {model!r}.")


def _describe_http(url: str, model: str, version: str, timeout_s: float) -> tuple[Input, ...]:
    try:
        return payloads.describe(url, model, version, timeout_s)
    except HTTPError as error:
        with error:
            raise ReplayError(_said(error) or f"{url} answered {error.code} about model {model!r}.") from None
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise ReplayError(f"cannot reach {url}: {reason}.", START_HINT) from None
    except (ValueError, LookupError, TypeError):
        raise ReplayError(f"{url} does not describe {model!r} as the Open Inference Protocol says.") from None


def _said(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _payloads(
    plan: ReplayPlan, model: int, inputs: Sequence[Input], rows: int, seeds: Sequence[int], most_bytes: int
) -> list[Payload]:
    """Payloads of ``rows`` rows for different ``seeds``, as many as fit into ``most_bytes``; at least one."""
    name = plan.requests[model].model
    try:
        made = _best(plan, model, inputs, rows, seeds)
        first = next(made)
        size_bytes = max(1, sum(array.nbytes for array in first.arrays))
        return [first, *itertools.islice(made, min(len(seeds), max(1, most_bytes // size_bytes)) - 1)]
    except (ValueError, OSError, HTTPException) as error:
        hint = "Name an .npz file with an array for each input." if name in plan.rows_from else _ROWS_HINT
        raise ReplayError(f"no request can be made for {name!r}: {error}.", hint) from None


def _best(
    plan: ReplayPlan, model: int, inputs: Sequence[Input], rows: int, seeds: Sequence[int]
) -> Iterator[Payload]:
    """The best that there are: recorded rows, the server's example, random values."""
    name, version = plan.requests[model].model, plan.requests[model].version
    if name in plan.rows_from:
        return payloads.recorded_payloads(name, version, inputs, rows, plan.rows_from[name])
    if plan.examples_url:
        row = payloads.example(plan.examples_url.rstrip("/"), name, version, min(ASKED_WITHIN_S, plan.timeout_s))
        return iter([payloads.repeated_payload(name, version, inputs, rows, row)])
    return (_drawn(plan.requests[model], inputs, rows, seed) for seed in seeds)


def _drawn(requests: ModelArrivals, inputs: Sequence[Input], rows: int, seed: int) -> Payload:
    """Takes the same place among the sizes of every axis: those of ids and of their mask go together."""
    sizes = {axis: known[seed * SIZES_APART % len(known)] for axis, known in requests.sizes.items()}
    random = np.random.default_rng(seed)
    return payloads.drawn_payload(requests.model, requests.version, inputs, rows, random, sizes)


def encode(plan: ReplayPlan, payload: Payload) -> Call:
    """The bytes of the request that carries ``payload``."""
    host, port = plan.address
    if plan.encoding == "grpc":
        headers = request_headers(INFER, f"{host}:{port}")
        return GrpcCall.of(headers, payload.to_protobuf().SerializeToString())
    if plan.encoding == "json":
        return request_bytes(host, port, payload.path, {"content-type": "application/json"}, payload.to_json())
    body, json_bytes = payload.to_binary()
    headers_of = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(json_bytes),
    }
    return request_bytes(host, port, payload.path, headers_of, body)
