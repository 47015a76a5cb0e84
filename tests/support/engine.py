"""What a test is given of an engine: its socket, a client, and containers that go when the test does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from support.dockerd import Dockerd, why_no_dockerd
from support.images import BUSYBOX, ensure_busybox


class Engine:
    """An engine that answers at `socket`; `client` is docker-py's DockerClient for it."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.url = f"unix://{socket}"
        self.client: Any = docker.DockerClient(base_url=self.url, timeout=60)
        self._started: list[str] = []

    def run(self, name: str, command: str | list[str] | None = None, *, image: str = BUSYBOX, **options: Any) -> Any:
        """Start a container in the background and return docker-py's Container; without a command it sleeps.

        It ends at once when asked to, instead of using up its grace time. `options` are those of docker-py's
        `containers.create`.
        """
        container = self.client.containers.create(image, command, name=name, **{"stop_signal": "SIGKILL"} | options)
        self._started.append(container.id)
        container.start()
        return container

    def remove(self, name_or_id: str) -> None:
        """Remove a container, running or not; one that is gone already is fine."""
        with contextlib.suppress(NotFound):
            self.client.api.remove_container(name_or_id, force=True, v=True)

    def remove_started(self) -> None:
        """Remove every container that `run` started, under whatever name it has now."""
        self._remove_all(self._started)
        self._started.clear()

    def remove_everything(self) -> None:
        """Leave the engine its tagged images only; meant for an engine of the tests' own."""
        self._remove_all([container["Id"] for container in self.client.api.containers(all=True)])
        self.client.networks.prune()
        self.client.volumes.prune()
        self.client.images.prune(filters={"dangling": True})

    def close(self) -> None:
        """Close the client's connections."""
        self.client.close()

    def _remove_all(self, containers: list[str]) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.remove, containers))


@contextlib.contextmanager
def starting(**options: Any) -> Iterator[OwnEngine]:
    """An engine of a test's own with a busybox image; takes the arguments of Dockerd. Skips where none can be had."""
    if why := why_no_dockerd():
        pytest.skip(f"needs a real Docker engine of its own ({why}): run scripts/setup-engine as root on Debian")
    with Dockerd(**options) as dockerd, contextlib.closing(OwnEngine(dockerd)) as engine:
        ensure_busybox(engine.client)
        yield engine


class OwnEngine(Engine):
    """An engine that one test has to itself, to stop, kill, restart: through `dockerd`."""

    def __init__(self, dockerd: Dockerd) -> None:
        super().__init__(dockerd.socket)
        self.dockerd = dockerd
