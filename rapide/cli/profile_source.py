"""Where a usage profile comes from: a file, a running server, or standard input."""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request
from typing import Final

from rapide.profiles.document import Profile
from rapide.profiles.errors import ProfileError

_TIMEOUT_S: Final = 30.0
_MOST_BYTES: Final = 256 * 2**20
"""Larger than any profile; a server that sends on and on is none."""


def read_profile(source: str) -> Profile:
    """From ``http://host:port``, a file, or ``-``. Raises ProfileError."""
    if source == "-":
        return Profile.from_bytes(sys.stdin.buffer.read(), "standard input")
    if is_address(source):
        return Profile.from_bytes(_fetched(source), source)
    return Profile.load(source)


def is_address(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _fetched(url: str) -> bytes:
    address = url.rstrip("/")
    address = address if address.endswith("/profile") else f"{address}/profile"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http and https alone
            data: bytes = answer.read(_MOST_BYTES)
            return data
    except urllib.error.HTTPError as error:
        raise ProfileError(f"{address} answered {error.code}: {_said(error)}") from None
    except http.client.HTTPException as error:
        raise ProfileError(
            f"{address}: what answers there does not speak HTTP ({type(error).__name__})",
            hint="The profile is on the HTTP and on the metrics port (8000 and 8002 unless set otherwise).",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ProfileError(
            f"{address} cannot be reached: {reason}",
            hint="Is the server running there? `rapide serve models/` starts one and prints its addresses.",
        ) from None


def _said(error: urllib.error.HTTPError) -> str:
    """The server's own words, or the standard ones."""
    try:
        return str(json.loads(error.read(65_536))["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error.reason)
