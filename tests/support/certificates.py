"""An authority of the tests' own, made with openssl: certificates for a server on this machine and for a client."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.dockerd import program

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """``ca.pem``, ``server-cert.pem``, ``server-key.pem``, ``client-cert.pem`` and ``client-key.pem`` in a folder."""

    def __init__(self, folder: Path, server: str = "IP:127.0.0.1,DNS:localhost") -> None:
        if program("openssl") is None:
            pytest.skip("needs openssl: apt-get install openssl")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl("req", "-x509", *_CURVE, "-subj", "/CN=the tests' authority", "-days", "2", *self._pair("ca"))
        self._sign("server", f"subjectAltName={server}\nextendedKeyUsage=serverAuth\n")
        self._sign("client", "extendedKeyUsage=clientAuth\n")

    @property
    def ca(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.pem"

    def cert(self, who: str) -> Path:
        """The certificate of ``server`` or ``client``."""
        return self.folder / f"{who}-cert.pem"

    def key(self, who: str) -> Path:
        """The key of ``server`` or ``client``."""
        return self.folder / f"{who}-key.pem"

    def copy_to(self, folder: Path, who: str | None) -> None:
        """Put the files into ``folder`` under the names that docker gives them; without ``who`` only ``ca.pem``."""
        shutil.copy(self.ca, folder / "ca.pem")
        if who:
            shutil.copy(self.cert(who), folder / "cert.pem")
            shutil.copy(self.key(who), folder / "key.pem")

    def _pair(self, who: str) -> list[str]:
        cert = self.ca if who == "ca" else self.cert(who)
        return ["-keyout", str(self.key(who)), "-out", str(cert)]

    def _sign(self, who: str, extensions: str) -> None:
        request, extra = self.folder / f"{who}.csr", self.folder / f"{who}.ext"
        extra.write_text(extensions)
        self._openssl("req", *_CURVE, "-subj", f"/CN={who}", "-keyout", str(self.key(who)), "-out", str(request))
        self._openssl(
            "x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self.key("ca")), "-CAcreateserial",
            "-days", "2", "-extfile", str(extra), "-out", str(self.cert(who)),
        )  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            [program("openssl") or "openssl", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
