"""Certificates for tests of TLS."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from workspace import run

if TYPE_CHECKING:
    from pathlib import Path

OPENSSL_CONFIG = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost
authorityKeyIdentifier = keyid
"""


class Certificates:
    """Two authorities, and a certificate for `localhost` signed by the first one. Skips the test without openssl."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed: apt-get install openssl")
        self._folder = folder
        (folder / "openssl.cnf").write_text(OPENSSL_CONFIG)
        self.authority = self._make("authority")
        self.other_authority = self._make("other_authority", extensions="authority")
        self.server = self._make("server", "-CA", self.authority, "-CAkey", str(folder / "authority.key"))
        self.server_key = str(folder / "server.key")

    def _make(self, name: str, *arguments: str, extensions: str = "") -> str:
        certificate = str(self._folder / f"{name}.crt")
        run(
            *("openssl", "req", "-x509", "-config", self._folder / "openssl.cnf", "-days", "2"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-subj", f"/CN={name}", "-extensions", extensions or name),
            *("-keyout", self._folder / f"{name}.key", "-out", certificate, *arguments),
        )
        return certificate
