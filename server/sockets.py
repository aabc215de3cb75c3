"""Listening sockets that several processes share (SO_REUSEPORT), with ports that are decided once.

Theory. Each worker listens with a socket of its own on the same address; the kernel spreads new connections
over them, and a killed worker takes only its own connections along. The supervisor never listens: it *reserves*
each port, so that port 0 means the same number in every worker and stays ours while a worker is replaced. Since
sharing a port is allowed to any process of the same user, a second server on our port would not fail but quietly
take half of the requests: the reservation therefore first tries the port alone.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from rapide.server.errors import SettingsError

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn (4096)."""


@dataclass(slots=True)
class Reservation:
    """Ports held on ``host``; ``ports`` are the real numbers, in the order asked for."""

    host: str
    ports: tuple[int, ...]
    _sockets: list[socket.socket]

    def close(self) -> None:
        for held in self._sockets:
            held.close()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def reserve(host: str, ports: dict[str, int]) -> Reservation:
    """Holds every port of ``ports`` (setting's name → number, 0 for any) on ``host``.

    Raises SettingsError, naming the setting and what to do, where a port is taken, forbidden or the host is not
    this machine's.
    """
    address = resolve(host)
    held: list[socket.socket] = []
    try:
        for name, port in ports.items():
            held.append(_reserve_one(address, name, port))
    except SettingsError:
        for taken in held:
            taken.close()
        raise
    return Reservation(address, tuple(taken.getsockname()[1] for taken in held), held)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that shares ``port`` with the other workers. Raises OSError."""
    listener = _shared_socket(host, port)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def resolve(host: str) -> str:
    """The first address of ``host``, so that all doors and workers use the same. Raises SettingsError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise SettingsError(
            f"host {host!r} is no address of this machine.",
            hint="Use 127.0.0.1 for this machine only, or 0.0.0.0 for every network it is on.",
        ) from None
    return str(found[0][4][0])


def url_host(host: str) -> str:
    """``host`` as part of a URL or a gRPC target: IPv6 goes in brackets."""
    return f"[{host}]" if ":" in host else host


def reachable_host(host: str) -> str:
    """An address under which this machine reaches itself when listening on ``host``: for lines to paste."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _reserve_one(host: str, name: str, port: int) -> socket.socket:
    try:
        if port:
            _unshared_socket(host, port).close()
        return _shared_socket(host, port)
    except OSError as error:
        raise _explained(error, host, name, port) from None


def _unshared_socket(host: str, port: int) -> socket.socket:
    """A socket bound to the port alone: fails while anybody listens there, even one who would share."""
    probe = _socket(host)
    try:
        probe.bind((host, port))
        probe.listen(1)
    except OSError:
        probe.close()
        raise
    return probe


def _shared_socket(host: str, port: int) -> socket.socket:
    shared = _socket(host)
    try:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind((host, port))
    except OSError:
        shared.close()
        raise
    return shared


def _socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, or asyncio does not recognise TCP and leaves Nagle's algorithm on: 40 ms per answer.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _explained(error: OSError, host: str, name: str, port: int) -> SettingsError:
    place = f"{url_host(host)}:{port}"
    flag = f"--{name.replace('_', '-')}"
    if error.errno == errno.EADDRINUSE:
        return SettingsError(
            f"port {port} ({name}) is in use on {host}.",
            hint=f"Stop what listens there (ss -ltnp 'sport = :{port}' shows it), or choose another with {flag}; "
            f"{flag} 0 takes a free one.",
        )
    if error.errno == errno.EACCES:
        return SettingsError(
            f"port {port} ({name}) may not be opened by this user.", hint=f"Choose one above 1023 with {flag}."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return SettingsError(
            f"{host} is no address of this machine.",
            hint="Use --host 127.0.0.1 for this machine only, or --host 0.0.0.0 for every network it is on.",
        )
    return SettingsError(f"cannot listen on {place} ({name}): {error.strerror or error}.")
