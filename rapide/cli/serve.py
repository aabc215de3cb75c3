"""``rapide serve``: a model file or a repository over gRPC and HTTP, supervised, until a signal ends it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rapide.server.settings import SPECS, Settings, SettingSpec

if TYPE_CHECKING:  # heavy at run time
    from rapide.server.supervisor import Serving

EXAMPLES = """\
examples:
  rapide serve models/                        every model in a repository, followed as it changes
  rapide serve model.onnx --http-port 0       one file, on a free port
  rapide serve models/ --host 0.0.0.0 --grace-s 5 --log-format json
  RAPIDE_WORKERS=4 rapide serve models/       each setting has a RAPIDE_ variable
  rapide serve --config server.toml           and a name in a TOML file: workers = 4

precedence: flags, then RAPIDE_ variables, then the file (--config, RAPIDE_CONFIG, ./rapide.toml), then defaults
signals:    SIGTERM or ctrl-C drains and ends (again: sooner); SIGHUP looks at the repository again
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "serve",
        usage="rapide serve [-h] [--config FILE] [--SETTING VALUE ...] [models]",  # all would fill a screen
        help="serve a model file or a repository over gRPC and HTTP",
        description="Serves the models of a repository, or one .onnx file, over gRPC and HTTP.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models", nargs="?", help="a model repository, or one .onnx file (default: the folder models)"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file with settings (default: rapide.toml, if there)"
    )
    groups = {spec.group: parser.add_argument_group(spec.group) for spec in SPECS}
    for spec in SPECS:
        if spec.name != "models":
            _add_flag(groups[spec.group], spec)
    parser.set_defaults(run=run)


def _add_flag(group: argparse._ArgumentGroup, spec: SettingSpec) -> None:
    # Values stay texts here: one parser reads flags and environment, and its errors say more than argparse's.
    help_text = f"{spec.help} (default: {show_default(spec)})".replace("%", "%%")
    if spec.kind is bool:
        group.add_argument(spec.flag, action=argparse.BooleanOptionalAction, default=None, help=help_text)
    else:
        metavar = spec.unit.upper() or {int: "N", float: "X", tuple: "A,B"}.get(spec.kind, "TEXT")
        shown = "{" + ",".join(spec.choices) + "}" if spec.choices else metavar
        group.add_argument(spec.flag, metavar=shown, help=help_text)


def show_default(spec: SettingSpec) -> str:
    """The default as people would write it."""
    if isinstance(spec.default, bool):
        return "on" if spec.default else "off"
    if isinstance(spec.default, float):
        return f"{spec.default:g}"
    return ", ".join(spec.default) or "none" if isinstance(spec.default, tuple) else str(spec.default) or "none"


def given_flags(args: argparse.Namespace) -> dict[str, str]:
    """The settings that the command line names, as texts."""
    given = {spec.name: getattr(args, spec.name, None) for spec in SPECS}
    return {name: _text(value) for name, value in given.items() if value is not None}


def _text(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def run(args: argparse.Namespace) -> int:
    """Serves; returns when a signal ended it. Raises RapideError where serving is impossible."""
    from rapide.server.settings_sources import load  # noqa: PLC0415 - see main.py

    settings = load(given_flags(args), os.environ, args.config)
    return serve(settings)


def serve(settings: Settings) -> int:
    """Runs the supervisor under ``settings``; returns its exit code."""
    import asyncio  # noqa: PLC0415 - see main.py

    from rapide.server import supervisor, supervisor_log  # noqa: PLC0415

    settings = replace(settings, log_format=supervisor_log.resolve_format(settings.log_format))
    supervisor_log.install(settings.log_format, settings.log_level)
    return asyncio.run(supervisor.supervise(settings, announce))


def announce(serving: Serving) -> None:
    """Says on standard output that the server is ready: a banner, or a JSON line where logs are JSON."""
    from rapide.server import banner  # noqa: PLC0415 - see main.py

    said = (serving.settings, serving.models, serving.why_workers, _age_s(), serving.tuned)
    if serving.settings.log_format == "json":
        fields = banner.banner_json(*said)
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        text = json.dumps({"time": now, "level": "info", **fields}, ensure_ascii=False)
    else:
        text = banner.banner_text(*said)
    with contextlib.suppress(OSError):  # nobody reads it (any more): no reason not to serve
        print(text, flush=True)


def _age_s() -> float:
    """Seconds since this process was started, interpreter included (proc(5): field 22 of stat, in clock ticks)."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as stat:
        started_ticks = int(stat.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")
