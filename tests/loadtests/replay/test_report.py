from __future__ import annotations

import json

import numpy as np

from rapide.loadtests import slo
from rapide.loadtests.replay import report
from rapide.loadtests.replay.compare import compare
from rapide.loadtests.replay.result import ReplayResult
from tests.loadtests.replay.results import result

VERDICTS_OF = "p99<1ms,errors<50%"


def troubled() -> ReplayResult:
    """Half of 400 requests of two models refused, by a generator that was late, and interrupted."""
    return result(
        np.full(400, 0.02),
        np.arange(400) % 2 * 8,
        lateness_s=0.015,
        models=np.arange(400) % 2,
        names=("first", "second"),
        errors={8: "the queue is <full>"},
        stopped="interrupted",
        skipped_s=12.0,
    )


def test_the_terminal_says_what_matters() -> None:
    found = troubled()
    said = "\n".join(report.lines(found, slo.judge(slo.parse(VERDICTS_OF), found), compare(found, found)))
    for words in (
        "400 requests in 4.0 s",
        "12.0 s of quiet time were left out",
        "p99          never",
        "second               200      never",
        "200  RESOURCE_EXHAUSTED: the queue is <full>",
        "MISSED  p99<1ms",
        "MISSED  errors<50%",
        "against the earlier replay, 400 requests in both",
        "⚠ Ended early: interrupted.",
    ):
        assert words in said, said


def test_a_late_generator_is_named() -> None:
    found = result(np.full(400, 0.02), lateness_s=0.015)
    words = "The generator itself was the bottleneck: at p50 it sent 15 ms late, of a latency of 20 ms"
    assert words in "\n".join(report.lines(found, ()))
    assert words in report.page(found, {}, ()).html()


def test_the_page_holds_all_of_it_and_escapes_what_others_said() -> None:
    found = troubled()
    html = report.page(
        found, {"server": "grpc://a"}, slo.judge(slo.parse(VERDICTS_OF), found), compare(found, found)
    ).html()
    for words in ("Over time", "By model", "Against the earlier replay", "the queue is &lt;full&gt;", "grpc://a"):
        assert words in html
    assert html.count("<svg") == 3


def test_a_replay_without_an_answer_has_a_page_too() -> None:
    html = report.page(result(np.full(3, 1.0), -1), {}, ()).html()
    assert "never" in html
    assert "<svg" not in html


def test_scripts_get_plain_json() -> None:
    found = troubled()
    document = report.to_json(found, slo.judge(slo.parse(VERDICTS_OF), found), compare(found, found))
    read = json.loads(json.dumps(document, allow_nan=False))
    assert read["objectives"][0] == {"objective": "p99<1ms", "measured": None, "holds": False}
    assert read["against"]["pairs"] == 400
    assert read["endings"] == {"OK": 200, "RESOURCE_EXHAUSTED": 200}
