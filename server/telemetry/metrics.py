"""Every metric that this server exposes: one table, from which code, documentation and tests take the names."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric family. ``kind``: counter, gauge, histogram or info."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    group: str
    merge: Callable[[float, float], float] = operator.add
    """How the values of several workers become one."""

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that its samples have in the text format."""
        if self.kind == "histogram":
            return f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count"
        return (self.name,)


_VERSION = ("model", "version")
_REQUESTS = "Requests"
_BATCHES = "Queue and batches"
_MODELS = "Models"
_WORKERS = "Workers"
_SERVER = "The server itself"
_TRITON = "Triton's names"

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "rapide_requests_total",
        "counter",
        (*_VERSION, "label", "protocol", "code"),
        "Requests that ended, by how: ok or the error's name. Model and version are empty if none was reached.",
        _REQUESTS,
    ),
    MetricSpec(
        "rapide_request_duration_seconds",
        "histogram",
        (*_VERSION, "protocol", "outcome"),
        "From a request's arrival to its answer being ready to send; outcome is ok or error.",
        _REQUESTS,
    ),
    MetricSpec(
        "rapide_in_flight", "gauge", _VERSION, "Requests that were admitted and have not ended.", _REQUESTS
    ),
    MetricSpec(
        "rapide_shed_total",
        "counter",
        (*_VERSION, "reason"),
        "Requests refused to protect the others: queue_full, deadline_exceeded or unavailable.",
        _REQUESTS,
    ),
    MetricSpec(
        "rapide_cancelled_total", "counter", _VERSION, "Requests whose caller went away or cancelled.", _REQUESTS
    ),
    MetricSpec(
        "rapide_request_payload_bytes_total", "counter", _VERSION, "Bytes of the requests' payloads.", _REQUESTS
    ),
    MetricSpec(
        "rapide_request_rows_total", "counter", _VERSION, "Rows of the requests that were admitted.", _REQUESTS
    ),
    MetricSpec(
        "rapide_queue_duration_seconds",
        "histogram",
        _VERSION,
        "How long a request waited before its batch ran.",
        _BATCHES,
    ),
    MetricSpec(
        "rapide_compute_duration_seconds",
        "histogram",
        _VERSION,
        "Time inside the model's runtime, once per batch.",
        _BATCHES,
    ),
    MetricSpec("rapide_batch_rows", "histogram", _VERSION, "Rows that ran together.", _BATCHES),
    MetricSpec(
        "rapide_batches_total",
        "counter",
        (*_VERSION, "reason"),
        "Batches run, by why they were not made larger.",
        _BATCHES,
    ),
    MetricSpec("rapide_queue_rows", "gauge", _VERSION, "Rows that wait for a session.", _BATCHES),
    MetricSpec(
        "rapide_adapted_limit",
        "gauge",
        (*_VERSION, "limit"),
        "The limits of a version that is adapted: max_batch_rows and max_queue_rows in force.",
        _BATCHES,
        merge=max,
    ),
    MetricSpec(
        "rapide_adaptations_total",
        "counter",
        (*_VERSION, "limit"),
        "How often a worker has moved a limit because the usage had drifted.",
        _BATCHES,
    ),
    MetricSpec(
        "rapide_drift_distance",
        "gauge",
        (*_VERSION, "figure"),
        "How far an adapted version's rate, burstiness or rows were from what was tuned for.",
        _BATCHES,
        merge=max,
    ),
    MetricSpec(
        "rapide_model_info",
        "info",
        (*_VERSION, "digest"),
        "1 for every version that some worker has loaded or loads; the digest says which bytes.",
        _MODELS,
    ),
    MetricSpec(
        "rapide_model_state",
        "gauge",
        (*_VERSION, "state"),
        "Workers in which the version is in this state: loading, ready, draining, broken or unloaded.",
        _MODELS,
    ),
    MetricSpec(
        "rapide_repository_problems",
        "gauge",
        (),
        "Versions and models in the repository that cannot be served; the log and the repository index say why.",
        _MODELS,
        merge=max,
    ),
    MetricSpec("rapide_worker_up", "gauge", ("worker",), "1 while the worker's process lives.", _WORKERS),
    MetricSpec(
        "rapide_worker_starts_total",
        "counter",
        ("worker",),
        "Processes that this worker slot has had; more than 1 means that one was replaced.",
        _WORKERS,
    ),
    MetricSpec(
        "rapide_worker_cpu_seconds_total",
        "counter",
        ("worker",),
        "CPU time of the worker's process, user and system.",
        _WORKERS,
    ),
    MetricSpec(
        "rapide_worker_resident_memory_bytes",
        "gauge",
        ("worker",),
        "Memory of the worker's process that is in RAM; pages shared with others count in each.",
        _WORKERS,
    ),
    MetricSpec("rapide_worker_open_fds", "gauge", ("worker",), "Open file descriptors.", _WORKERS),
    MetricSpec("rapide_worker_max_fds", "gauge", ("worker",), "Limit of open file descriptors.", _WORKERS),
    MetricSpec("rapide_worker_threads", "gauge", ("worker",), "Operating system threads.", _WORKERS),
    MetricSpec(
        "rapide_worker_start_time_seconds",
        "gauge",
        ("worker",),
        "When the worker's process started, in seconds since the epoch.",
        _WORKERS,
    ),
    MetricSpec("rapide_open_connections", "gauge", ("protocol",), "Open connections.", _SERVER),
    MetricSpec("rapide_connections_total", "counter", ("protocol",), "Connections accepted.", _SERVER),
    MetricSpec(
        "rapide_log_lines_dropped_total",
        "counter",
        (),
        "Log lines dropped because their reader was too slow.",
        _SERVER,
    ),
    MetricSpec(
        "rapide_traces_dropped_total",
        "counter",
        ("form",),
        "Sampled requests whose traces could not be written or sent; form is triton or otlp.",
        _SERVER,
    ),
    MetricSpec(
        "rapide_build_info",
        "info",
        ("version", "python", "onnxruntime"),
        "1; the labels say which versions run.",
        _SERVER,
    ),
    MetricSpec(
        "nv_inference_request_success",
        "counter",
        _VERSION,
        "Number of successful inference requests, all batch sizes",
        _TRITON,
    ),
    MetricSpec(
        "nv_inference_request_failure",
        "counter",
        (*_VERSION, "reason"),
        "Number of failed inference requests: REJECTED, CANCELED, BACKEND or OTHER",
        _TRITON,
    ),
    MetricSpec("nv_inference_count", "counter", _VERSION, "Number of inferences performed (rows)", _TRITON),
    MetricSpec(
        "nv_inference_exec_count", "counter", _VERSION, "Number of model executions performed (batches)", _TRITON
    ),
    MetricSpec(
        "nv_inference_request_duration_us",
        "counter",
        _VERSION,
        "Cumulative duration of successful inference requests in microseconds",
        _TRITON,
    ),
    MetricSpec(
        "nv_inference_queue_duration_us",
        "counter",
        _VERSION,
        "Cumulative time requests spent waiting in the queue in microseconds",
        _TRITON,
    ),
    MetricSpec(
        "nv_inference_compute_input_duration_us",
        "counter",
        _VERSION,
        "Cumulative time requests spent joining inputs into batches in microseconds",
        _TRITON,
    ),
    MetricSpec(
        "nv_inference_compute_infer_duration_us",
        "counter",
        _VERSION,
        "Cumulative time requests spent in the model's runtime in microseconds",
        _TRITON,
    ),
    MetricSpec(
        "nv_inference_compute_output_duration_us",
        "counter",
        _VERSION,
        "Cumulative time requests spent dividing outputs of batches in microseconds",
        _TRITON,
    ),
    MetricSpec(
        "nv_inference_pending_request_count",
        "gauge",
        _VERSION,
        "Number of requests awaiting execution",
        _TRITON,
    ),
)

BY_NAME = {spec.name: spec for spec in METRICS}
