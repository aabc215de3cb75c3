"""The usage profile as a document: what ``GET /profile`` gives, read, written and merged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rapide.profiles.errors import ProfileError
from rapide.profiles.model_profile import ModelProfile, merged_models, model_json, read_model
from rapide.profiles.reading import Node, shown

__all__ = ["KIND", "SCHEMA", "ModelProfile", "Profile"]

KIND: Final = "rapide-profile"
SCHEMA: Final = 1
"""The newest schema that is read here, and the one that is written (docs/reference/profile.md)."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Of one protocol: open when the document was made, and ever since the server started."""

    protocol: str
    open: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """How a server, or several together, were used."""

    workers: int
    connections: tuple[Connections, ...]
    models: tuple[ModelProfile, ...]
    """By model and version."""

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """From a file. Raises ProfileError."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ProfileError(
                f"{path}: cannot be read: {error.strerror or error}",
                hint="Name a server (http://localhost:8000) or what `rapide profile URL --save FILE` wrote.",
            ) from error
        return cls.from_bytes(data, str(path))

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "profile") -> Profile:
        """From JSON; ``source`` says in errors where it is from. Raises ProfileError."""
        document = Node(_parsed(data, source), source)
        if not isinstance(document.value, dict) or document.value.get("kind") != KIND:
            got = document.value.get("kind") if isinstance(document.value, dict) else document.value
            raise ProfileError.unexpected(
                source, "kind", f'"{KIND}"', shown(got), hint="Save one: rapide profile URL --save profile.json"
            )
        schema = document["schema"].whole()
        if schema != SCHEMA:
            hint = "Read it with the rapide that wrote it, or a newer one." if schema > SCHEMA else ""
            raise ProfileError.unexpected(source, "schema", str(SCHEMA), str(schema), hint=hint)
        models = tuple(read_model(node) for node in document["models"].items())
        _check_names(models, source)
        connections = document["connections"].items() if "connections" in document else ()
        return cls(document["workers"].whole(), tuple(map(_read_connections, connections)), models)

    def to_bytes(self) -> bytes:
        """As JSON, on one line."""
        document = {
            "kind": KIND,
            "schema": SCHEMA,
            "workers": self.workers,
            "connections": [asdict(one) for one in self.connections],
            "models": [model_json(model) for model in self.models],
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    def find(self, model: str, version: str = "") -> ModelProfile:
        """One model's part: of ``version``, or of the version that was asked most. Raises ProfileError."""
        named = [one for one in self.models if one.model == model and version in ("", one.version)]
        if not named:
            wanted = f"{model} version {version}" if version else model
            known = ", ".join(one.name for one in self.models) or "none"
            raise ProfileError(f"the profile does not know {wanted}; it knows: {known}")
        return max(named, key=lambda one: one.arrivals.count)

    @property
    def mix(self) -> Mapping[str, float]:
        """Each model's share of all admitted requests, by ``ModelProfile.name``; empty if there were none."""
        total = sum(one.arrivals.count for one in self.models)
        return {one.name: one.arrivals.count / total for one in self.models} if total else {}

    def merge(self, others: Iterable[Profile]) -> Profile:
        """Of this server and others together. Raises ProfileError where a version is not the same model in all."""
        together = (self, *others)
        same: dict[tuple[str, str], list[ModelProfile]] = {}
        for one in (model for profile in together for model in profile.models):
            same.setdefault((one.model, one.version), []).append(one)
        models = tuple(merged_models(same[key]) for key in sorted(same))
        connections = _merged_connections([one for profile in together for one in profile.connections])
        return Profile(sum(profile.workers for profile in together), connections, models)


def _read_connections(node: Node) -> Connections:
    return Connections(node["protocol"].text(), node["open"].whole(), node["total"].whole())


def _merged_connections(found: Sequence[Connections]) -> tuple[Connections, ...]:
    return tuple(
        Connections(
            protocol,
            sum(one.open for one in found if one.protocol == protocol),
            sum(one.total for one in found if one.protocol == protocol),
        )
        for protocol in sorted({one.protocol for one in found})
    )


def _parsed(data: bytes, source: str) -> object:
    if not data.strip():
        raise ProfileError.unexpected(source, "", "a usage profile", "an empty file")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ProfileError.unexpected(source, "", "JSON in UTF-8", "other bytes") from None
    except json.JSONDecodeError as error:
        text = error.doc.strip()
        is_cut = text.startswith("{") and not text.endswith("}")
        got = "a file that ends too early" if is_cut else f"{error.msg.lower()} at line {error.lineno}"
        where = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}"
        raise ProfileError.unexpected(source, where, "JSON", got) from None
    except ValueError:  # Python refuses integers of thousands of digits, and says how many
        raise ProfileError.unexpected(source, "", "a usage profile", "a number of thousands of digits") from None
    except RecursionError:
        raise ProfileError.unexpected(source, "", "a usage profile", "JSON that is nested without end") from None


def _check_names(models: tuple[ModelProfile, ...], source: str) -> None:
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(models):
        if (one.model, one.version) in seen:
            raise ProfileError.unexpected(source, f"models[{index}]", "each version once", f"{one.name} again")
        seen.add((one.model, one.version))
