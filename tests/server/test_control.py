"""Control messages: whatever goes in comes out, on one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server import control, errors

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
SETTINGS = st.dictionaries(st.text(), JSON)
STATES = st.builds(
    control.ServerState,
    plan=SETTINGS,
    problems=st.lists(SETTINGS),
    regions=st.dictionaries(st.text(), SETTINGS),
    trace=st.dictionaries(st.text(), SETTINGS),
    log=SETTINGS,
)
FAILURES = st.builds(control.Failure, error=st.just("Conflict"), message=st.text(), hint=st.text())
ROUNDS = st.integers(0, 10**6)
MESSAGES = st.one_of(
    st.builds(control.Start, slot=ROUNDS, workers=ROUNDS, settings=SETTINGS),
    st.builds(control.Prepare, round=ROUNDS, state=STATES),
    st.builds(control.Commit, round=ROUNDS),
    st.builds(control.Applied, call=ROUNDS, failure=st.none() | FAILURES),
    st.builds(control.Drain, grace_s=st.just(0.5), drain_s=st.just(20.0)),
    st.builds(
        control.Prepared,
        round=ROUNDS,
        versions=st.lists(
            st.builds(
                control.VersionFailure,
                model=st.text(),
                version=ROUNDS,
                reason=st.text(),
            )
        ),
        failure=st.none() | FAILURES,
    ),
    st.builds(
        control.Apply,
        call=ROUNDS,
        change=st.one_of(
            st.builds(control.LoadModel, name=st.text()),
            st.builds(control.RegisterRegion, name=st.text(), key=st.text(), offset=ROUNDS, byte_size=ROUNDS),
            st.builds(control.UpdateTrace, model=st.text(), settings=SETTINGS),
        ),
    ),
)


@given(MESSAGES)
def test_a_message_survives_the_wire(message: control.Message) -> None:
    line = control.encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert control.decode(line) == message


def test_plain_data_cannot_pose_as_a_record() -> None:
    posing = {"$": "Drain", "$$": 1, "settings": {"$": "nothing"}}
    message = control.Apply(1, control.UpdateLog(posing))
    assert control.decode(control.encode(message)) == message


@pytest.mark.parametrize("line", [b"{}\n", b"3\n", b'{"$":"Failure","error":"Conflict","message":"m"}\n'])
def test_anything_that_is_not_a_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a control message"):
        control.decode(line)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (errors.Conflict("taken", hint="Use another."), errors.Conflict, "taken"),
        (errors.BrokenVersion("digest differs"), errors.BrokenVersion, "digest differs"),
        (KeyError("secret path"), errors.Internal, "an unexpected KeyError happened; the log has the details"),
    ],
)
def test_errors_cross_processes_without_private_detail(
    error: Exception, kind: type[errors.RapideError], message: str
) -> None:
    there = control.Failure.of(error).to_error()
    assert type(there) is kind
    assert there.message == message
