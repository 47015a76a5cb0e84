"""Lengths of time and amounts of memory as people write them: ``14d``, ``512MiB``."""

from __future__ import annotations

import re

from statspout.errors import ConfigError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES: dict[str, int] = {"": 1, "B": 1, **{f"{prefix}iB": 2 ** (10 * i) for i, prefix in enumerate("KMGT", 1)}}
_BYTES |= {f"{prefix}B": 1000**i for i, prefix in enumerate("KMGT", 1)}


def seconds(text: str, setting: str) -> int:
    """``90s``, ``15m``, ``6h``, ``14d`` or ``2w`` in seconds. ConfigError that names ``setting`` for anything else."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text.strip())
    if found is None or not int(found[1]):
        raise ConfigError(f"--{setting}: {text!r} is wrong: a number and s, m, h, d or w, such as 14d, is right")
    return int(found[1]) * _SECONDS[found[2]]


def amount(text: str, setting: str) -> int:
    """``512MiB``, ``2GB``, ``65536`` in bytes. ConfigError that names ``setting`` for anything else."""
    found = re.fullmatch(r"([0-9]{1,15}) ?([KMGT]?i?B|)", text.strip())
    if found is None or found[2] not in _BYTES or not int(found[1]):
        raise ConfigError(
            f"--{setting}: {text!r} is wrong: bytes, or a number and MiB or GiB, such as 512MiB, is right"
        )
    return int(found[1]) * _BYTES[found[2]]
