"""A real Prometheus that scrapes what a test tells it to, and answers queries."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest
from support.servers import server, server_environment

T = TypeVar("T")

HOW = "run scripts/setup-servers on Debian, or install Prometheus"
_START = 60.0


class PrometheusServer:
    """Prometheus with a job for each of ``targets``, `host:port` by the job's name; every target once a second.

    ``close()``, or the end of a ``with``, ends it and removes what it stored.
    """

    def __init__(self, targets: Mapping[str, str]) -> None:
        program = server("prometheus")
        if program is None:
            pytest.skip(f"needs a real Prometheus: {HOW}")
        self._work = Path(tempfile.mkdtemp(prefix="statspout-prometheus-"))
        # JSON is YAML.
        (self._work / "config.yml").write_text(json.dumps(_config(targets)))
        with (self._work / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self._work / 'config.yml'}",
                    f"--storage.tsdb.path={self._work / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                ],
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._address = ""

    def __enter__(self) -> Self:
        self._address = self.eventually(self._listening, _START)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of its HTTP API's answer; a query it cannot read is an error here, too."""
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The labels and values that an instant query finds now; a scalar has no labels."""
        data = self.ask("query", query=query)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def eventually(self, look: Callable[[], T | None], timeout: float = 60.0) -> T:
        """What ``look`` returns, as soon as that is true in the sense of ``if``."""
        deadline = time.monotonic() + timeout
        while not (found := look()):
            assert self._process.poll() is None, f"Prometheus ended; its log:\n{self._log}"
            assert time.monotonic() < deadline, f"not within {timeout:g} s, but {found!r}; its log:\n{self._log}"
            time.sleep(0.1)
        return found

    def close(self) -> None:
        """End it at once: nobody will read what it has not stored yet."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._work, ignore_errors=True)

    @property
    def _log(self) -> str:
        return (self._work / "log").read_text(errors="replace")

    def _listening(self) -> str:
        found = re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', self._log)
        return found[1] if found and "Server is ready" in self._log else ""


def promtool(page: bytes) -> str:
    """What `promtool check metrics` has to say about a page; nothing when it is as it should be."""
    program = server("promtool")
    if program is None:
        pytest.skip(f"needs promtool: {HOW}")
    done = subprocess.run(
        [program, "check", "metrics"], input=page, env=server_environment(), capture_output=True, timeout=60
    )
    return (done.stdout + done.stderr).decode() or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def _config(targets: Mapping[str, str]) -> dict[str, Any]:
    jobs = [{"job_name": name, "static_configs": [{"targets": [target]}]} for name, target in targets.items()]
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
