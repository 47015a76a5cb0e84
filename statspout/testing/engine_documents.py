"""The JSON documents of the simulated engine but for stats: list, inspect, version, info."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from typing import Any

from statspout.testing.engine_state import SECOND, FakeContainer, Host, World, rfc3339

MINUTE, HOUR, DAY, WEEK = 60, 3600, 86400, 604800
COMMAND = "sleep infinity"

_WORDS = (
    (1, 1, "Less than a second"),
    (2, 1, "1 second"),
    (MINUTE, 1, "{} seconds"),
    (2 * MINUTE, 1, "About a minute"),
    (HOUR, MINUTE, "{} minutes"),
)
_LONGER_WORDS = (
    (2, 1, "About an hour"),
    (48, 1, "{} hours"),
    (24 * 14, 24, "{} days"),
    (24 * 60, 24 * 7, "{} weeks"),
    (24 * 365 * 2, 24 * 30, "{} months"),
)


def human_duration(seconds: float) -> str:
    """Say a duration as Docker's ``units.HumanDuration`` does: hours are rounded, all else is cut off."""
    for below, unit, words in _WORDS:
        if seconds < below:
            return words.format(int(seconds // unit))
    hours = int(seconds / HOUR + 0.5)
    for below, unit, words in _LONGER_WORDS:
        if hours < below:
            return words.format(hours // unit)
    return f"{int(seconds // DAY) // 365} years"


@lru_cache(maxsize=256)
def image_id(image: str) -> str:
    """Return the id that goes with an image's name."""
    return "sha256:" + hashlib.sha256(image.encode()).hexdigest()


def _health_words(health: str) -> str:
    return f"health: {health}" if health == "starting" else health


def status(container: FakeContainer, now: int) -> str:
    """Say a container's state at ``now`` (ns) as the STATUS column of ``docker ps`` does."""
    if container.state == "created":
        return "Created"
    if not container.running:
        ago = human_duration((now - container.finished_ns) / SECOND)
        return f"Exited ({container.exit_code}) {ago} ago"
    up = f"Up {human_duration((now - container.started_ns) / SECOND)}"
    if container.state == "paused":
        return f"{up} (Paused)"
    return f"{up} ({_health_words(container.health)})" if container.health else up


def _networks(container: FakeContainer) -> dict[str, Any]:
    mode = container.network_mode
    return {} if mode.startswith("container:") else {mode: {"NetworkID": "", "IPAddress": "", "MacAddress": ""}}


def listed(container: FakeContainer, now: int) -> dict[str, Any]:
    """Build a container's entry in ``/containers/json`` at ``now`` (ns)."""
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.image,
        "ImageID": image_id(container.image),
        "Command": COMMAND,
        "Created": container.created_ns // SECOND,
        "Ports": [],
        "Labels": container.labels,
        "State": container.state,
        "Status": status(container, now),
        "HostConfig": {"NetworkMode": container.network_mode},
        "NetworkSettings": {"Networks": _networks(container)},
        "Mounts": [],
    }


def _state(container: FakeContainer) -> dict[str, Any]:
    state: dict[str, Any] = {
        "Status": container.state,
        "Running": container.running,
        "Paused": container.state == "paused",
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": container.pid,
        "ExitCode": container.exit_code,
        "Error": "",
        "StartedAt": rfc3339(container.started_ns),
        "FinishedAt": rfc3339(container.finished_ns),
    }
    if container.health:
        state["Health"] = {"Status": container.health, "FailingStreak": 0, "Log": []}
    return state


def inspected(container: FakeContainer) -> dict[str, Any]:
    """Build ``/containers/{id}/json``."""
    path, *arguments = COMMAND.split()
    return {
        "Id": container.id,
        "Created": rfc3339(container.created_ns),
        "Path": path,
        "Args": arguments,
        "State": _state(container),
        "Image": image_id(container.image),
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "HostConfig": {
            "NetworkMode": container.network_mode,
            "Memory": container.memory_limit,
            "NanoCpus": 0,
            "PidsLimit": container.pids_limit,
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        },
        "Mounts": [],
        "Config": {
            "Hostname": container.id[:12],
            "Cmd": COMMAND.split(),
            "Image": container.image,
            "Labels": container.labels,
        },
        "NetworkSettings": {"Networks": _networks(container)},
    }


def version(host: Host) -> dict[str, Any]:
    """Build ``/version``."""
    machine = {"Os": "linux", "Arch": "amd64", "KernelVersion": platform.release()}
    api = {"ApiVersion": host.api_version, "MinAPIVersion": host.min_api_version}
    return {
        "Platform": {"Name": "Docker Engine - Simulated"},
        "Components": [{"Name": "Engine", "Version": host.version, "Details": {**api, **machine}}],
        "Version": host.version,
        **api,
        **machine,
    }


def info(world: World) -> dict[str, Any]:
    """Build ``/info``."""
    host = world.host
    states = [container.state for container in world.containers.values()]
    return {
        "ID": hashlib.sha256(host.name.encode()).hexdigest()[:32],
        "Containers": len(states),
        "ContainersRunning": states.count("running"),
        "ContainersPaused": states.count("paused"),
        "ContainersStopped": states.count("exited") + states.count("created"),
        "Driver": "overlay2",
        "CgroupDriver": "cgroupfs" if host.cgroup == 1 else "systemd",
        "CgroupVersion": str(host.cgroup),
        "KernelVersion": platform.release(),
        "OperatingSystem": "Simulated Linux",
        "OSType": "linux",
        "Architecture": "x86_64",
        "NCPU": host.cpus,
        "MemTotal": host.memory,
        "Name": host.name,
        "Labels": [],
        "ServerVersion": host.version,
    }
