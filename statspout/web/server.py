"""What is mounted where, and the start and stop of serving it.

Most runs serve nothing: neither starlette nor uvicorn is loaded before the first start with something mounted.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from statspout.errors import ConfigError
from statspout.web import sockets
from statspout.web.access import Access
from statspout.web.address import parse_address, show_address

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from statspout.web.serving import Serving
    from statspout.web.tls import ServedTls

_PARAMETER = re.compile(r"\{[^}]*\}")


class WebServer:
    """Serves the routes of whoever mounts some. Equal addresses share one port, except that port 0 is never shared.

    Settings are whole names such as ``rest.address``. ``access`` and ``tls`` are those of every address. ``refused``
    counts who is not answered, by one of :data:`statspout.telemetry.HTTP_REFUSED`.
    """

    def __init__(
        self, access: Access | None = None, tls: ServedTls | None = None, refused: Counter[str] | None = None
    ) -> None:
        self.access = access or Access()
        self.tls = tls
        self.refused: Counter[str] = Counter() if refused is None else refused
        self._sites: list[_Site] = []

    def mount(
        self,
        address: str,
        routes: Sequence[BaseRoute],
        setting: str,
        owner: str,
        open_paths: Collection[str] = (),
    ) -> None:
        """Serve ``routes`` at ``address``, which ``setting`` gave, for ``owner``, such as a repository's name.

        Those of the ``open_paths`` are for everybody, whatever :attr:`access` says.
        ConfigError when the address is wrong, or another owner has an equal path there.
        """
        host, port = parse_address(address, setting)
        site = next((site for site in self._sites if port and (site.host, site.port) == (host, port)), None)
        if site is None:
            site = _Site(host, port)
            self._sites.append(site)
        site.mount(_Mount(setting, owner, routes, open_paths))

    async def start(self, beside: WebServer | None = None) -> None:
        """Listen everywhere, then serve in the running loop. ConfigError, and nothing is left, when a port is taken.

        The addresses that another serves, ``beside`` this one, stay that one's until :meth:`take_over`.
        """
        own = [site for site in self._sites if beside is None or beside._at(site) is None]
        try:
            for site in own:
                await self._listen(site)
            for site in own:
                await site.serve(self.access, self.tls, self.refused)
        except BaseException:
            await self.stop()
            raise

    def take_over(self, other: WebServer) -> None:
        """Serve where ``other`` does as well: at once, and no connection there is disturbed. What it has left ends."""
        for site in self._sites:
            theirs = other._at(site)
            if theirs is not None and not site.sockets:
                site.sockets, theirs.sockets = theirs.sockets, []
                site.serving, theirs.serving = theirs.serving, None
                site.change(self.access, self.tls)

    def _at(self, other: _Site) -> _Site | None:
        """What is served at the same address as ``other``; a free port is that of the same setting."""
        for site in self._sites:
            alike = (site.host, site.port) == (other.host, other.port)
            if alike and (site.port or site.setting == other.setting):
                return site
        return None

    def is_in_the_way_of(self, other: WebServer) -> bool:
        """Whether both have a port in common, at different addresses: one may take in what the other wants."""
        ours, theirs = ({(site.port, site.host) for site in each._sites if site.port} for each in (self, other))
        return bool({port for port, _ in ours - theirs} & {port for port, _ in theirs - ours})

    @property
    def bound(self) -> list[tuple[str, str, int]]:
        """(setting, host, port) of every mount since :meth:`start`; the host of every interface is ``0.0.0.0``."""
        return [
            (mount.setting, site.host or "0.0.0.0", site.sockets[0].getsockname()[1])  # noqa: S104 - only shown
            for site in self._sites
            if site.sockets
            for mount in site.mounts
        ]

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "https" if self.tls else "http"

    async def stop(self) -> None:
        """Finish what is being answered, for at most two seconds, and close everything. Harmless when not started."""
        for site in self._sites:
            await site.stop()

    async def _listen(self, site: _Site) -> None:
        try:
            site.sockets = await sockets.listen(site.host, site.port)
        except OSError as error:
            raise ConfigError(
                f"--{site.setting}: {site.address} cannot be listened on: {self._remedy(site, error)}"
            ) from error

    def _remedy(self, site: _Site, error: OSError) -> str:
        for other in self._sites:
            if other is not site and other.sockets and other.port == site.port:
                return f"--{other.setting} has that port: the same address, {other.address}, or another port is right"
        return sockets.remedy(error)


@dataclass(frozen=True, slots=True)
class _Mount:
    setting: str
    owner: str
    routes: Sequence[BaseRoute]
    open_paths: Collection[str]

    def paths(self) -> dict[str, str]:
        """Its paths by what they match, whatever their parameters are called."""
        found = [str(getattr(route, "path", "")) for route in self.routes]
        return {_PARAMETER.sub("{}", path): path for path in found}


@dataclass(slots=True)
class _Site:
    """One address and what is mounted there."""

    host: str
    port: int
    mounts: list[_Mount] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    serving: Serving | None = None

    @property
    def address(self) -> str:
        return show_address(self.host, self.port)

    @property
    def setting(self) -> str:
        return self.mounts[0].setting

    def mount(self, mount: _Mount) -> None:
        for other in self.mounts:
            both = mount.paths().keys() & other.paths().keys()
            if both and mount.owner != other.owner:
                raise ConfigError(
                    f"--{other.setting}, --{mount.setting}: {other.owner} and {mount.owner} would both serve "
                    f"{mount.paths()[min(both)]} at {self.address}: another address or path for one of them is right"
                )
        self.mounts.append(mount)

    async def serve(self, access: Access, tls: ServedTls | None, refused: Counter[str]) -> None:
        from statspout.web.serving import Serving

        what = f"--{self.setting}: the server at {self.address}"
        tls_context = tls.context if tls else None
        self.serving = Serving(self.routes, self.sockets, what, access, refused, self.open_paths, tls_context)
        await self.serving.start()

    def change(self, access: Access, tls: ServedTls | None) -> None:
        if self.serving is not None:
            self.serving.change(self.routes, access, self.open_paths, tls.context if tls else None)

    @property
    def routes(self) -> list[BaseRoute]:
        return [route for mount in self.mounts for route in mount.routes]

    @property
    def open_paths(self) -> list[str]:
        return [path for mount in self.mounts for path in mount.open_paths]

    async def stop(self) -> None:
        serving, listening = self.serving, self.sockets
        self.serving, self.sockets = None, []
        if serving is not None:
            await serving.stop()
        sockets.close(listening)
