"""Which collector the settings ask for, and whether it can work here."""

from __future__ import annotations

import os
from typing import NamedTuple

from statspout.errors import ConfigError
from statspout.settings import Settings
from statspout.sources.cgroup.container import Roots
from statspout.sources.cgroup.places import looks_like_root
from statspout.sources.engine.address import Address, UnixAddress

SHORTEST = 1.0
"""Seconds between two requests for the figures of a container: engines collect them once a second."""


class Choice(NamedTuple):
    """``roots`` of the kernel's files, None when they are not to be read; ``insist``: all else is not to be.

    ``why``, when the user left it open and the engine it is.
    """

    roots: Roots | None = None
    insist: bool = False
    why: str = ""


def choice_of(settings: Settings, address: Address | None) -> Choice:
    """What ``--collector`` comes to with the engine at ``address``; ConfigError when it cannot be.

    The simulated engine has no address yet.
    """
    choice = _choice(settings, address)
    if choice.roots is None and settings.interval < SHORTEST:
        raise ConfigError(
            f"--interval: {settings.interval:g} is too small for the engine's figures: 1 or more is right, "
            f"or --collector=cgroup{' where that can be' if choice.why else ''}"
        )
    return choice


def _choice(settings: Settings, address: Address | None) -> Choice:
    if settings.collector == "engine":
        return Choice()
    wrong = _not_local(settings, address)
    if settings.collector == "cgroup":
        if wrong:
            raise ConfigError(f"--collector: cgroup is wrong here: {wrong}: engine is right")
        if unusable := _unusable(settings):
            raise ConfigError(unusable)
        return Choice(_roots(settings), insist=True)
    # A socket proxy on TCP may well be on this machine, but only a user knows that it is.
    if not wrong and not isinstance(address, UnixAddress):
        wrong = "the engine is not at a socket of this machine"
    wrong = wrong or _unusable(settings)
    return Choice(why=wrong) if wrong else Choice(_roots(settings))


def _not_local(settings: Settings, address: Address | None) -> str:
    if settings.demo:
        return "the simulated engine has no containers in the kernel"
    return "the engine is on another machine" if address is not None and address.elsewhere else ""


def _unusable(settings: Settings) -> str:
    """What is wrong with the kernel's file systems as they are here, in the words of a ConfigError."""
    if not looks_like_root(settings.cgroup_root):
        return f"--cgroup.root: {settings.cgroup_root!r} is wrong: there are no cgroups in it"
    if not os.path.exists(f"{settings.proc_root}/stat"):
        return f"--proc.root: {settings.proc_root!r} is wrong: there are no processes in it"
    return ""


def _roots(settings: Settings) -> Roots:
    return Roots(settings.proc_root.rstrip("/"), settings.cgroup_root.rstrip("/"))
