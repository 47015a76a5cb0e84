"""Everything that is served, by HTTPS to those who have the token; and the health of it for everybody."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from support.certificates import Authority
from support.daemon import Daemon
from support.web import Client

SURFACES = {
    "rest.address": ("/stats", "/stats/web", "/app-stats"),
    "prometheus.address": ("/metrics",),
    "health.address": ("/readyz", "/metrics"),
}


def test_every_surface_asks_for_the_token_but_healthz(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    (tmp_path / "token").write_text("5f1c-token\n")
    flags = [f"--{setting}=127.0.0.1:0" for setting in SURFACES]
    tls = [f"--web.tls-cert={authority.cert('server')}", f"--web.tls-key={authority.key('server')}"]
    token = f"--web.token-file={tmp_path / 'token'}"
    with Daemon("--demo", "--repository=rest,prometheus", *flags, *tls, token) as daemon:
        context = ssl.create_default_context(cafile=str(authority.ca))
        known = {"Authorization": "Bearer 5f1c-token"}
        for setting, paths in SURFACES.items():
            found = re.search(r"https://127\.0\.0\.1:(\d+)$", daemon.wait_for_line(f" {setting}: https://"))
            assert found is not None
            client = Client(int(found[1]), context)
            assert [client.ask(path).status for path in paths] == [401] * len(paths)
            assert {client.ask(path, headers=known).status for path in paths} <= {200, 404, 503}
            assert client.ask("/healthz").status == (200 if setting == "health.address" else 401)
        assert "5f1c-token" not in daemon.log
        assert "web.token=***" in daemon.log
        assert daemon.terminate() == 0
