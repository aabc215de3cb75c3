"""TLS files: what fits is taken, and what does not is named."""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path

import pytest

from rapide.server.errors import SettingsError
from rapide.server.settings import Settings
from rapide.server.tls import load_tls
from tests.certificates import openssl, self_signed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """own.pem and own.key, other.pem and other.key, locked.key (encrypted), junk.pem and junk.key, empty"""
    folder = tmp_path_factory.mktemp("tls")
    own = self_signed(folder, "own")
    self_signed(folder, "other")
    openssl("pkey", "-in", str(own.key), "-aes256", "-passout", "pass:x", "-out", str(folder / "locked.key"))
    for name, what in (("junk.pem", "CERTIFICATE"), ("junk.key", "PRIVATE KEY")):
        (folder / name).write_text(f"-----BEGIN {what}-----\nnothing\n-----END {what}-----\n")
    (folder / "empty").write_text("")
    return folder


def settings(folder: Path, certificate: str, key: str, authority: str = "") -> Settings:
    return dataclasses.replace(
        Settings(),
        tls_cert_file=str(folder / certificate),
        tls_key_file=str(folder / key),
        tls_client_ca_file=str(folder / authority) if authority else "",
    )


def test_without_files_there_is_no_tls() -> None:
    assert load_tls(Settings()) is None


@pytest.mark.parametrize(("authority", "mode"), [("", ssl.CERT_NONE), ("other.pem", ssl.CERT_REQUIRED)])
def test_an_authority_makes_clients_show_certificates(folder: Path, authority: str, mode: ssl.VerifyMode) -> None:
    tls = load_tls(settings(folder, "own.pem", "own.key", authority))
    assert tls is not None
    assert tls.context("h2").verify_mode is mode


@pytest.mark.parametrize(
    ("certificate", "key", "authority", "words"),
    [
        ("missing", "own.key", "", ("tls_cert_file: ", "missing: No such file")),
        ("own.pem", "missing", "", ("tls_key_file: ", "missing: No such file")),
        ("own.pem", "own.key", "missing", ("tls_client_ca_file: ", "missing: No such file")),
        ("empty", "own.key", "", ("tls_cert_file: ", "has no certificate in PEM form")),
        ("own.pem", "empty", "", ("tls_key_file: ", "has no private key in PEM form")),
        ("own.key", "own.pem", "", ("tls_cert_file: ", "has no certificate in PEM form")),
        ("own.pem", "other.key", "", ("other.key is not the one of the certificate in", "own.pem")),
        ("own.pem", "locked.key", "", ("locked.key is encrypted",)),
        ("junk.pem", "own.key", "", ("tls_cert_file: ", "junk.pem cannot be read")),
        ("own.pem", "junk.key", "", ("tls_key_file: ", "junk.key cannot be read")),
        ("own.pem", "own.key", "junk.pem", ("tls_client_ca_file: ", "junk.pem cannot be read")),
    ],
)
def test_what_is_wrong_is_named(
    folder: Path, certificate: str, key: str, authority: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_tls(settings(folder, certificate, key, authority))
    assert [word for word in words if word not in caught.value.message] == []
