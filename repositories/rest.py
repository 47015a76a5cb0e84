"""The current values as JSON over HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from statspout import ConfigError, LiveRepository, option
from statspout.shapes import rest_object, to_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

_PATH = re.compile(r"[\w./~!$&'()*+,;=:@-]*")


class Rest(LiveRepository):
    """Serve the current values of all containers at a path, and of one at the path and its name or id."""

    name = "rest"

    path: str = option(default="/stats", help="Where the values are.")

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path):
            raise ConfigError(f"--rest.path: {self.path!r} is wrong: a path such as /stats is right")
        self.path = "/" + self.path.strip("/")
        super().__post_init__()

    def routes(self) -> Sequence[BaseRoute]:
        """``PATH``: an array of objects. ``PATH/NAME``: one object, or 404."""
        from starlette.routing import Route

        return [Route(self.path, self._all), Route(f"{self.path.rstrip('/')}/{{name}}", self._one)]

    async def _all(self, _: Request) -> Response:
        return _json([rest_object(sample) for sample in self.latest.samples()])

    async def _one(self, request: Request) -> Response:
        name = request.path_params["name"]
        sample = self.latest.find(name)
        if sample is None:
            return _json({"error": f"no container {name!r}"}, status=404)
        return _json(rest_object(sample))


def _json(value: object, status: int = 200) -> Response:
    from starlette.responses import Response

    headers = {"Cache-Control": "no-store"}
    return Response(to_json(value), status, headers, media_type="application/json")
