"""Certificates for tests, made with OpenSSL's command when they are needed: none is kept, none expires."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests import tools


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


def openssl(*arguments: str) -> None:
    subprocess.run([tools.program("openssl"), *arguments], check=True, capture_output=True, timeout=30)


def self_signed(folder: Path, name: str) -> Pair:
    """An authority that is its own server or client, good for localhost and loopback."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(pair.key), "-out", str(pair.certificate)),
    )
    return pair
