"""A run loads what it is about: what it has no use for costs it no start and no memory."""

from __future__ import annotations

import pytest
from support.daemon import Daemon

from statspout.testing import FakeEngine

CLIENTS = {"pymongo", "requests", "influxdb_client"}
SERVER = {"uvicorn", "starlette", "anyio"}
NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "at_work", "unwanted"),
    [
        ("stdout --once", " 1 sample in ", {*CLIENTS, *SERVER, "urllib3", "importlib.metadata", "email", "sqlite3"}),
        ("rest --rest.address=127.0.0.1:0", " rest.address: http://", {*CLIENTS, "urllib3", "sqlite3"}),
        ("prometheus --prometheus.address=127.0.0.1:0", " prometheus.address: http://", {*CLIENTS, "urllib3"}),
        (f"influxdb --influxdb.url={NOBODY} --influxdb.database=x", "influxdb: ", {*CLIENTS, *SERVER, "sqlite3"}),
    ],
)
def test_what_a_run_has_no_use_for_is_not_loaded(arguments: str, at_work: str, unwanted: set[str]) -> None:
    with FakeEngine() as engine:
        engine.add("web")
        flags = f"--socket.path={engine.socket_path} --repository={arguments}".split()
        with Daemon(*flags, environ={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:
            daemon.wait_for_line(at_work)
            lines = daemon.log.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "statspout.sample" in loaded
    assert not loaded & unwanted
