"""The lanes' fuzz targets: known inputs, a short run of each, and that they would notice."""

from __future__ import annotations

from random import Random

import pytest

from rapide.server.codecs.infer_template import InferTemplate
from rapide.server.protocols.grpc_lane.framing import MessageReader
from rapide.server.protocols.grpc_lane.line import LaneConnection
from rapide.server.protocols.http_lane.exchange import Exchange
from tests.fuzz import campaign, grpc_lane_fuzz, http_lane_fuzz, infer_template_fuzz
from tests.fuzz.campaign import Target, fuzz

RUNS = {"infer_template": 4000, "grpc_framing": 2000, "grpc_head": 5000, "grpc_lane": 800, "http_lane": 1000}
TARGETS = {
    target.name: target
    for module in (infer_template_fuzz, grpc_lane_fuzz, http_lane_fuzz)
    for target in module.TARGETS
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_known_and_new_inputs_hold(target: Target) -> None:
    for data in target.known():
        target.attempt(data)
    assert fuzz(target, Random(20261123), runs=RUNS[target.name]) == RUNS[target.name]


def test_templates_are_learnt_and_matched() -> None:
    """A fuzz target in which nothing matches would find nothing."""
    matched = sum(map(_matches, (infer_template_fuzz.grow(Random(seed)) for seed in range(400))))
    assert matched > 40


def _matches(data: bytes) -> bool:
    size = int.from_bytes(data[:2], "big")
    template = infer_template_fuzz.learnt(data[2 : 2 + size])
    return template is not None and infer_template_fuzz.same(template, data[2 + size :])


def skip_check(self: MessageReader, flag: int, length: int) -> None: ...


PLANTED = [
    ("infer_template", InferTemplate, "match", lambda self, buffer, start, end: (b"", end)),
    ("grpc_framing", MessageReader, "_check", skip_check),
    ("grpc_lane", LaneConnection, "release", lambda self, size: None),
    ("http_lane", Exchange, "whole_body", lambda self: bytes(self.body[-1]) if self.body else b""),
]


@pytest.mark.parametrize(("name", "where", "what", "fault"), PLANTED, ids=[row[0] for row in PLANTED])
def test_planted_faults_are_noticed(
    name: str, where: type, what: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "SHRINK_S", 0.0)
    monkeypatch.setattr(where, what, fault)
    with pytest.raises(AssertionError, match=f"target {name} on"):
        fuzz(TARGETS[name], Random(1), runs=5000)
