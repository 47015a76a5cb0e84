"""The current values as JSON over HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from statspout import ConfigError, ContainerSample, LiveRepository, Metric, option
from statspout.shapes import metric_object, rest_object, to_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

_PATH = re.compile(r"[\w./~!$&'()*+,;=:@-]*")


class Rest(LiveRepository):
    """Serve the current values of all containers at a path, and of one at the path and its name or id.

    What applications report is at a path of its own, and that of one name at the path and the name.
    """

    name = "rest"
    accepts: ClassVar[tuple[type, ...]] = (ContainerSample, Metric)

    path: str = option(default="/stats", help="Where the values are.")
    app_path: str = option(default="/app-stats", help="Where the values are that applications report.")

    def __post_init__(self) -> None:
        self.path = _checked(self.path, "rest.path", "/stats")
        self.app_path = _checked(self.app_path, "rest.app-path", "/app-stats")
        if self.app_path == self.path:
            raise ConfigError(f"--rest.app-path: {self.app_path} is --rest.path, too: a path of its own is right")
        super().__post_init__()

    def routes(self) -> Sequence[BaseRoute]:
        """``PATH``: an array of objects. ``PATH/NAME``: one object, or 404; for applications an array, or 404."""
        from starlette.routing import Route

        containers = [Route(self.path, self._all), Route(f"{self.path.rstrip('/')}/{{name}}", self._one)]
        # The name of a metric may have a / in it.
        under = f"{self.app_path.rstrip('/')}/{{name:path}}"
        applications = [Route(self.app_path, self._reported), Route(under, self._reported_as)]
        # Where one path begins with the other, as all do with /, the longer one is no name under the shorter.
        longer = len(self.path) > len(self.app_path)
        return [*containers, *applications] if longer else [*applications, *containers]

    async def _all(self, _: Request) -> Response:
        return _json([rest_object(sample) for sample in self.latest.samples()])

    async def _one(self, request: Request) -> Response:
        name = request.path_params["name"]
        sample = self.latest.find(name)
        if sample is None:
            return _json({"error": f"no container {name!r}"}, status=404)
        return _json(rest_object(sample))

    async def _reported(self, _: Request) -> Response:
        return _json([metric_object(series.metric) for series in self.reported.series()])

    async def _reported_as(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = self.reported.find(name)
        if not found:
            return _json({"error": f"no metric {name!r}"}, status=404)
        return _json([metric_object(series.metric) for series in found])


def _checked(path: str, setting: str, example: str) -> str:
    """``path`` with one slash before it and none behind."""
    if not _PATH.fullmatch(path):
        raise ConfigError(f"--{setting}: {path!r} is wrong: a path such as {example} is right")
    return "/" + path.strip("/")


def _json(value: object, status: int = 200) -> Response:
    from starlette.responses import Response

    headers = {"Cache-Control": "no-store"}
    return Response(to_json(value), status, headers, media_type="application/json")
