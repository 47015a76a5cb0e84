"""What the environment says of a client: where the server is, and how it is written to.

``STATSPOUT_CLIENT_STATSD`` goes before ``FLUX_FRIPP_STATSD``, and that before what DogStatsD's clients read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from statspout.client.addresses import PORT, Address, parse
from statspout.client.dialects import DIALECTS
from statspout.client.losses import say_once

ADDRESSES = ("STATSPOUT_CLIENT_STATSD", "FLUX_FRIPP_STATSD")
DIALECT = "STATSPOUT_CLIENT_DIALECT"
RANK = "FLUX_TASK_RANK"

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
# In Flux it is brubeck or the first StatsD server of all: what the second is sent, both take.
_DIALECTS = {"DD": "dogstatsd", "FLUX": "etsy"}
# In the order of DogStatsD's own clients.
_TAGS = {
    "DD_ENTITY_ID": "dd.internal.entity_id",
    "DD_ENV": "env",
    "DD_SERVICE": "service",
    "DD_VERSION": "version",
}


class Place(NamedTuple):
    """Where the server is; None where nothing is to be sent. ``dialect`` is what that kind of setting implies."""

    address: Address | None
    dialect: str


def place(environ: Mapping[str, str]) -> Place:
    """What it says. A mistake in it is said once in the log, and nothing is sent: an application cannot mend it."""
    name, text, port = _place(environ)
    try:
        address = parse(text, port) if name else None
    except ValueError as error:
        say_once(f"{name} parse error: {error}; nothing is sent")
        address = None
    return Place(address, _DIALECTS.get(name.partition("_")[0], "statspout"))


def container(environ: Mapping[str, str]) -> str:
    """The container of this process, as :mod:`statspout.client.container` says it; empty where nobody is to be told."""
    if environ.get("DD_ORIGIN_DETECTION_ENABLED", "").lower() in _FALSE:
        return ""
    from statspout.client.container import container_id  # what it loads, who is off does without

    return container_id()


def dialect(environ: Mapping[str, str]) -> str | None:
    """The dialect that it names, or ``""``. One that there is not is said once in the log, and is None."""
    name = environ.get(DIALECT, "")
    if not name or name in DIALECTS:
        return name
    say_once(f"{DIALECT}: no such dialect {name!r}: there are {', '.join(DIALECTS)}; nothing is sent")
    return None


def constant_tags(environ: Mapping[str, str]) -> dict[str, str]:
    """The tags that DogStatsD's clients put on everything."""
    return {tag: environ[name] for name, tag in _TAGS.items() if environ.get(name)}


def _place(environ: Mapping[str, str]) -> tuple[str, str, int | None]:
    """The variable that says where the server is, the address, and the port of an address without one; or empty."""
    for name in ADDRESSES:
        if name in environ:
            # Ours is empty to switch off; in flux that is a mistake.
            return (name, environ[name], None) if environ[name] or name != ADDRESSES[0] else ("", "", None)
    if environ.get("DD_DOGSTATSD_DISABLE", "").lower() in _TRUE:
        return "", "", None
    if url := environ.get("DD_DOGSTATSD_URL"):
        return "DD_DOGSTATSD_URL", url, PORT
    host, port = environ.get("DD_AGENT_HOST"), environ.get("DD_DOGSTATSD_PORT")
    if not host and not port:
        return "", "", None
    host = host or "localhost"
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return "DD_AGENT_HOST" if port is None else "DD_DOGSTATSD_PORT", f"{bracketed}:{port or PORT}", None
