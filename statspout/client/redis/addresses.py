"""Where a Redis is: a URL, taken apart and held to what it has to be, and how a client of it is opened."""

from __future__ import annotations

import os
import ssl
import stat
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

PORT = 6379
RIGHT = "redis://host:6379/0, rediss://host:6379 or unix:///path is right"


class Address(NamedTuple):
    """A Redis, as ``url`` has it.

    ``where`` says it for people, without credentials; ``place`` is the same for every spelling of one address that is
    certain without looking anything up. ``password`` is empty where the URL has none.
    """

    url: str
    where: str
    place: str
    password: str

    @property
    def secure(self) -> bool:
        """Whether it is TLS."""
        return self.url.startswith("rediss:")


def address_of(url: str) -> Address:
    """The address; ValueError, which shows nothing of it, where it is none."""
    try:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        path, port = unquote(parts.path), parts.port
    except ValueError:
        raise ValueError(RIGHT) from None
    password = query.get("password") or unquote(parts.password or "")
    if parts.scheme == "unix" and path.startswith("/") and not parts.hostname:
        where = place = f"unix://{path}"
        database = query.get("db", "0")
    elif parts.scheme in ("redis", "rediss") and port != 0:
        host = (parts.hostname or "localhost").lower()
        shown = f"[{host}]" if ":" in host else host
        database = query.get("db") or path.strip("/") or "0"
        where = f"{parts.scheme}://{shown}:{port or PORT}"
        place = f"{'127.0.0.1' if host in ('localhost', '::1') else host}:{port or PORT}"
    else:
        raise ValueError(RIGHT)
    if not (database.isascii() and database.isdecimal()):
        raise ValueError(f"the database is a number: {RIGHT}")
    at = "" if int(database) == 0 else f"/{int(database)}"
    return Address(url, f"{where}{at}", f"{place}/{int(database)}", password)


def client_options(address: Address, timeout: float, password: str = "", tls_ca: str | None = None) -> dict[str, Any]:
    """What a client of ``redis`` is opened with beside the URL, but for ``retry``: see :func:`once`."""
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "protocol": 2,  # another one takes another round trip at the beginning
    }
    if not address.url.startswith("unix:"):
        options["socket_connect_timeout"] = timeout
    if password:
        options["password"] = password
    if address.secure:
        options |= {"ssl_check_hostname": True} | ({"ssl_ca_certs": tls_ca} if tls_ca else {})
    return options


def once(module: str = "redis.retry") -> Any:
    """A ``retry`` by which what is sent is sent once; ``module`` is ``redis.asyncio.retry`` for tasks."""
    from importlib import import_module

    from redis.backoff import NoBackoff

    return import_module(module).Retry(NoBackoff(), 0)


def check(address: Address, options: dict[str, Any]) -> None:
    """ValueError when a client cannot be opened so. Nothing is connected; without the library nothing is checked."""
    try:
        import redis
    except ImportError:
        return
    try:
        pool = redis.ConnectionPool.from_url(address.url, **options, retry=once())
        pool.make_connection()  # what it is told is looked at here
    except (TypeError, ValueError, AttributeError, redis.RedisError) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{text.rpartition('() got an ')[2]}: {RIGHT}") from None


def check_authority(path: str) -> None:
    """ValueError unless it is a file of certificates."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is no file")  # another kind may keep its reader waiting for ever
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{path} has no certificate in it: a PEM file is right") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None
