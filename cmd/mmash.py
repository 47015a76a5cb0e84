"""``mmash``: serves statistics files over HTTP, as JSON and as live graphs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence

from statspout.cmd.arguments import run
from statspout.logs import setup
from statspout.mmash.settings import Asked, asked

_USAGE = """\
Usage: mmash [OPTIONS]

Serve statistics files in memory: /stats/ and /files/ as JSON, / and /graph/ for
people, until SIGTERM or Ctrl-C.

  --address HOST:PORT         where (127.0.0.1:5002); :5002 is every interface
  --glob PATTERN              the files; by default MMSTATS_GLOB, else *.mmstats in the
                              folder of MMSTATS_PATH, else in that of temporary files
  --web.token-file FILE       answer only who sends: Authorization: Bearer TOKEN
  --web.user NAME             answer only who sends this name and the password, as
  --web.password-file FILE    browsers do: basic authentication
  --web.tls-cert FILE         serve HTTPS, with this certificate and its chain, PEM
  --web.tls-key FILE          the key of that certificate, PEM
  --version                   the version

Each --web.a-b is also the variable STATSPOUT_WEB_A_B. MMASH_SETTINGS names a file
with HOST, PORT and MMSTATS_GLOB, as PORT = 5002; a flag goes before it.

The exit code is 0, 2 when a setting is wrong or the address cannot be had.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; ``argv`` are its arguments without its name."""
    return run("mmash", _USAGE, mmash, argv)


def mmash(arguments: Sequence[str]) -> int:
    """Serve until a signal comes; returns the exit code. A wrong setting is a ConfigError."""
    todo = asked(arguments, os.environ)
    setup("info")
    for note in todo.notes:
        logging.getLogger("statspout").warning("%s", note)
    asyncio.run(_serve(todo))
    return 0


async def _serve(todo: Asked) -> None:
    from statspout.announce import say_what_is_served
    from statspout.mmash.files import Files
    from statspout.mmash.routes import Mmash
    from statspout.web.server import WebServer

    server = WebServer(todo.access, todo.tls)
    server.mount(todo.address, Mmash(Files(todo.glob)).routes(), "address", "mmash")
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    await server.start()
    try:
        say_what_is_served(server)
        await over.wait()
    finally:
        await server.stop()


if __name__ == "__main__":
    raise SystemExit(main())
