"""``--busy-poll-us`` of a real server: what it uses of the processor after an answer, and later."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest

from tests import models
from tests.integration.server_process import infer_json
from tests.serving import serving

pytestmark = pytest.mark.integration
SPAN_S = 0.6


@pytest.mark.parametrize("flags", [(), ("--busy-poll-us", f"{SPAN_S * 1e6:.0f}")], ids=["off", "on"])
def test_a_worker_stays_awake_after_an_answer_and_then_sleeps(tmp_path: Path, flags: tuple[str, ...]) -> None:
    repository = models.repository(tmp_path / "models", {"m": {1: models.constant(1.0)}})
    with serving(repository, tmp_path / "log", "--no-reserve", *flags) as served:

        def used_s(span_s: float) -> float:
            before_s = served.process.cpu_s()
            time.sleep(span_s)
            return served.process.cpu_s() - before_s

        used_s(1.0)  # what a server does when it has started
        asked = urllib.request.Request(f"{served.http_url}/v2/models/m/infer", json.dumps(infer_json()).encode())
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert json.load(answer)["outputs"][0]["data"] == [1.0]
        polling_s, asleep_s = used_s(SPAN_S), used_s(SPAN_S)
    assert asleep_s < 0.15
    assert (polling_s > 0.1) is bool(flags), "a sixth of the span, on a machine that others use, too"
