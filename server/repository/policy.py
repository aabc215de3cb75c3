"""Which versions of a model are served."""

from __future__ import annotations

from dataclasses import dataclass

from rapide.server.errors import InvalidRequest
from rapide.server.repository.layout import parse_version
from rapide.server.repository.snapshot import ModelEntry


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """The ``latest`` N versions, or the ``specific`` ones, or (both None) all.

    Versions that a label means are always served as well: a label must not dangle because a newer version came.
    """

    latest: int | None = 1
    specific: tuple[int, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> VersionPolicy:
        """``latest:2``, ``latest`` (one), ``all`` or ``specific:1,3``. Raises InvalidRequest for other texts."""
        kind, colon, rest = text.strip().partition(":")
        numbers = [parse_version(part.strip()) for part in rest.split(",")] if colon else []
        match kind, numbers:
            case "all", []:
                return ALL
            case "latest", []:
                return LATEST
            case "latest", [int(count)]:
                return cls(latest=count)
            case "specific", [_, *_] if None not in numbers:
                return cls(latest=None, specific=tuple(sorted({number for number in numbers if number})))
        raise InvalidRequest(
            f"{text[:64]!r} is no version policy", hint="Use latest:1, latest:3, all or specific:1,3 for example."
        )

    def __str__(self) -> str:
        if self.specific is not None:
            return f"specific:{','.join(map(str, self.specific))}"
        return "all" if self.latest is None else f"latest:{self.latest}"

    def choose(self, model: ModelEntry) -> tuple[int, ...]:
        """The versions to serve, ascending; only such as the model has."""
        if self.specific is not None:
            wanted = set(self.specific)
        elif self.latest is not None:
            wanted = set(sorted(model.versions)[-self.latest :])
        else:
            wanted = set(model.versions)
        wanted.update(target.version for target in model.labels.values())
        return tuple(sorted(wanted & model.versions.keys()))


LATEST = VersionPolicy()
"""The default: the newest version and whatever labels mean. Older ones cost memory and answer nobody."""
ALL = VersionPolicy(latest=None)
