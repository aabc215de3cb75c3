"""The users of ``locustfile.py``, as many at a time as a usage profile had traffic.

    locust -f loadtests/profile_locustfile.py --headless --usage-profile profile.json --model car-price

Of the model's recorded arrivals the rate of each second is followed. For the very instants, and for latency that
counts from them, there is ``rapide replay``.
"""

from __future__ import annotations

import sys
from typing import Any

from locust import constant_throughput, events

from rapide.loadtests.locustfile import WRONG_USAGE, BinaryUser, GrpcUser, JsonUser
from rapide.loadtests.users.base import PredictionUser
from rapide.loadtests.users.curve import REQUESTS_PER_USER_S, Curve
from rapide.loadtests.users.shape import ProfileShape
from rapide.profiles.document import Profile
from rapide.profiles.errors import ProfileError

__all__ = ["BinaryUser", "GrpcUser", "JsonUser", "ProfileShape"]


def follow(environment: Any, **_more: Any) -> None:
    """Reads the profile before anything runs."""
    parsed = environment.parsed_options
    try:
        if not parsed.usage_profile:
            raise ProfileError("--usage-profile FILE says which traffic to follow")
        known = Profile.load(parsed.usage_profile).find(parsed.model)
        ProfileShape.curve = Curve.of(known.exact().scaled(parsed.usage_speed))
    except ProfileError as error:
        print(f"rapide: {error}", file=sys.stderr)
        sys.exit(WRONG_USAGE)
    PredictionUser.pace = constant_throughput(REQUESTS_PER_USER_S)


events.init.add_listener(follow)  # type: ignore[no-untyped-call]
