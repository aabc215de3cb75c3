"""The one door to telemetry: what the catalogue, the service and the app are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rapide.server.telemetry.recorder import Observer, Recorder
from rapide.server.telemetry.slot_reader import SlotSnapshot, read_directory, read_slot
from rapide.server.telemetry.slots import VERSION, SlotFile
from rapide.server.telemetry.version_block import BLOCK


@dataclass(frozen=True, slots=True)
class TelemetryOptions:
    """What the settings say about telemetry."""

    directory: Path | None = None
    """Folder of the slot files, shared by all workers; None keeps everything in this process."""
    slot: int = 0


def _wall_offset_s() -> float:
    return time.time() - time.monotonic()


class Telemetry:
    """One per worker process. Reads all workers' slots, writes its own."""

    def __init__(
        self, options: TelemetryOptions | None = None, wall_offset_s: Callable[[], float] = _wall_offset_s
    ) -> None:
        self.options = options or TelemetryOptions()
        self._wall_offset_s = wall_offset_s
        self._slot: SlotFile | None = None
        self._recorders: dict[tuple[str, str], Recorder] = {}
        self._observers: list[Observer] = []

    def start(self) -> None:
        """Takes the slot. Called by the app; anything that records calls it if need be."""
        self._file()

    def close(self) -> None:
        """Lets go of the slot; recorders go on writing into memory that nobody owns."""
        if self._slot is not None:
            self._slot.close()
            self._slot = None

    def recorder(self, model: str, version: str, digest: str = "") -> Recorder:
        """The recorder of a version; asked again, the same."""
        known = self._recorders.get((model, version))
        if known is None:
            memory = self._file().body(VERSION, (model, version), BLOCK.itemsize)
            known = Recorder(model, version, digest, memory, self._observers, self._wall_offset_s)
            self._recorders[model, version] = known
        return known

    @property
    def unrouted(self) -> Recorder:
        """Records requests that reached no version (unknown model, unreadable). Its model name is empty."""
        return self.recorder("", "")

    def snapshots(self) -> list[SlotSnapshot]:
        """All workers' figures at this instant."""
        if self.options.directory is not None:
            return read_directory(self.options.directory)
        return list(read_slot(self._file().descriptor))

    def _file(self) -> SlotFile:
        if self._slot is None:
            directory = self.options.directory
            path = directory / f"worker-{self.options.slot}" if directory else None
            slot = SlotFile(path, self.options.slot)
            slot.open()
            self._slot = slot
        return self._slot
