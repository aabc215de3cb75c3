"""The HTTP route tables: every route of the public and of the administrative port, and who answers it.

Order matters where two paths fit one request: the first one answers. What is asked most comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rapide.server.protocols import http_admin, http_inference, http_models, http_pages
from rapide.server.protocols.http_call import HTML, Handler, Route, RouteTable

_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = "/v2/models/{model}/versions/{version}"
_TF_MODEL: Final = "/v1/models/{model}"
_REPOSITORY: Final = "/v2/repository"
_METRICS_TYPE: Final = "text/plain"


def _get(path: str, handler: Handler, summary: str, tag: str, gives: str) -> Route:
    return Route("GET", path, handler, summary, tag, gives=gives)


def _post(path: str, handler: Handler, summary: str, tag: str, takes: str, gives: str) -> Route:
    return Route("POST", path, handler, summary, tag, takes=takes, gives=gives)


def _inference() -> Iterator[Route]:
    tag = "inference"
    for path, of in ((_MODEL, "its labels' choice"), (_VERSION, "one version")):
        yield Route(
            "POST",
            f"{path}/infer",
            http_inference.infer,
            f"Infer with tensors, by {of}",
            tag,
            takes="InferRequest",
            gives="InferResponse",
            infers=True,
            begin=http_inference.begin_infer,
        )
    for path, of in (
        (_TF_MODEL, "its labels' choice"),
        (f"{_TF_MODEL}/versions/{{version}}", "one version"),
        (f"{_TF_MODEL}/labels/{{label}}", "one label's version"),
    ):
        yield Route(
            "POST",
            f"{path}:predict",
            http_inference.predict,
            f"Predict from named features or rows, by {of}",
            tag,
            takes="PredictRequest",
            gives="PredictResponse",
            infers=True,
            begin=http_inference.begin_predict,
        )


def _health() -> Iterator[Route]:
    tag = "health"
    yield _get("/v2/health/live", http_models.live, "Whether the process answers at all", tag, "Live")
    yield _get("/v2/health/ready", http_models.ready, "Whether everything that should be served is", tag, "Ready")


def _models() -> Iterator[Route]:
    tag = "models"
    yield _get(
        "/v2", http_models.server_metadata, "The server's name, version and extensions", tag, "ServerMetadata"
    )
    yield _get("/v2/models/stats", http_models.all_statistics, "Statistics of all models", tag, "ModelStatistics")
    for path in (_MODEL, _VERSION):
        of = "a model" if path == _MODEL else "a version"
        yield _get(path, http_models.model_metadata, f"What {of} takes and gives", tag, "ModelMetadata")
        yield _get(f"{path}/ready", http_models.model_ready, f"Whether {of} can answer", tag, "Ready")
        yield _get(f"{path}/config", http_models.model_config, f"How {of} is served", tag, "ModelConfig")
        yield _get(f"{path}/stats", http_models.model_statistics, f"Statistics of {of}", tag, "ModelStatistics")
    for path in (_TF_MODEL, f"{_TF_MODEL}/versions/{{version}}", f"{_TF_MODEL}/labels/{{label}}"):
        yield _get(path, http_models.tf_status, "State, in TensorFlow Serving's terms", tag, "TfStatus")


def _examples() -> Iterator[Route]:
    """Of the administrative port alone: the row may be from the data that the model was checked with."""
    for path, of in ((_MODEL, "a model"), (_VERSION, "a version")):
        summary = f"A request with one row that {of} takes"
        yield _get(f"{path}/example", http_models.model_example, summary, "models", "InferRequest")


def _repository() -> Iterator[Route]:
    tag = "repository"
    one = f"{_REPOSITORY}/models/{{model}}"
    yield _post(f"{_REPOSITORY}/index", http_admin.repository_index, "What there is", tag, "IndexRequest", "Index")
    yield _post(f"{one}/load", http_admin.load, "Load a model in all workers", tag, "LoadRequest", "Nothing")
    yield _post(f"{one}/unload", http_admin.unload, "Unload a model in all workers", tag, "LoadRequest", "Nothing")


def _shared_memory() -> Iterator[Route]:
    tag = "shared memory"
    own = "/v2/systemsharedmemory"
    one = f"{own}/region/{{region}}"
    status, unregister = http_admin.shared_memory_status, http_admin.shared_memory_unregister
    yield _get(f"{own}/status", status, "All registered regions", tag, "Regions")
    yield _get(f"{one}/status", status, "One registered region", tag, "Regions")
    yield _post(f"{one}/register", http_admin.shared_memory_register, "Register", tag, "RegisterRegion", "Nothing")
    yield _post(f"{own}/unregister", unregister, "Forget all regions", tag, "", "Nothing")
    yield _post(f"{one}/unregister", unregister, "Forget a region", tag, "", "Nothing")
    yield from _cuda_shared_memory(tag)


def _cuda_shared_memory(tag: str) -> Iterator[Route]:
    handler, why = http_admin.cuda_shared_memory, "Always 501: models run on the CPU"
    one = "/v2/cudasharedmemory/region/{region}"
    for path in ("/v2/cudasharedmemory", one):
        yield _get(f"{path}/status", handler, why, tag, "")
        yield _post(f"{path}/unregister", handler, why, tag, "", "")
    yield _post(f"{one}/register", handler, why, tag, "", "")


def _settings() -> Iterator[Route]:
    tag = "settings"
    for path in ("/v2/trace/setting", f"{_MODEL}/trace/setting"):
        yield _get(path, http_admin.trace_settings, "Trace settings in force", tag, "Settings")
        yield _post(path, http_admin.update_trace, "Change trace settings", tag, "Settings", "Settings")
    yield _get("/v2/logging", http_admin.log_settings, "Log settings in force", tag, "Settings")
    yield _post("/v2/logging", http_admin.update_log, "Change log settings", tag, "Settings", "Settings")


def _monitoring() -> Iterator[Route]:
    tag = "monitoring"
    yield Route("GET", "/metrics", http_pages.metrics, "Prometheus metrics", tag, media_type=_METRICS_TYPE)
    yield _get("/profile", http_pages.profile, "How the models are used: arrivals, rows, times", tag, "Profile")
    yield _get("/status.json", http_pages.status, "What the status page shows", tag, "Overview")


def _pages() -> Iterator[Route]:
    tag = "pages"
    yield Route("GET", "/", http_pages.status_page, "Status page", tag, media_type=HTML)
    yield Route("GET", "/docs", http_pages.docs_page, "API browser", tag, media_type=HTML)
    yield _get("/openapi.json", _describe_public, "This description", tag, "OpenApi")


_describe_public: Handler = http_pages.describes(lambda: PUBLIC_ROUTES)

PUBLIC_ROUTES: Final[RouteTable] = RouteTable(
    (
        *_inference(),
        *_health(),
        *_models(),
        *_repository(),
        *_shared_memory(),
        *_settings(),
        *_monitoring(),
        *_pages(),
    )
)
"""The HTTP port."""

ADMIN_ROUTES: Final = RouteTable((*_health(), *_monitoring(), *_examples(), *_repository(), *_settings()))
"""The port of metrics and administration."""
