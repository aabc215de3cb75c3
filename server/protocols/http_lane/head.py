"""What a request's head must be, and means, beyond what the parser checks (RFC 9112, section 3)."""

from __future__ import annotations

import re
from typing import Final

from rapide.server.errors import InvalidRequest
from rapide.server.protocols.http_lane.exchange import Exchange
from rapide.server.protocols.http_lane.refusals import OtherVersion

_VERSIONS: Final = frozenset({"1.1", "1.0"})
_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?]*@)?([^/?]*)(.*)", re.DOTALL)


def check_head(exchange: Exchange) -> None:
    """Raises InvalidRequest for a version or a Host that cannot be; leaves path and query as ``exchange.url``."""
    if exchange.version not in _VERSIONS:
        raise OtherVersion(f"HTTP/{exchange.version} is not spoken here; HTTP/1.1 is")
    headers = exchange.headers
    if "host" not in headers and exchange.version == "1.1":
        raise InvalidRequest("an HTTP/1.1 request needs a Host header (RFC 9112, section 3.2)")
    if len(headers) != len(exchange.fields) and sum(name == b"host" for name, _ in exchange.fields) > 1:
        raise InvalidRequest("the request has more than one Host header (RFC 9112, section 3.2)")
    if not exchange.url.startswith(b"/") or b"#" in exchange.url:
        _read_target(exchange)


def _read_target(exchange: Exchange) -> None:
    """A fragment is the client's own affair; the host of an absolute target overrules the header (3.2.2)."""
    exchange.url = exchange.url.partition(b"#")[0]
    absolute = _ABSOLUTE.fullmatch(exchange.url)
    if absolute is None:
        return
    host, path = absolute.groups()
    exchange.url = path if path.startswith(b"/") else b"/" + path
    exchange.headers["host"] = host.decode("latin-1")
    exchange.fields = [(b"host", host), *(field for field in exchange.fields if field[0] != b"host")]
