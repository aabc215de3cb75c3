"""TLS of the public doors: certificate, key and the clients' authority, read and checked once.

What is wrong with a file is told when the server starts, by the setting's name. Python's own reports do not say
which of the files is meant, and OpenSSL would ask for a key's password at the terminal.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from rapide.server.errors import SettingsError
from rapide.server.settings import Settings

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY_END = b"PRIVATE KEY-----"
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files that fit each other; the octets are PEM."""

    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None
    certificate: bytes
    key: bytes
    client_ca: bytes | None
    """Clients must show a certificate that it signed; None: any client may come."""

    def context(self, *protocols: str) -> ssl.SSLContext:
        """For a server that speaks ``protocols`` (ALPN names, RFC 7301, best first)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # HTTP/2 forbids it (RFC 9113, 9.2.1), and it is a way to flood
        context.set_alpn_protocols(list(protocols))
        context.load_cert_chain(self.certificate_file, self.key_file, password=lambda: b"")
        if self.client_ca_file is not None:
            context.load_verify_locations(self.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def load_tls(settings: Settings) -> Tls | None:
    """What the settings name; None where they name nothing. Raises SettingsError."""
    if not settings.tls_cert_file:
        return None
    certificate = _read("tls_cert_file", settings.tls_cert_file, _CERTIFICATE, "certificate")
    key = _read("tls_key_file", settings.tls_key_file, _KEY_END, "private key")
    if any(mark in key for mark in _ENCRYPTED):
        raise SettingsError(
            f"tls_key_file: the key in {settings.tls_key_file} is encrypted, and a server has nobody to ask.",
            hint="openssl pkey -in KEY -out PLAIN_KEY writes it without a password; keep that file to yourself.",
        )
    authority = settings.tls_client_ca_file
    tls = Tls(
        Path(settings.tls_cert_file),
        Path(settings.tls_key_file),
        Path(authority) if authority else None,
        certificate,
        key,
        _read("tls_client_ca_file", authority, _CERTIFICATE, "certificate") if authority else None,
    )
    _check(tls)
    return tls


def _read(setting: str, path: str, mark: bytes, what: str) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}: {path}: {error.strerror or error}.") from None
    if mark not in content:
        raise SettingsError(f"{setting}: {path} has no {what} in PEM form (-----BEGIN …).")
    return content


def _check(tls: Tls) -> None:
    """Raises SettingsError unless OpenSSL takes the files, each and together."""
    try:
        tls.context("h2")
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise SettingsError(
                f"tls_key_file: the key in {tls.key_file} is not the one of the certificate in "
                f"{tls.certificate_file}.",
                hint="The server's own certificate must come first in its file, before those that signed it.",
            ) from None
        raise SettingsError(f"{_culprit(tls)} cannot be read: {error.reason or error}.") from None


def _culprit(tls: Tls) -> str:
    """Which of the files OpenSSL does not take, by setting and path."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authorities = {"tls_cert_file": tls.certificate_file, "tls_client_ca_file": tls.client_ca_file}
    for setting, path in authorities.items():
        try:
            context.load_verify_locations(path or tls.certificate_file)
        except ssl.SSLError:
            return f"{setting}: {path}"
    return f"tls_key_file: {tls.key_file}"
