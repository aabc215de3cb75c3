"""What a server says when it is ready: to people on a screen, to machines as one line of JSON. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rapide import __version__
from rapide.server.control import ServedModel
from rapide.server.settings import Settings, sockets_of
from rapide.server.sockets import reachable_host, url_host

MAX_MODELS = 20
"""More are counted, not listed: a banner is read at a glance."""
MAX_EXAMPLES = 4
_SOCKET_NAMES = {"http_socket": "HTTP", "grpc_socket": "gRPC"}


def addresses(settings: Settings) -> dict[str, str]:
    """Where the server can be reached from this machine: HTTP base URL, gRPC target, metrics URL."""
    host = url_host(reachable_host(settings.host))
    scheme = "https" if settings.tls_cert_file else "http"
    return {
        "http": f"{scheme}://{host}:{settings.http_port}",
        "grpc": f"{host}:{settings.grpc_port}",
        "metrics": f"http://{host}:{settings.metrics_port}/metrics",
    }


def curl_line(base: str, model: ServedModel) -> str:
    """A shell command that calls ``model``; one that asks what it takes where no example could be made."""
    if not model.path:
        return f"curl {base}/v2/models/{model.name}"
    if model.is_script:
        return f"python3 -c {shlex.quote(model.body)} | curl {base}{model.path} -d @-"
    return f"curl {base}{model.path} -d {shlex.quote(model.body)}"


def banner_json(
    settings: Settings,
    models: list[ServedModel],
    why_workers: str,
    ready_s: float,
    tuned: Sequence[str] = (),
) -> dict[str, Any]:
    """The fields of the log line that says the server is ready."""
    where = addresses(settings)
    return {
        "event": "ready",
        "version": __version__,
        "ready_s": round(ready_s, 3),
        "models": [{"name": model.name, "versions": model.versions, "labels": model.labels} for model in models],
        **where,
        **sockets_of(settings),
        "docs": f"{where['http']}/docs",
        "workers": settings.workers,
        "why_workers": why_workers,
        "threads": settings.threads,
        "tuned": list(tuned),
        "curl": [curl_line(where["http"], model) for model in models[:MAX_EXAMPLES]],
    }


def banner_text(
    settings: Settings,
    models: list[ServedModel],
    why_workers: str,
    ready_s: float,
    tuned: Sequence[str] = (),
) -> str:
    """Some lines for a terminal, without colours. ``tuned``: which versions run as tuning files say."""
    where = addresses(settings)
    threads = f"{settings.threads} thread{'s' * (settings.threads > 1)}"
    lines = [f"rapide {__version__} is ready after {ready_s:.2f} s", "", f"  {_served_from(settings)}"]
    lines += [f"    {line}" for line in _model_lines(models)]
    lines += [
        "",
        f"  HTTP      {where['http']}    API: {where['http']}/docs",
        f"  gRPC      {where['grpc']}",
        *(f"  {_SOCKET_NAMES[name]:9} unix:{path}" for name, path in sockets_of(settings).items()),
        f"  metrics   {where['metrics']}",
        f"  workers   {settings.workers} × {threads} ({why_workers})",
        *(f"  tuned     {line}" for line in tuned[:MAX_MODELS]),
    ]
    if models:
        lines += ["", "  Try it:"]
        lines += [f"    {curl_line(where['http'], model)}" for model in models[:MAX_EXAMPLES]]
    return "\n".join([*lines, ""])


def _served_from(settings: Settings) -> str:
    how = {
        "watch": f"looked at every {settings.poll_interval_s:g} s",
        "explicit": "models are loaded and unloaded by call",
        "none": "as it was at the start",
    }
    return f"{settings.models} ({how[settings.control]})"


def _model_lines(models: list[ServedModel]) -> list[str]:
    width = max((len(model.name) for model in models[:MAX_MODELS]), default=0)
    lines = [f"{model.name:{width}}  version {_versions(model)}{_labels(model)}" for model in models[:MAX_MODELS]]
    if len(models) > MAX_MODELS:
        lines.append(f"and {len(models) - MAX_MODELS} more")
    return lines or ["nothing yet"]


def _versions(model: ServedModel) -> str:
    return ", ".join(map(str, model.versions))


def _labels(model: ServedModel) -> str:
    return f"   {' '.join(model.labels)}" if model.labels else ""
