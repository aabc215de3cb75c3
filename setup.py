"""Compiles the hot path to C with mypyc where that is possible; everything else is in pyproject.toml.

The same source runs uncompiled: an installation that cannot compile (no C compiler, no Python headers) succeeds,
and `rapide check` says which way it runs. Editable installations are left as they are, because a compiled module
would hide later changes of its source. RAPIDE_COMPILE=1 compiles these too and makes a failure an error; 0 never
compiles.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HOT = (
    "server/batching.py",
    "server/codecs/binary_part.py",
    "server/codecs/elements.py",
    "server/codecs/infer_template.py",
    "server/codecs/json_template.py",
    "server/codecs/json_text.py",
    "server/codecs/nested.py",
    "server/codecs/oip_json.py",
    "server/codecs/parameters.py",
    "server/codecs/shapes.py",
    "server/codecs/tensor_bytes.py",
    "server/context.py",
    "server/dispatch.py",
    "server/engine.py",
    "server/gathering.py",
    "server/merging.py",
    "server/outputs.py",
    "server/protocols/by_version.py",
    "server/protocols/callers.py",
    "server/protocols/grpc_lane/head.py",
    "server/protocols/grpc_lane/hot.py",
    "server/protocols/grpc_lane/line.py",
    "server/protocols/grpc_lane/trailers.py",
    "server/protocols/http2/connection.py",
    "server/protocols/http2/events.py",
    "server/protocols/http2/flood.py",
    "server/protocols/http2/frames.py",
    "server/protocols/http2/header_blocks.py",
    "server/protocols/http2/stream.py",
    "server/protocols/http_call.py",
    "server/protocols/http_door.py",
    "server/protocols/http_inference.py",
    "server/protocols/http_lane/exchange.py",
    "server/protocols/http_lane/fast.py",
    "server/protocols/http_lane/head.py",
    "server/protocols/http_lane/hot.py",
    "server/protocols/http_lane/known_heads.py",
    "server/protocols/http_lane/line.py",
    "server/protocols/http_lane/wire.py",
    "server/protocols/json_outputs.py",
    "server/protocols/outlet.py",
    "server/protocols/raw_outputs.py",
    "server/protocols/turns.py",
    "server/runs.py",
    "server/service.py",
    "server/telemetry/recorder.py",
    "server/telemetry/request_ids.py",
    "server/tensors.py",
    "tuning/simulation/client.py",
    "tuning/simulation/clock.py",
    "tuning/simulation/cores.py",
    "tuning/simulation/warmth.py",
    "tuning/simulation/worker.py",
)
"""What a profile of the lanes shows, and what it calls for each request: calls within this set become C calls. And
what a tuning does millions of times: simulating a request.

Left out for what mypyc 2 does not do: asynchronous generators, generic dataclasses, and ``raise … from`` where the
cause matters (it is dropped)."""

WISH = os.environ.get("RAPIDE_COMPILE", "")
_IS_BUILD = any(command in sys.argv for command in ("bdist_wheel", "build", "build_ext", "install"))


def extensions() -> list[Extension]:
    """The compiled modules; none where they are not wanted or cannot be translated to C."""
    if WISH == "0" or not (_IS_BUILD or WISH == "1"):
        return []
    try:
        return _translated()
    except (Exception, SystemExit) as error:  # mypyc exits where it finds a fault
        if WISH == "1":
            raise
        _say(error)
        return []


_MYPY = """\
[mypy]
follow_imports = silent
ignore_missing_imports = True
[mypy-rapide.proto.*]
ignore_errors = True
"""
"""Types are checked elsewhere, strictly: an isolated build has none of the libraries that they speak of."""


def _translated() -> list[Extension]:
    from mypyc.build import mypycify  # noqa: PLC0415 - absent where nothing is compiled

    with tempfile.NamedTemporaryFile("w", suffix=".ini") as config:
        config.write(_MYPY)
        config.flush()
        found: list[Extension] = mypycify(
            [f"--config-file={config.name}", *(str(Path("rapide", path)) for path in HOT)],
            opt_level="3",
            group_name="rapide_hot",
        )
    return found


def _say(error: BaseException) -> None:
    print(f"rapide: the hot path is not compiled and will be interpreted: {error!r}", file=sys.stderr)


class CompileAllOrNothing(build_ext):
    """The modules share one library: half of them would not even import."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if WISH == "1":
                raise
            _say(error)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


setup(ext_modules=extensions(), cmdclass={"build_ext": CompileAllOrNothing})
