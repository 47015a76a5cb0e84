"""Lines into packets: whole lines, as many as fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def encoded(text: str) -> bytes:
    """UTF-8; half a character, which only a broken text has, is written as its number."""
    return text.encode("utf-8", "backslashreplace")


def packets(units: Iterable[bytes], size: int) -> Iterator[tuple[bytes, int]]:
    """Packets of at most ``size`` bytes, each with the number of its lines.

    A unit is a line, or lines that belong together; it is never cut, and one that is longer is a packet of its own.
    Lines are joined by newlines, without one at the end.
    """
    current: list[bytes] = []
    room = size + 1
    for unit in units:
        if len(unit) + 1 > room and current:
            yield _packet(current)
            current, room = [], size + 1
        current.append(unit)
        room -= len(unit) + 1
    if current:
        yield _packet(current)


def _packet(units: Sequence[bytes]) -> tuple[bytes, int]:
    packet = b"\n".join(units)
    return packet, packet.count(b"\n") + 1


def packed(head: str, tail: str, values: Iterable[str], size: int) -> Iterator[str]:
    """Lines of several values, ``head`` + ``1:2:3`` + ``tail``, of at most ``size`` bytes."""
    bare = len(encoded(head + tail)) - 1
    current: list[str] = []
    length = bare
    for value in values:
        if current and length + 1 + len(value) > size:
            yield f"{head}{':'.join(current)}{tail}"
            current, length = [], bare
        current.append(value)
        length += 1 + len(value)
    if current:
        yield f"{head}{':'.join(current)}{tail}"
