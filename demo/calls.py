"""The calls that the demonstration prints, ready to be pasted, and makes itself with ``--check``."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from demo.training import Trained

TIMEOUT_S = 60
_HTTP_KEYS = {"breast-cancer": "", "digits": "label"}
"""Where the call over HTTP speaks of tensors: ``0.99:0:malignant``, ``"label":4``."""
_RELATIVE = 1e-4
"""How near a printed answer must be: ``rapide predict`` prints six digits."""


@dataclass(frozen=True, slots=True)
class Call:
    """``line``: as printed, for a shell. ``key``: what the answer is called in what comes back (empty: it is a
    text anywhere in it). ``expected``: possible answers, since a canary may be asked instead."""

    line: str
    key: str
    expected: tuple[float | str, ...]


class WrongAnswer(Exception):
    """A call failed, or its answer is not the original model's."""


def calls_for(
    name: str, trained: list[Trained], *, rapide: Path, folder: Path, http: str, grpc: str
) -> list[Call]:
    """The curl line and the gRPC line for the model ``name``, of which ``trained`` are the versions."""
    one = trained[0]
    expected = tuple(version.expected for version in trained)
    path, body = _http_call(one)
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    curl = f"curl -s {http}{path} -H 'Content-Type: application/json' -d {data}"
    rows = json.dumps(one.example, ensure_ascii=False)
    if len(rows) > 800:
        file = folder / f"{name}.json"
        file.write_text(rows, encoding="utf-8")
        rows = str(file)
    predict = f"{shlex.quote(str(rapide))} predict grpc://{grpc} {name} {shlex.quote(rows)}"
    return [Call(curl, _HTTP_KEYS.get(name, one.target), expected), Call(predict, one.target, expected)]


def make_call(call: Call) -> str:
    """Runs the very line that was printed. Returns what it printed; raises WrongAnswer."""
    if call.line.startswith("curl ") and shutil.which("curl") is None:
        answer = _like_curl(call.line)
    else:
        done = subprocess.run(  # noqa: S602 - the line is meant for a shell
            call.line, shell=True, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        answer = done.stdout.strip()
        if done.returncode != 0:
            raise WrongAnswer(f"exit status {done.returncode}: {answer} {done.stderr.strip()}")
    if not any(_holds(answer, call.key, expected) for expected in call.expected):
        raise WrongAnswer(f"the original model answers {_listed(call.expected)}, but this call got: {answer}")
    return answer


def _http_call(one: Trained) -> tuple[str, dict[str, object]]:
    """Named features where there are few; else tensors: Open Inference Protocol, and TensorFlow Serving's rows."""
    values = list(one.example.values())
    if one.name == "breast-cancer":
        tensor = {"name": "features", "shape": [1, len(values)], "datatype": "FP32", "data": values}
        best = {"name": "probabilities", "parameters": {"classification": 1}}
        return f"/v2/models/{one.name}/infer", {"inputs": [tensor], "outputs": [best]}
    if one.name == "digits":
        return f"/v1/models/{one.name}:predict", {"instances": [values]}
    return f"/v1/models/{one.name}:predict", {"instances": [one.example]}


def _like_curl(line: str) -> str:
    """The same request where curl is not installed (apt-get install curl)."""
    words = shlex.split(line)
    url = next(word for word in words if word.startswith("http"))
    body = words[words.index("-d") + 1].encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - as above
        return str(response.read().decode())


def _holds(answer: str, key: str, expected: float | str) -> bool:
    if not key:
        return str(expected) in answer
    found = re.search(rf"\b{re.escape(key)}\W+([\w.+-]+)", answer)
    if found is None:
        return False
    if isinstance(expected, str):
        return found[1] == expected
    return math.isclose(float(found[1]), expected, rel_tol=_RELATIVE)


def _listed(values: tuple[float | str, ...]) -> str:
    return " or ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in values)
