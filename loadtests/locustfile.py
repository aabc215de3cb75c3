"""Load for any server of the Open Inference Protocol; see docs/guides/load-tests.md.

    locust -f loadtests/locustfile.py --headless --users 20 --run-time 30s --model car-price \\
        --slo 'p99<50ms,errors<0.1%'

Name the users to run (``JsonUser``, ``BinaryUser``, ``GrpcUser``) at the end of the line; without names, all do.
"""

from __future__ import annotations

import sys
from typing import Any

import gevent
from locust import events

from rapide.loadtests import slo
from rapide.loadtests.users import plan, verdict
from rapide.loadtests.users.base import PredictionUser
from rapide.loadtests.users.grpc_user import GrpcUser
from rapide.loadtests.users.http_user import BinaryUser, JsonUser

__all__ = ["BinaryUser", "GrpcUser", "JsonUser"]

DEFAULT_URL = "http://127.0.0.1:8000"
WRONG_USAGE = 2


def prepare(environment: Any, **_more: Any) -> None:
    """Reads the options before anything runs, so that a wrong one costs a second and not a run."""
    parsed = environment.parsed_options
    if not parsed.model:
        _refuse("--model NAME says which model the requests are for")
    try:
        objectives = slo.parse(parsed.slo, resolution_ms=slo.LOCUST_RESOLUTION_MS)
    except ValueError as error:
        _refuse(f"--slo: {error}")
    environment.host = environment.host or DEFAULT_URL
    PredictionUser.options = plan.Options.of(parsed)
    if _starts_here_and_now(parsed):
        _ask_the_server(environment)
    # gevent's clock stood still during the imports, and --run-time, which starts now, would be shorter by that.
    gevent.get_hub().loop.update_now()
    environment.events.quitting.add_listener(lambda environment, **_: verdict.conclude(environment, objectives))


def _starts_here_and_now(parsed: Any) -> bool:
    """A browser may still choose another host, and a worker is told its host by the master."""
    return (parsed.headless or parsed.autostart) and not (parsed.master or parsed.worker)


def _ask_the_server(environment: Any) -> None:
    for user in environment.user_classes:
        try:
            if issubclass(user, PredictionUser):
                user.prepare(environment.host)
        except (plan.Unprepared, ValueError, OSError) as error:
            _refuse(str(error))


def _refuse(message: str) -> None:
    print(f"rapide: {message}", file=sys.stderr)
    sys.exit(WRONG_USAGE)


events.init_command_line_parser.add_listener(plan.add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(prepare)  # type: ignore[no-untyped-call]
