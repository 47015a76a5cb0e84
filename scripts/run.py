"""What ``make run`` runs: the real engine's containers if there are any, else the simulated ones. Says which.

Whoever says in arguments or variables which engine to use, gets that one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from statspout.errors import StatspoutError
from statspout.logs import counted
from statspout.settings import Settings
from statspout.sources.engine.client import EngineClient
from statspout.sources.engine.endpoint import Endpoint, endpoint_of

FLAGS = ("--demo", "--config", "--mode", "--socket.", "--http.", "--docker.", "--help", "--version")
OURS = ("DEMO", "CONFIG", "MODE", "SOCKET_", "HTTP_", "DOCKER_")
VARIABLES = (*(f"STATSPOUT_{name}" for name in OURS), "DOCKER_HOST", "DOCKER_CONTEXT")
"""Beginnings of the names that choose an engine."""


async def running(endpoint: Endpoint) -> int:
    """How many containers the engine there runs; StatspoutError when it does not answer."""
    client = EngineClient(endpoint.address)
    try:
        await client.negotiate()
        return len(await client.list_running())
    finally:
        client.close()


def chosen(arguments: list[str]) -> bool:
    """Whether the user has said which engine to use, or wants something else than a run."""
    flags = tuple(f"-{flag}" if flag.startswith("-") and not flag.startswith("--") else flag for flag in arguments)
    return (
        any(variable.startswith(VARIABLES) for variable, value in os.environ.items() if value)
        or any(flag.startswith(FLAGS) for flag in flags)
        or any(not flag.startswith("-") for flag in flags[:1])
    )


def demo_or_not() -> list[str]:
    """The argument that makes it a demo, if it has to be one; prints why."""
    try:
        endpoint = endpoint_of(Settings(), os.environ)
        count = asyncio.run(running(endpoint))
        why = f"the engine at {endpoint} has {counted(count, 'running container')}"
    except StatspoutError as error:
        count, why = 0, f"no engine answers: {error}"
    print(f"make run: {why}: {'watching' if count else 'showing a simulated engine (--demo)'}", file=sys.stderr)
    return [] if count else ["--demo"]


def main() -> None:
    """Become statspout."""
    program, arguments = str(Path(sys.executable).with_name("statspout")), sys.argv[1:]
    extra = [] if chosen(arguments) else demo_or_not()
    os.execv(program, [program, *arguments, *extra])


if __name__ == "__main__":
    main()
