"""``rapide models``: what a repository holds, which version each label means, and what is wrong with it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rapide.cli.tables import percent_text, print_table, size_text
from rapide.server.repository.labels import shares
from rapide.server.repository.local import open_repository
from rapide.server.repository.snapshot import ModelEntry, RepositorySnapshot, VersionEntry
from rapide.server.settings_sources import load

EXAMPLES = """\
examples:
  rapide models models/                         every version with its labels, size, digest and quality
  rapide models models/ car-price               one model
  rapide models model.onnx                      a bare file is a repository of one
  rapide models models/ --json | jq '.models[] | {name, labels}'
"""
_COLUMNS = ("model", "version", "labels", "size", "digest", "created", "quality", "variants")
_MOST_METRICS = 3


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "models",
        help="show what a repository holds",
        description="Shows the versions of every model, newest first: which labels mean them and what share of "
        "the requests they answer, size, digest, time of publishing, quality, and variants (the default first).\n"
        "Problems follow at the end.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="a repository or an .onnx file (default: the setting `models`)"
    )
    parser.add_argument("name", nargs="?", metavar="MODEL", help="show this model alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what there is. Raises RepositoryError where there is no repository, NotFound without such a model."""
    path = repository_path(args.path)
    repository = open_repository(path)
    snapshot = repository.scan()
    if args.name is not None:
        snapshot = _only(snapshot, args.name)
        if not snapshot.problems:
            repository.history(args.name)  # says which models there are, if not this one
    if args.json:
        print(json.dumps(_to_json(path, snapshot), ensure_ascii=False))
        return 0
    rows = [row for model in snapshot.models.values() for row in _rows(model)]
    if rows:
        print_table(_COLUMNS, rows, right=frozenset({"version", "size"}))
    elif args.name is None:
        print(f"There are no models in {path} yet. rapide convert publishes one.")
    if snapshot.problems:
        print("\nproblems:" if rows or args.name is None else "problems:")
        for problem in snapshot.problems:
            print(f"  ✗ {problem}")
    return 0


def repository_path(given: str | None) -> Path:
    """``given``, or where the setting ``models`` (environment, ``rapide.toml``, default) points to."""
    return Path(given if given is not None else load({}, os.environ, None).models)


def _only(snapshot: RepositorySnapshot, name: str | None) -> RepositorySnapshot:
    if name is None:
        return snapshot
    models = {key: model for key, model in snapshot.models.items() if key == name}
    return RepositorySnapshot(models, tuple(problem for problem in snapshot.problems if problem.model == name))


def _rows(model: ModelEntry) -> Iterator[tuple[str, ...]]:
    for version, entry in sorted(model.versions.items(), reverse=True):
        yield (
            model.name,
            str(version),
            ", ".join(_labels(model, version)),
            size_text(entry.size_bytes),
            entry.digest.removeprefix("sha256:")[:12] if entry.digest else "–",
            _created(entry),
            ", ".join(f"{name} {value:.4g}" for name, value in list(_metrics(entry).items())[:_MOST_METRICS]),
            ", ".join(_variants(entry)),
        )


def _labels(model: ModelEntry, version: int) -> Iterator[str]:
    """``stable 90 %``, ``beta`` (no share), ``(default)`` where no label is set."""
    by_label = {share.label: share for share in shares(model.labels, model.versions)}
    default = by_label.get("")
    if default is not None and default.version == version:
        yield "(default)"
    for label, target in model.labels.items():
        if target.version == version:
            yield f"{label} {percent_text(by_label[label].percent)}" if label in by_label else label


def _created(entry: VersionEntry) -> str:
    return f"{entry.manifest.created_at:%Y-%m-%d %H:%M}" if entry.manifest is not None else "–"


def _metrics(entry: VersionEntry) -> Mapping[str, float]:
    """The figures of the manifest's quality: whole numbers there count rows, texts say where it was measured."""
    quality = entry.manifest.quality if entry.manifest is not None else {}
    return {name: value for name, value in quality.items() if isinstance(value, float)}


def _variants(entry: VersionEntry) -> list[str]:
    """The names of the version's variants, the default first; none where there is only ``model.onnx``."""
    variants = entry.manifest.variants if entry.manifest is not None else ()
    return [variant.name for variant in sorted(variants, key=lambda variant: not variant.is_default)]


def _to_json(path: Path, snapshot: RepositorySnapshot) -> dict[str, Any]:
    return {
        "repository": str(path),
        "models": [
            {
                "name": model.name,
                "labels": {label: target.to_json() for label, target in model.labels.items()},
                "unlabelled": [share.to_json() for share in shares(model.labels, model.versions)],
                "versions": [_version_json(entry) for entry in model.versions.values()],
            }
            for model in snapshot.models.values()
        ],
        "problems": [
            {"model": problem.model, "version": problem.version, "reason": problem.reason}
            for problem in snapshot.problems
        ],
    }


def _version_json(entry: VersionEntry) -> dict[str, Any]:
    manifest = entry.manifest
    return {
        "version": entry.version,
        "path": str(entry.model_path),
        "size_bytes": entry.size_bytes,
        "digest": entry.digest,
        "created": manifest.created if manifest is not None else None,
        "parent": manifest.parent if manifest is not None else None,
        "description": manifest.description if manifest is not None else "",
        "quality": dict(manifest.quality) if manifest is not None else {},
        "variants": [variant.to_json() for variant in manifest.variants] if manifest is not None else [],
    }
