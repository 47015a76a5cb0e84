"""What applications recorded in a Redis, served by the daemon: the HTTP interface of Aka Stats, under ``/api/v1``.

Who is answered, by TLS or not, is the web server's to say, and what is refused is said as everywhere there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from statspout.client.redis.routes import Refused


def redis_routes(url: str, namespace: str, options: Mapping[str, Any] | None = None) -> Sequence[BaseRoute]:
    """The routes for the Redis at ``url``, a ``redis://``, ``rediss://`` or ``unix://``.

    ``options`` are what redis-py opens a client with beside it, such as a password.

    A connection is made when somebody asks, and closed when nobody does any more: there is nothing to open or to close.
    Mount them with ``web.mount(address, redis_routes(url, namespace), "listen.redis-address", "listen.redis")``.
    """
    from statspout.client.redis.asking import AsyncReader
    from statspout.client.redis.keys import Keyspace
    from statspout.client.redis.redis import AsyncRedis
    from statspout.client.redis.routes import Surface, routes
    from statspout.web.application import MOST_BODY_BYTES

    reader = AsyncReader(Keyspace(namespace), AsyncRedis(url, options).kept)
    return routes(Surface(lambda: reader, MOST_BODY_BYTES), _refusal)


def _refusal(refused: Refused) -> Response:
    from statspout.web.application import json_error

    where = f"{' '.join(refused.where)}: " if refused.where else ""
    return json_error(refused.status, f"{where}{refused.text}", refused.headers)
