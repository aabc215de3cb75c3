"""One worker's rooms in the test's own process, with real sockets: the doors as clients find them.

What the supervisor does for many workers (``apply``: all or none) is done here for one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rapide.server.app import App
from rapide.server.changes import change_state
from rapide.server.control import Change, LoadModel, ServerState, UnloadModel
from rapide.server.errors import BrokenVersion, NotFound
from rapide.server.repository.local import open_repository
from rapide.server.repository.plan import ServingPlan, plan
from rapide.server.repository.policy import ALL
from rapide.server.settings import Settings
from rapide.server.sockets import reserve

HOST = "127.0.0.1"
ENGINES: Mapping[str, Mapping[str, Any]] = {
    "reference": {"grpc_engine": "grpcio", "http_engine": "uvicorn"},
    "lanes": {"grpc_engine": "lane", "http_engine": "lane"},
}
"""Every API test runs on both: what the doors say must not depend on who reads the sockets."""


class OneWorker:
    """The ``admin`` of a server with one worker: prepares a state, then commits it or tells why not."""

    def __init__(self, models: Path) -> None:
        self.app: App
        self.state = ServerState(plan=ServingPlan().to_json())
        self._models = models
        self._round = 0

    async def load_all(self) -> None:
        """Serves everything that the repository has, and forgets what else was changed."""
        await self._agree(ServerState(plan=plan(open_repository(self._models).scan(), ALL).to_json()))

    async def apply(self, change: Change) -> None:
        match change:
            case LoadModel(name=name) | UnloadModel(name=name):
                await self._agree(
                    replace(self.state, plan=self._plan(name, isinstance(change, LoadModel)).to_json())
                )
            case _:
                await self._agree(change_state(self.state, change))

    def _plan(self, name: str, is_wanted: bool) -> ServingPlan:
        snapshot = open_repository(self._models).scan()
        wanted = {model["name"] for model in self.state.plan["models"]}
        if name not in (snapshot.models if is_wanted else wanted):
            raise NotFound(f"there is no model {name!r} in the repository")
        return plan(snapshot, ALL, wanted | {name} if is_wanted else wanted - {name})

    async def _agree(self, state: ServerState) -> None:
        self._round += 1
        prepared = await self.app.prepare(self._round, state)
        if prepared.versions:
            self.app.abort(self._round)
            raise BrokenVersion("; ".join(f"{bad.model}/{bad.version}: {bad.reason}" for bad in prepared.versions))
        self.app.commit(self._round, state)
        self.state = state


@dataclass(frozen=True, slots=True)
class Doors:
    """A worker that listens."""

    app: App
    admin: OneWorker
    models: Path
    http: str
    """``http://host:port``, as below."""
    metrics: str
    grpc: str
    """``host:port``."""


@asynccontextmanager
async def opened(models: Path, state_dir: Path, *, load: bool = True, **settings: Any) -> AsyncIterator[Doors]:
    """Everything in ``models`` is served until the end; ``settings`` differ from the defaults."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with reserve(HOST, {"http_port": 0, "grpc_port": 0, "metrics_port": 0}) as ports:
        http_port, grpc_port, metrics_port = ports.ports
        admin = OneWorker(models)
        admin.app = App(
            Settings(
                models=str(models),
                host=HOST,
                http_port=http_port,
                grpc_port=grpc_port,
                metrics_port=metrics_port,
                state_dir=str(state_dir),
                **{"log_level": "error", **settings},
            ),
            0,
            admin,
        )
        admin.app.start()
        if load:
            await admin.load_all()
        await admin.app.open()
        try:
            yield Doors(
                admin.app,
                admin,
                models,
                f"http://{HOST}:{http_port}",
                f"http://{HOST}:{metrics_port}",
                f"{HOST}:{grpc_port}",
            )
        finally:
            await admin.app.close(1.0)
