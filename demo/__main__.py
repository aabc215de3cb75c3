"""``scripts/demo``: from training to answered calls, with the ``rapide`` command that everybody uses."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from demo.calls import Call, WrongAnswer, calls_for, make_call
from demo.server import HOST, NotServing, Server, free_ports
from demo.training import Trained, train_all
from rapide.cli.stopping import cleared_away

FOLDER = Path(__file__).parents[1] / ".demo"
"""Where everything goes, anew each time; git does not look at it."""


class DemoFailed(Exception):
    """A step did not do what it should; the text says which."""


@cleared_away()
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Trains four small models, converts, checks, publishes and serves them; prints calls to try.",
    )
    parser.add_argument("--check", action="store_true", help="make every printed call, show the answers, and end")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where models and logs go (default: .demo)")
    args = parser.parse_args()
    rapide = Path(sys.executable).with_name("rapide")
    try:
        _demonstrate(rapide, args.folder.resolve(), check=args.check)
    except KeyboardInterrupt:
        print("\nStopped.")
    except (DemoFailed, NotServing, WrongAnswer) as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        return 1
    return 0


def _demonstrate(rapide: Path, folder: Path, *, check: bool) -> None:
    shutil.rmtree(folder / "trained", ignore_errors=True)
    _remove_models(folder / "models")
    (folder / "trained").mkdir(parents=True)
    print(f"Training, converting, checking and publishing into {folder / 'models'}:\n")
    trained = [_published(rapide, folder, train) for train in train_all(folder / "trained")]
    _run([str(rapide), "models", str(folder / "models")], shown=True)
    with Server(rapide, folder / "models", free_ports(), folder / "serve.log") as server:
        ports = server.ports
        http, grpc = f"http://{HOST}:{ports.http}", f"{HOST}:{ports.grpc}"
        print(f"\nServing. HTTP {http} · gRPC {grpc} · metrics http://{HOST}:{ports.metrics}/metrics")
        calls = {
            name: calls_for(
                name,
                [each for each in trained if each.name == name],
                rapide=rapide,
                folder=folder / "trained",
                http=http,
                grpc=grpc,
            )
            for name in dict.fromkeys(each.name for each in trained)
        }
        for name, both in calls.items():
            _show(name, both, check=check)
        if not check:
            print("\nPress Ctrl-C to stop.", flush=True)
            server.wait()
            raise NotServing(f"rapide serve ended by itself; see {folder / 'serve.log'}")
    print("\nEvery call got the answer of the original model. The server is stopped.")


def _published(rapide: Path, folder: Path, train: Callable[[], Trained]) -> Trained:
    trained = train()
    command = [
        *(str(rapide), "convert", str(trained.model), "--name", trained.name, "--sample", str(trained.sample)),
        *("--to", str(folder / "models"), "--target", trained.target, "--json"),
        *(word for name, value in trained.options.items() for word in (f"--{name}", value)),
    ]
    report = json.loads(_run(command, shown=False))
    checks = report["parity"][report["precision"]]["checks"]
    rows = sum(line["rows"] for line in checks if line["output"] == checks[0]["output"])
    worst = max(float(line["worst_absolute"]) for line in checks)
    quality = ", ".join(
        f"{name} {value:.3f}" for name, value in report["quality"].items() if isinstance(value, float)
    )
    print(f"  {trained.name} {report['version']}: {trained.title}; {quality}")
    print(
        f"    {report['bytes'] / 1000:.0f} kB of ONNX ({report['precision']}), compared on {rows} rows: differs "
        f"by at most {worst:.1e} from the original; {report['elapsed_s']:.1f} s"
    )
    return trained


def _show(name: str, calls: list[Call], *, check: bool) -> None:
    print(f"\n{name}")
    for call in calls:
        print(f"  {call.line}", flush=True)
        if check:
            print("    → " + make_call(call).replace("\n", "\n      "), flush=True)


def _run(command: list[str], *, shown: bool) -> str:
    """Runs a command of ours. Returns what it printed; raises DemoFailed with all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoFailed(f"{shlex.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    if shown:
        print(f"\n$ rapide {shlex.join(command[1:])}\n{done.stdout.rstrip()}")
    return done.stdout


def _remove_models(models: Path) -> None:
    """Published versions are read-only; the folders must be writable to be removed."""
    for folder in [models, *models.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o755)
    shutil.rmtree(models, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
