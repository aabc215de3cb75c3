"""Downloads a model from MLflow, and says where it came from: run as a program, ``fetch ADDRESS FOLDER``.

A process of its own, because importing MLflow takes seconds, and with the user's whole environment (tracking
server, its tokens), because it opens nothing of what it downloads.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

_MAX_FIGURES = 100
_MAX_TEXT = 500


def main(address: str, folder: str) -> int:
    """Prints one JSON object: ``{"path", "origin"}``, or ``{"error"}``. MLflow's messages go to standard error."""
    warnings.simplefilter("ignore")
    try:
        answer = _fetched(address, folder)
    except Exception as error:  # noqa: BLE001 - MLflow's, its stores' and the network's: all are told to the user
        answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
    print(json.dumps(answer), flush=True)
    return 0


def _fetched(address: str, folder: str) -> dict[str, Any]:
    import mlflow  # noqa: PLC0415 - its failure is told like any other

    client = mlflow.MlflowClient()
    version = _version(client, address)
    path = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=folder)
    model = mlflow.models.Model.load(path)
    run_id = getattr(version, "run_id", None) or model.run_id
    origin = {"address": address, "tracking_server": _without_secrets(mlflow.get_tracking_uri())}
    if version is not None:
        origin |= {"name": version.name, "version": str(version.version)}
    return {"path": str(Path(path).resolve()), "origin": origin | _run(client, run_id)}


def _version(client: Any, address: str) -> Any:
    """The registry's record of ``models:/name/3``, ``models:/name@alias`` and ``models:/name/latest``."""
    scheme, _, rest = address.partition(":/")
    if scheme != "models":
        return None
    name, at, alias = rest.partition("@")
    if at:
        return client.get_model_version_by_alias(name, alias)
    name, slash, number = rest.rpartition("/")
    if not slash:
        return None  # a logged model, by its id
    if number.isdecimal():
        return client.get_model_version(name, number)
    found = client.search_model_versions(f"name='{name}'")
    return max(found, key=lambda version: int(version.version), default=None)


def _run(client: Any, run_id: str | None) -> dict[str, Any]:
    if not run_id:
        return {}
    run = client.get_run(run_id)
    tags = {"mlflow.user": "user", "mlflow.source.name": "source", "mlflow.source.git.commit": "git_commit"}
    return {
        "run_id": run_id,
        "run_name": run.info.run_name,
        "metrics": dict(sorted(run.data.metrics.items())[:_MAX_FIGURES]),
        "parameters": {name: text[:_MAX_TEXT] for name, text in sorted(run.data.params.items())[:_MAX_FIGURES]},
        **{ours: run.data.tags[theirs][:_MAX_TEXT] for theirs, ours in tags.items() if theirs in run.data.tags},
    }


def _without_secrets(uri: str) -> str:
    """``uri`` without the user and password that it may hold: manifests are read by many."""
    head, scheme, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{head}{scheme}{authority.rpartition('@')[2]}{slash}{path}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
