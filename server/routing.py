"""Which version answers a request: model name, and a version, a label, a user key or chance. Pure, immutable.

Theory. Requests that name neither version nor label fall on a point of [0, 1): the hash of their user key, or a
random number. The labels' shares divide that line: the remainder (``stable``) first, weighted labels behind it in
the order of their names. The last label, in a rollout the canary, ends at 1, so raising its share moves its lower
end only: nobody who is on it leaves. The hash depends on the model's name and the key alone, so the same user
falls on the same point in every worker, replica and release.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Final, Generic, NoReturn, TypeVar

from rapide.server.errors import InvalidRequest, NotFound, Unavailable
from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.labels import REMAINDER_LABEL, shares

T = TypeVar("T")
_SHOWN: Final = 8
"""Names that an error lists at most."""


@dataclass(frozen=True, slots=True)
class Route(Generic[T]):
    """The answering version, and the label under which it was chosen (empty: by its number, or as the highest)."""

    target: T
    label: str


@dataclass(frozen=True, slots=True)
class ModelTargets(Generic[T]):
    """What is loaded of a model, by version, and what its labels mean (perhaps versions that are not loaded)."""

    versions: Mapping[int, T]
    labels: Mapping[str, LabelTarget]
    lacking: frozenset[int] = frozenset()
    """Versions that other workers serve and this one could not load: another must not answer in their place."""


class Router(Generic[T]):
    """The routes to everything that is loaded. A change makes another Router."""

    def __init__(self, models: Mapping[str, ModelTargets[T]]) -> None:
        self._models = {name: _Model(name, targets) for name, targets in models.items()}
        self._names = _listed("Models", sorted(models))

    def resolve(
        self, model: str, version: str = "", label: str = "", user_key: str = "", random: float = 0.0
    ) -> Route[T]:
        """The route of a request. ``random`` in [0, 1) decides where nothing else does.

        A version and a label may both be named if they mean the same. Raises NotFound for names that do not exist,
        naming those that do; Unavailable where a label means a version that is not loaded.
        """
        routes = self._models.get(model) or self._unknown(model)
        if not version and not label:
            return routes.by_share(user_key, random)
        if not label:
            return routes.by_version(version)
        route = routes.by_label(label)
        if version and routes.by_version(version).target is not route.target:
            raise InvalidRequest(f"label {label!r} of model {model!r} does not mean version {version} at present")
        return route

    def model(self, name: str) -> ModelTargets[T]:
        """Everything that is loaded of the model. Raises NotFound."""
        return (self._models.get(name) or self._unknown(name)).targets

    @property
    def models(self) -> Mapping[str, ModelTargets[T]]:
        """Everything that is loaded, by name."""
        return {name: routes.targets for name, routes in self._models.items()}

    def _unknown(self, name: str) -> NoReturn:
        raise NotFound(f"there is no model {name[:128]!r} here.", hint=self._names)


class _Model(Generic[T]):
    """The routes of one model, each made once."""

    def __init__(self, name: str, targets: ModelTargets[T]) -> None:
        self.targets = targets
        self._name = name
        self._lacking = {str(version) for version in targets.lacking}
        self._versions = {str(version): Route(target, "") for version, target in targets.versions.items()}
        self._labels = {
            label: Route(targets.versions[meant.version], label)
            for label, meant in targets.labels.items()
            if meant.version in targets.versions
        }
        # Without a ``stable``, the highest version has the remainder: also where it could not be loaded.
        is_by_height = REMAINDER_LABEL not in targets.labels
        self._shares = shares(targets.labels, {*targets.versions, *(targets.lacking if is_by_height else ())})
        self._routes = [
            self._labels.get(share.label) if share.label else self._versions.get(str(share.version))
            for share in self._shares
        ]
        self._ends = list(accumulate(share.percent / 100.0 for share in self._shares))[:-1]
        """Where each share but the last ends on [0, 1)."""

    def by_version(self, version: str) -> Route[T]:
        route = self._versions.get(version)
        if route is None and version in self._lacking:
            raise Unavailable(f"version {version} of model {self._name!r} could not be loaded by this worker")
        if route is None:
            raise NotFound(
                f"model {self._name!r} has no version {version[:32]!r} here.",
                hint=_listed("Versions", sorted(self.targets.versions, reverse=True)),
            )
        return route

    def by_label(self, label: str) -> Route[T]:
        route = self._labels.get(label)
        if route is not None:
            return route
        meant = self.targets.labels.get(label)
        if meant is None:
            raise NotFound(
                f"model {self._name!r} has no label {label[:64]!r}.",
                hint=_listed("Labels", sorted(self.targets.labels)),
            )
        raise Unavailable(
            f"label {label!r} of model {self._name!r} means version {meant.version}, which is not loaded"
        )

    def by_share(self, user_key: str, random: float) -> Route[T]:
        if not self._routes:
            raise Unavailable(f"model {self._name!r} has no version loaded.")
        index = 0
        if self._ends:
            index = bisect_right(self._ends, place(self._name, user_key) if user_key else random)
        share = self._shares[index]
        return self._routes[index] or (
            self.by_label(share.label) if share.label else self.by_version(str(share.version))
        )


def place(model: str, user_key: str) -> float:
    """The point of [0, 1) on which ``user_key`` falls: the first 53 bits of a hash, as many as a float holds."""
    digest = blake2b(f"{model}\0{user_key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def _listed(what: str, names: Sequence[object]) -> str:
    if not names:
        return f"{what} here: none."
    more = len(names) - _SHOWN
    return f"{what} here: {', '.join(map(str, names[:_SHOWN]))}{f' and {more} more' if more > 0 else ''}."
