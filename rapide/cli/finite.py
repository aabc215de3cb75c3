"""Numbers of the command line that must be some: ``float`` takes nan and inf for numbers, too."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rapide.server.errors import InvalidRequest


def check_finite(options: Mapping[str, float | None]) -> None:
    """Raises InvalidRequest, naming the option, for nan and infinities; None stands for an option not given."""
    for option, value in options.items():
        if value is not None and not math.isfinite(value):
            raise InvalidRequest(f"{option} {value:g} is no finite number")
