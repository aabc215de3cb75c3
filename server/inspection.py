"""What can be asked about the server and its models: health, descriptions, statistics, usage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from rapide import __version__
from rapide.server import model_descriptions
from rapide.server.catalogue import Catalogue
from rapide.server.errors import NotFound, Unavailable
from rapide.server.examples import example_request
from rapide.server.model import Model
from rapide.server.settings import Settings
from rapide.server.telemetry.telemetry import Telemetry

SERVER_NAME: Final = "rapide"
EXTENSIONS: Final = (
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
    "trace",
)
"""Of the Open Inference Protocol and Triton: what works here. ``system_shared_memory`` joins where it is
allowed."""


class Inspection:
    """The answers of one worker; where it says statistics, metrics or profile, of all workers together."""

    def __init__(self, catalogue: Catalogue, settings: Settings, telemetry: Telemetry) -> None:
        self._catalogue = catalogue
        self._settings = settings
        self._telemetry = telemetry
        self._problems: Sequence[Mapping[str, Any]] = ()
        self._available: Mapping[str, Sequence[int]] = {}
        self._is_serving = False
        self._is_closing = False
        self._changed = asyncio.Event()

    # What the service tells.

    def serve(self, problems: Sequence[Mapping[str, Any]], available: Mapping[str, Sequence[int]]) -> None:
        """A new state is in force: what cannot be served and why, and what the repository offers."""
        self._problems = problems
        self._available = available
        self._is_serving = True
        self._announce()

    def unready(self) -> None:
        """Others should be asked from now on."""
        self._is_serving = False
        self._announce()

    def close(self) -> None:
        """Ends those who watch."""
        self._is_closing = True
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # Health.

    def server_live(self) -> bool:
        """Whether the event loop still turns: who asks, finds out."""
        return True

    def server_ready(self) -> bool:
        """Whether everything that should be served is, and will be for a while."""
        return self._is_serving

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether the version, or the one that would answer now, is ready. Raises NotFound for one never heard
        of."""
        try:
            self._catalogue.router.resolve(name, version)
        except Unavailable:
            return False
        except NotFound:
            if any(entry["name"] == name and version in {"", entry["version"]} for entry in self.index()):
                return False
            raise
        return self._is_serving

    def served(self) -> dict[str, list[str]]:
        """The loaded versions of each model, ascending."""
        return {
            name: [str(version) for version in sorted(targets.versions)]
            for name, targets in self._catalogue.router.models.items()
        }

    async def changes(self) -> AsyncIterator[None]:
        """Yields now, and then whenever readiness or what is served may have changed, until the server closes."""
        while not self._is_closing:
            changed = self._changed
            yield
            await changed.wait()

    # Descriptions.

    def server_metadata(self) -> dict[str, Any]:
        extensions = {*EXTENSIONS, "system_shared_memory"} if self._settings.shared_memory else EXTENSIONS
        return {"name": SERVER_NAME, "version": __version__, "extensions": sorted(extensions)}

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Of the version, or of the one that would answer now. Raises NotFound."""
        model = self._described(name, version)
        return model_descriptions.metadata(name, self.served()[name], model.signature, model.manifest)

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """Triton's ModelConfig of the version, or of the one that would answer now. Raises NotFound."""
        return model_descriptions.config(name, self._described(name, version).signature, self._settings)

    def model_example(self, name: str, version: str = "") -> dict[str, Any]:
        """A request with one row that the version, or the one that would answer now, is known to take.

        Raises NotFound where none is known. The row may be one that the model was checked with, and so somebody's
        data: it is for administrators.
        """
        request = example_request(self._described(name, version))
        if request is None:
            raise NotFound(f"no row is known that model {name[:128]!r} takes and JSON can say.")
        return request

    async def model_statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """Triton's statistics of a version, of all versions of a model, or of all models. Raises NotFound."""
        if name:
            self._catalogue.router.resolve(name, version)
        wanted = [
            (model, number)
            for model, numbers in self.served().items()
            for number in numbers
            if name in {"", model} and version in {"", number}
        ]
        return {"model_stats": await asyncio.to_thread(self._statistics, wanted)}

    def tf_status(self, name: str, version: str = "", label: str = "") -> dict[str, Any]:
        """TensorFlow Serving's and KServe v1's status of a model. Raises NotFound."""
        if label:
            version = self._catalogue.router.resolve(name, label=label).target.model.version
        entries = [entry for entry in self.index() if entry["name"] == name and version in {"", entry["version"]}]
        return {
            "name": name,
            "ready": self.model_ready(name, version),
            "model_version_status": [model_descriptions.tf_version_status(entry) for entry in entries],
        }

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Triton's repository index: every version that is served, on its way, or cannot be served and why."""
        return model_descriptions.index(self._catalogue.statuses(), self._problems, ready=ready)

    def repository_index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """The same, with what the repository offers and nobody has loaded."""
        known = self.index(ready=ready)
        return known if ready else known + model_descriptions.unloaded(self._available, known)

    async def overview(self) -> dict[str, Any]:
        """What the status page shows."""
        served = self.served()
        pairs = [(name, version) for name, versions in served.items() for version in versions]
        statistics = await asyncio.to_thread(self._statistics, pairs)
        return {
            "server": {"name": SERVER_NAME, "version": __version__, "ready": self.server_ready()},
            "time_s": time.time(),
            "models": model_descriptions.overview(self._catalogue.router, self.index(), statistics),
        }

    async def metrics_page(self, accept: str) -> tuple[str, bytes]:
        """Content type and text, of all workers together."""
        return await asyncio.to_thread(self._telemetry.metrics_page, accept)

    async def profile(self) -> dict[str, Any]:
        """How the models are used, by all workers together."""
        return await asyncio.to_thread(self._telemetry.profile)

    def _described(self, name: str, version: str) -> Model:
        return self._catalogue.router.resolve(name, version).target.model

    def _statistics(self, versions: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return [self._telemetry.statistics(name, version) for name, version in versions]
