"""What ``make run`` runs: the real engine's containers if there are any, else the simulated ones. Says which."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from statspout.errors import StatspoutError
from statspout.sources.engine.client import EngineClient, unix_address


async def running(path: str) -> int:
    """How many containers the engine at the socket ``path`` runs; StatspoutError when it does not answer."""
    client = EngineClient(unix_address(path, "socket.path"))
    await client.negotiate()
    return len(await client.list_running())


def main() -> None:
    """Become statspout."""
    path = os.environ.get("STATSPOUT_SOCKET_PATH", "/var/run/docker.sock")
    try:
        count = asyncio.run(running(path))
        why = f"the engine at {path} runs {count} containers" if count else f"the engine at {path} runs no container"
    except StatspoutError:
        count, why = 0, f"no engine answers at {path}"
    print(f"make run: {why}: {'watching them' if count else 'showing the simulated engine (--demo)'}", file=sys.stderr)
    program = str(Path(sys.executable).with_name("statspout"))
    os.execv(program, [program, *([] if count else ["--demo"]), *sys.argv[1:]])


if __name__ == "__main__":
    main()
