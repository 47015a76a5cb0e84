"""``statspout check``: what would run, and whether the engine is there, without running it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from statspout.config import configure, placed
from statspout.daemon import Daemon
from statspout.errors import SourceError
from statspout.logs import censored
from statspout.options import described
from statspout.repository import Repository, name_of, settings_told


def check(arguments: Sequence[str], classes: Sequence[type[Repository]] = ()) -> int:
    """Print a line for each part; 1 when the engine does not answer. A wrong setting is a ConfigError as ever."""
    config = configure(arguments, os.environ, classes)
    with placed(config.given):
        daemon = Daemon(config.settings, config.repositories)
        if daemon.spools is not None:
            daemon.spools.check()
    print(f"interval      {config.settings.interval:g} s")
    print(f"settings      {described(config.settings, changed=True) or 'as they are by default'}")
    for source in daemon.applications:
        print(f"listen        {source.summary()}")
    for repository in config.repositories:
        print(f"repository    {name_of(repository)}: {settings_told(repository)}")
    for name, reason in sorted(config.registry.broken.items()):
        print(f"unusable      {name}: {reason}")
    for note in config.notes:
        print(f"note          {note}")
    return asyncio.run(_look(daemon))


async def _look(daemon: Daemon) -> int:
    """Print a line for each engine; 1 when one does not answer."""
    code = 0
    async for engine, found in daemon.look():
        if isinstance(found, SourceError):
            code = 1
            where = str(engine.endpoint if engine.endpoint.name else engine.endpoint.address)
            address = str(engine.endpoint.address)
            named = engine.endpoint.name or address not in str(found)
            print(f"engine        {censored(f'{where}: {found}' if named else str(found))}")
        else:
            print(f"engine        {found}")
    return code
