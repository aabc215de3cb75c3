"""What somebody wants tuned, and what a tuning has found out so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.server.machine import cpu_signature
from rapide.server.proven import UsageRecord
from rapide.server.repository.digest import file_digest_text
from rapide.server.repository.snapshot import VersionEntry
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve import Curve
from rapide.tuning.errors import TuningError
from rapide.tuning.inputs import Inputs
from rapide.tuning.proof import Proof
from rapide.tuning.search import Candidate, Objective, Setting
from rapide.tuning.served import Site
from rapide.tuning.slo import Slo
from rapide.tuning.stall_meter import Stalls


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants tuned."""

    models: str
    entry: VersionEntry
    arrivals: Arrivals
    slo: Slo
    objective: Objective
    cpus: tuple[int, ...]
    folder: Path
    """Of tuning files."""
    protocol: str = "grpc"
    rounds: int = 4
    """Replays of each configuration in the proof; 0 proves nothing and chooses by simulation."""
    candidates: int = 4
    """Configurations to prove beside the default."""
    profile_name: str = ""
    effort: float = 1.0
    """How long everything is measured, as a share of what is usual."""
    within_s: float = 270.0
    """How long it may take; what is under way then is finished."""
    inputs: Inputs = field(default_factory=Inputs)
    """What the rows of the requests are like."""
    recorded: UsageRecord | None = None
    """The whole usage that ``arrivals`` are the busiest part of; None where there is no more."""
    left_out: tuple[str, ...] = ()
    """What is known of that usage and not followed, in words."""

    @property
    def cpu(self) -> str:
        return cpu_signature(len(self.cpus))

    @property
    def digest(self) -> str:
        return self.entry.digest or file_digest_text(self.entry.model_path)

    @property
    def path(self) -> Path:
        """Of the tuning file."""
        return self.folder / self.cpu / f"{self.digest.removeprefix('sha256:')}.json"

    def site(self, rows_file: Path | None) -> Site:
        """Where its servers are, asked with the rows in ``rows_file``."""
        entry = self.entry
        return Site(self.models, entry.model, entry.version, self.digest, self.cpus, rows_file, self.protocol)

    @property
    def learnt_path(self) -> Path:
        return self.path.with_suffix(".learnt.json")


@dataclass(slots=True)
class Found:
    """Everything that a tuning found out, as far as it came."""

    request: Request
    curves: list[Curve] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stalls: Stalls = field(default_factory=Stalls)
    batchable: bool = True
    costs: Costs | None = None
    simulated: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    speed: float = 1.0
    """The multiple of the recorded load at which ``candidates`` answer and ``proofs`` were made: above 1 where
    throughput is wanted, since the recorded load tells nothing of it."""
    wider: list[Proof] = field(default_factory=list)
    """The choice with larger limits, replayed once."""
    chosen: Configuration | None = None
    default: Configuration | None = None
    others_before: float = 0.0
    """Share of the cores that others used before it began, and while it ran."""
    others_meanwhile: float = 0.0
    notes: list[str] = field(default_factory=list)
    reasons: list[tuple[str, str]] = field(default_factory=list)

    def proof_of(self, configuration: Configuration | None) -> Proof | None:
        return next((proof for proof in self.proofs if proof.configuration == configuration), None)

    def candidate_of(self, configuration: Configuration | None) -> Candidate | None:
        return next((one for one in self.candidates if one.configuration == configuration), None)

    @property
    def load(self) -> Arrivals:
        """What is replayed: for as long as it was recorded, over and over where that is faster."""
        arrivals = self.request.arrivals
        if self.speed == 1.0:
            return arrivals
        times = math.ceil(self.speed)
        span_s = arrivals.duration_s + 1.0 / arrivals.rate_per_s
        starts_s = np.repeat(np.arange(times) * span_s, arrivals.count)
        over = Arrivals(np.tile(arrivals.instants_s, times) + starts_s, np.tile(arrivals.rows, times))
        return over.scaled(self.speed)

    @property
    def as_recorded(self) -> list[Proof]:
        """What was replayed at the recorded load itself."""
        return [*(self.proofs if self.speed == 1.0 else ()), *self.wider]

    @property
    def tried(self) -> list[Configuration]:
        """What was simulated to the end, best first, and what was replayed."""
        simulated = [one.configuration for one in self.candidates]
        return simulated + [one.configuration for one in self.proofs]

    @property
    def is_improvement(self) -> bool:
        return self.chosen is not None and self.chosen != self.default


def setting_of(found: Found) -> Setting:
    """What is searched in."""
    request = found.request
    if found.costs is None:
        raise TuningError("the server's own costs are not known yet.")
    return Setting(
        found.curves,
        found.costs,
        request.arrivals,
        request.slo,
        request.objective,
        len(request.cpus),
        batchable=found.batchable,
        most_requests=8000,
    )
