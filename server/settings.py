"""Every setting of the server, once: its type, default, unit, bounds and the reason for the default.

``Settings`` is one frozen record that travels whole. The same table drives the flags of ``rapide serve``, the
``RAPIDE_`` environment, ``rapide.toml`` and docs/reference/settings.md (``settings_sources.py`` reads the first
three). Free of numpy, asyncio and everything else that is slow to import.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, cast

from rapide.server.errors import SettingsError

Value = bool | int | float | str | tuple[str, ...]
"""What a setting can hold; its default's type decides which."""


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """One setting, as help texts, parsers and the reference page see it."""

    name: str
    default: Value
    group: str
    help: str
    reason: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "RAPIDE_" + self.name.upper()

    @property
    def kind(self) -> type:
        return type(self.default)

    def check(self, value: Value, source: str) -> None:
        """Raises SettingsError unless ``value`` is one of the choices and within the bounds."""
        if self.choices and value not in self.choices:
            raise SettingsError(
                f"{source}: {self.name} is {value!r}; it must be one of {', '.join(self.choices)}."
            )
        if isinstance(value, int | float) and not self._within(value):
            raise SettingsError(f"{source}: {self.name} is {value}; it must be {self.bounds}.")

    def _within(self, value: float) -> bool:
        low = self.minimum if self.minimum is not None else float("-inf")
        high = self.maximum if self.maximum is not None else float("inf")
        return low <= value <= high

    @property
    def bounds(self) -> str:
        """The bounds in words, empty where there are none."""
        if self.minimum is None and self.maximum is None:
            return ""
        if self.maximum is None:
            return f"at least {self.minimum}"
        if self.minimum is None:
            return f"at most {self.maximum}"
        return f"between {self.minimum} and {self.maximum}"


def _setting(default: Value, group: str, help: str, reason: str, **more: Any) -> Any:  # noqa: A002 - argparse's word
    return field(default=default, metadata={"group": group, "help": help, "reason": reason, **more})


_SERVED = "What is served"
_ADDRESSES = "Addresses"
_TLS = "TLS"
_PROCESSES = "Processes"
_BATCHING = "Batching"
_LIMITS = "Limits"
_TELEMETRY = "Telemetry"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one server. Made by ``settings_sources.load``; units are in the names."""

    models: str = _setting(
        "models",
        _SERVED,
        "a model repository, or one .onnx file",
        "the folder that the quickstart publishes to",
    )
    control: str = _setting(
        "watch",
        _SERVED,
        "who decides what is loaded: watch follows the repository, explicit waits for load and unload calls, "
        "none keeps what was there at the start",
        "publishing a version or moving a label should be enough to have it served",
        choices=("watch", "explicit", "none"),
    )
    poll_interval_s: float = _setting(
        1.0,
        _SERVED,
        "how often a watched repository is looked at",
        "one stat per version a second is cheap, also on a network file system, where inotify sees nothing",
        unit="s",
        minimum=0.05,
        maximum=3600,
    )
    version_policy: str = _setting(
        "latest:1",
        _SERVED,
        "which versions of a model are served besides the labelled ones: latest:N, all or specific:1,3",
        "older ones cost memory and answer nobody, unless a label means them",
    )
    load: tuple[str, ...] = _setting(
        (),
        _SERVED,
        "models to load at the start when control is explicit (comma-separated; * for all)",
        "explicit control starts empty unless told otherwise",
    )
    host: str = _setting(
        "127.0.0.1",
        _ADDRESSES,
        "address to listen on; 0.0.0.0 or :: for all interfaces",
        "nothing is offered to a network by accident",
    )
    http_port: int = _setting(
        8000,
        _ADDRESSES,
        "HTTP port; 0 takes a free one",
        "the port that Triton's clients know",
        minimum=0,
        maximum=65535,
    )
    grpc_port: int = _setting(
        8001,
        _ADDRESSES,
        "gRPC port; 0 takes a free one",
        "the port that Triton's clients know",
        minimum=0,
        maximum=65535,
    )
    metrics_port: int = _setting(
        8002,
        _ADDRESSES,
        "port of metrics and administration; 0 takes a free one",
        "the port that Triton's dashboards scrape",
        minimum=0,
        maximum=65535,
    )
    grpc_engine: str = _setting(
        "lane",
        _ADDRESSES,
        "who reads gRPC's frames: lane is our own HTTP/2, many times as fast; grpcio is the reference",
        "passes every test that the reference passes, at a tenth of its cost (docs/benchmarks.md)",
        choices=("lane", "grpcio"),
    )
    http_engine: str = _setting(
        "lane",
        _ADDRESSES,
        "who reads HTTP: lane answers inference itself and hands the rest to Starlette; uvicorn is the reference",
        "passes every test that the reference passes, at a fraction of its cost (docs/benchmarks.md)",
        choices=("lane", "uvicorn"),
    )
    one_port: bool = _setting(
        False,
        _ADDRESSES,
        "offer gRPC on the HTTP port too, and open none for gRPC alone (both engines must be lanes)",
        "clients of Triton and TensorFlow Serving look for two ports",
    )
    http_socket: str = _setting(
        "",
        _ADDRESSES,
        "path of a Unix socket for HTTP besides the port (only the lane), never under TLS; its permissions (the "
        "umask's) say who may connect",
        "only callers on the same machine can use one",
    )
    grpc_socket: str = _setting(
        "",
        _ADDRESSES,
        "the same for gRPC",
        "as above",
    )
    tls_cert_file: str = _setting(
        "",
        _TLS,
        "PEM file with the server's certificate, then those that signed it; HTTP and gRPC are under TLS then, "
        "but not the port of metrics and administration",
        "loopback needs none, and behind a gateway the gateway has it",
    )
    tls_key_file: str = _setting(
        "",
        _TLS,
        "PEM file with the certificate's private key, unencrypted",
        "belongs to tls_cert_file",
    )
    tls_client_ca_file: str = _setting(
        "",
        _TLS,
        "PEM file with the authorities of clients: whoever has no certificate of theirs is refused",
        "a certificate per client is a decision about the whole of a system",
    )
    workers: int = _setting(
        0,
        _PROCESSES,
        "worker processes that share the ports; 0 is one per usable core",
        "one event loop per core, as far as affinity, the cgroup's quota and memory allow",
        minimum=0,
        maximum=512,
    )
    reserve: bool = _setting(
        True,
        _PROCESSES,
        "keep one more process started, to replace a worker at once",
        "starting Python and its libraries takes half a second, and longer on busy cores; costs some 50 MB",
    )
    threads: int = _setting(
        1,
        _PROCESSES,
        "threads inside one model run",
        "small models are fastest on one; with a worker per core more threads only fight each other",
        minimum=1,
        maximum=512,
    )
    grace_s: float = _setting(
        0.0,
        _PROCESSES,
        "how long to keep serving, but unready, after SIGTERM",
        "ctrl-C at a desk should be instant; behind a load balancer set a few seconds, until it has noticed",
        unit="s",
        minimum=0,
        maximum=3600,
    )
    drain_s: float = _setting(
        20.0,
        _PROCESSES,
        "how long requests in flight may take to finish after that",
        "leaves room for a grace of some seconds in Kubernetes' 30 s before it kills",
        unit="s",
        minimum=0,
        maximum=3600,
    )
    start_timeout_s: float = _setting(
        120.0,
        _PROCESSES,
        "how long a worker may take from its start until it serves",
        "large models on slow disks load for tens of seconds; a worker that hangs must not stay unnoticed",
        unit="s",
        minimum=1,
        maximum=86400,
    )
    prepare_timeout_s: float = _setting(
        120.0,
        _PROCESSES,
        "how long all workers may take to load what a change asks for, before it is undone everywhere",
        "as above, while the models that are loaded keep answering",
        unit="s",
        minimum=1,
        maximum=86400,
    )
    max_batch_rows: int = _setting(
        64,
        _BATCHING,
        "rows run together at most",
        "throughput of small models is flat from there on, and tree ensembles get slower per row",
        unit="rows",
        minimum=1,
        maximum=1_000_000,
    )
    max_queue_rows: int = _setting(
        4096,
        _BATCHING,
        "rows that may wait per model version; more are refused at once (429, RESOURCE_EXHAUSTED)",
        "64 full batches: beyond that, waiting costs more than asking again",
        unit="rows",
        minimum=1,
        maximum=10_000_000,
    )
    max_delay_us: float = _setting(
        0.0,
        _BATCHING,
        "how long a batch that is not full may wait for more rows",
        "a batch is what is already there: a lone request never waits",
        unit="µs",
        minimum=0,
        maximum=1_000_000,
    )
    sessions: int = _setting(
        1,
        _BATCHING,
        "batches of one model version that may run at the same time in a worker",
        "workers already run side by side",
        minimum=1,
        maximum=64,
    )
    inline_below_us: float = _setting(
        75.0,
        _BATCHING,
        "a model whose run takes less than this runs on the event loop instead of a thread",
        "a hop to a thread and back costs about that much",
        unit="µs",
        minimum=0,
        maximum=1_000_000,
    )
    busy_poll_us: float = _setting(
        0.0,
        _BATCHING,
        "keep a worker awake for so long after each answer, looking for the next request instead of sleeping",
        "it halves the latency of requests that come one by one, each within that time of the last, and such a "
        "worker never leaves its core to anybody else: for those who have the core and want the latency",
        unit="µs",
        minimum=0,
        maximum=1_000_000,
    )
    spinning: bool = _setting(
        False,
        _BATCHING,
        "let a model's threads spin between runs",
        "spinning takes a core from the next request",
    )
    tuning: str = _setting(
        "auto",
        _BATCHING,
        "folder with tuning files, as `rapide tune` writes them; auto is $XDG_STATE_HOME/rapide/tuning (mostly "
        "~/.local/state/rapide/tuning), off uses none",
        "what was measured for this processor and this model beats defaults that must fit all of them; settings "
        "that differ from their defaults win over a tuning file",
    )
    adapt: bool = _setting(
        False,
        _BATCHING,
        "move max_batch_rows and max_queue_rows of tuned models, within the range that their tuning files say was "
        "proven, when the usage drifts from what was tuned for",
        "who watches a server should know why its limits change; switch it on where nobody is there to tune again",
    )
    adapt_every_s: float = _setting(
        60.0,
        _BATCHING,
        "how often the usage is compared then; three comparisons must agree, and two moves are ten of them apart",
        "a minute of requests tells a drift from chance",
        unit="s",
        minimum=1,
        maximum=86400,
    )
    max_message_bytes: int = _setting(
        64 * 1024 * 1024,
        _LIMITS,
        "largest request or response",
        "room for batches of images, and no room to fill the memory with one call",
        unit="bytes",
        minimum=1024,
        maximum=2_147_483_647,
    )
    trial: str = _setting(
        "unproven",
        _LIMITS,
        "which versions are loaded in a process with limits first, before a worker loads them: unproven (those "
        "whose manifest does not say that their publisher did), all, or none",
        "a hostile or broken file must not take a worker down; what `rapide convert` published was tried there",
        choices=("unproven", "all", "none"),
    )
    trial_memory_bytes: int = _setting(
        4 * 1024 * 1024 * 1024,
        _LIMITS,
        "address space of such a trial, beside four times the version's size",
        "Python, numpy and the runtime map one GiB; a graph that unfolds to more is a mistake or an attack",
        unit="bytes",
        minimum=1024 * 1024 * 1024,
    )
    trial_timeout_s: float = _setting(
        30.0,
        _LIMITS,
        "how long such a trial may take",
        "the largest models load and answer within seconds; well below prepare_timeout_s",
        unit="s",
        minimum=1,
        maximum=86400,
    )
    max_concurrent_streams: int = _setting(
        1024,
        _LIMITS,
        "gRPC calls in flight on one connection",
        "more than one client uses; bounds what a connection can make us remember",
        minimum=1,
        maximum=1_000_000,
    )
    keep_alive_s: float = _setting(
        75.0,
        _LIMITS,
        "how long an idle HTTP connection is kept",
        "longer than the 60 s of common load balancers, so that the balancer closes first",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    max_connection_age_s: float = _setting(
        0.0,
        _LIMITS,
        "age at which a gRPC connection is told to come again, when all its calls are answered; 0 for never",
        "reconnecting costs; behind a balancer of connections some minutes spread clients over new replicas",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    shared_memory: bool = _setting(
        True,
        _LIMITS,
        "whether clients may register system shared memory",
        "clients on the same machine expect it; only regions that this user may open can be named",
    )
    log_format: str = _setting(
        "auto",
        _TELEMETRY,
        "json, console, or auto: console on a terminal, json elsewhere",
        "people read at terminals, machines read the rest",
        choices=("auto", "json", "console"),
    )
    log_level: str = _setting(
        "info",
        _TELEMETRY,
        "least severe lines to log",
        "starts, changes and failures; nothing per request",
        choices=("debug", "info", "warning", "error"),
    )
    access_log: bool = _setting(
        False,
        _TELEMETRY,
        "log one line per request",
        "costs more than answering a small model; metrics and traces say more",
    )
    otlp_endpoint: str = _setting(
        "",
        _TELEMETRY,
        "OTLP/gRPC collector for traces, such as http://localhost:4317 (needs the extra rapide[otel])",
        "nothing is sent anywhere unless asked for",
    )
    trace_rate: float = _setting(
        1.0,
        _TELEMETRY,
        "share of requests traced where the caller does not decide (traceparent)",
        "an endpoint was set, so traces are wanted; lower it on busy servers",
        minimum=0,
        maximum=1,
    )
    trace_file: str = _setting(
        "",
        _TELEMETRY,
        "file to which callers of Triton's trace API may switch on tracing; empty allows none",
        "a caller who may say what is traced must not say where it is written",
    )
    state_dir: str = _setting(
        "",
        _TELEMETRY,
        "folder for the memory-mapped counters; empty makes one in shared memory and removes it at exit",
        "counters belong to one run; a disk would only slow them down",
    )

    def to_json(self) -> dict[str, Any]:
        """For the worker processes; ``from_json`` restores an equal record."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Settings:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()
        }
        return cls(**values)


SPECS: tuple[SettingSpec, ...] = tuple(
    SettingSpec(name=item.name, default=cast("Value", item.default), **item.metadata)
    for item in dataclasses.fields(Settings)
)
"""The table, in the order of the record."""
BY_NAME: dict[str, SettingSpec] = {spec.name: spec for spec in SPECS}


def ports_of(settings: Settings) -> dict[str, int]:
    """The ports that are opened, by setting's name."""
    names = ("http_port", "metrics_port") if settings.one_port else ("http_port", "grpc_port", "metrics_port")
    return {name: getattr(settings, name) for name in names}


def sockets_of(settings: Settings) -> dict[str, str]:
    """The paths of the Unix sockets that are opened, by setting's name."""
    paths = {name: str(getattr(settings, name)) for name in ("http_socket", "grpc_socket")}
    return {name: path for name, path in paths.items() if path}


def check_together(settings: Settings) -> None:
    """Raises SettingsError for values that are fine alone but contradict each other."""
    _check_doors(settings)
    _check_engines(settings)
    taken: dict[int, str] = {}
    for name, port in ports_of(settings).items():
        if port and port in taken:
            raise SettingsError(
                f"{taken[port]} and {name} are both {port}.", hint="Give each its own port, or 0 for a free one."
            )
        taken[port] = name
    if settings.max_queue_rows < settings.max_batch_rows:
        raise SettingsError(
            f"max_queue_rows ({settings.max_queue_rows}) is below max_batch_rows ({settings.max_batch_rows}): "
            "no batch could ever be full.",
            hint="Raise max_queue_rows or lower max_batch_rows.",
        )
    if settings.load and settings.control != "explicit":
        raise SettingsError(
            f"load names models to start with, but control is {settings.control}.",
            hint="Leave load out, or set control to explicit.",
        )


def _check_doors(settings: Settings) -> None:
    if bool(settings.tls_cert_file) != bool(settings.tls_key_file):
        given, missing = sorted(("tls_cert_file", "tls_key_file"), key=lambda name: not getattr(settings, name))
        raise SettingsError(
            f"{given} is set, but {missing} is not.", hint="They may name the same file if it holds both."
        )
    if settings.tls_client_ca_file and not settings.tls_cert_file:
        raise SettingsError(
            "tls_client_ca_file is set, but tls_cert_file is not: clients show certificates under TLS alone.",
            hint="Set tls_cert_file and tls_key_file, too.",
        )
    if settings.http_socket and settings.http_socket == settings.grpc_socket:
        raise SettingsError(
            f"http_socket and grpc_socket are both {settings.http_socket}.", hint="Give each its own path."
        )


def _check_engines(settings: Settings) -> None:
    """What only our own lanes can do."""
    wants = {
        "one_port": ("grpc_engine", "http_engine"),
        "grpc_socket": ("grpc_engine",),
        "http_socket": ("http_engine",),
    }
    for wanted, engines in wants.items():
        for engine in engines:
            used = getattr(settings, engine)
            if getattr(settings, wanted) and used != "lane":
                raise SettingsError(
                    f"{wanted} is set, and {engine} is {used}, which cannot do that.",
                    hint=f"Set {engine} to lane, or leave {wanted} out.",
                )
