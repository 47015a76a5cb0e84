"""The settings of Redis, held to what they have to be."""

from __future__ import annotations

import re
from typing import Any

from statspout import ConfigError
from statspout.client.redis import addresses
from statspout.client.redis.addresses import Address
from statspout.logs import hide

_PREFIX = re.compile(r"[^;,=\s\\]*")


def address_of(url: str, password: str, tls_ca: str | None, timeout: float) -> tuple[Address, dict[str, Any]]:
    """Where it is, and what a client is opened with. ConfigError when it cannot be; secrets are hidden from logs."""
    try:
        address = addresses.address_of(url)
        hide(address.password)
        hide(password)
        options = addresses.client_options(address, timeout, password, tls_ca)
        addresses.check(address, options)
    except ValueError as error:
        raise ConfigError(f"--redis.url: it is wrong: {error}") from None
    if password and address.password:
        raise ConfigError("--redis.password: there is one in --redis.url too: give one")
    if tls_ca is not None:
        _check_authority(tls_ca, address)
    return address, options


def check_names(namespace: str, prefix: str, stream: str) -> None:
    """ConfigError for a name that cannot be one."""
    for name, text in (("namespace", namespace), ("stream", stream)):
        if not text:
            raise ConfigError(f"--redis.{name}: it is empty: a name such as statspout is right")
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            rf"--redis.prefix: {prefix!r} is wrong: a name without white space and ;,=\ such as statspout is right"
        )


def _check_authority(path: str, address: Address) -> None:
    if not address.secure:
        raise ConfigError("--redis.tls-ca: it has no effect without TLS: a URL with rediss:// is right")
    try:
        addresses.check_authority(path)
    except ValueError as error:
        raise ConfigError(f"--redis.tls-ca: {error}") from None
