"""Statistics files laid out by hand from the table of format version 1, without the code under test."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

PAGE = 4096


class Laid(NamedTuple):
    """A field by hand: its write buffer, and its one value or its two, as bytes or as what ``struct`` packs."""

    label: bytes
    code: str
    buffer: int
    values: tuple[object, ...]


def laid(fields: Iterable[Laid], mark: str = "<", *, page: bool = True) -> bytes:
    """The file, in the byte order of ``mark``; without ``page`` it ends behind its last field."""
    data = b"\1"
    for label, code, buffer, values in fields:
        data += struct.pack(mark + "H", len(label)) + label + struct.pack(mark + "H", len(code)) + code.encode()
        data += bytes([buffer])
        data += b"".join(struct.pack((mark if not code.endswith("s") else "") + code, value) for value in values)
    return data + bytes(-len(data) % PAGE) if page else data


EVERY = [
    Laid(b"counter", "Q", 1, (2**64 - 1, 7)),
    Laid(b"initial", "Q", 0, (0, 0)),
    Laid(b"wrapped", "Q", 0, (2**64 - 1, 0)),
    Laid(b"long", "q", 1, (-(2**63), 1)),
    Laid(b"uint", "I", 0, (1, 2**32 - 1)),
    Laid(b"int", "i", 1, (-(2**31), 1)),
    Laid(b"ushort", "H", 0, (1, 65535)),
    Laid(b"short", "h", 0, (1, -32768)),
    Laid(b"ubyte", "B", 0xFF, (255,)),
    Laid(b"byte", "b", 0xFF, (-128,)),
    Laid(b"double", "d", 1, (8.833333333333334, 0.0)),
    Laid(b"float", "f", 0, (0.0, 0.5)),
    Laid(b"infinite", "d", 0xFF, (float("-inf"),)),
    Laid(b"bool", "?", 0xFF, (True,)),
    Laid(b"text", "9s", 0xFF, (b"hi\0lo",)),
    Laid(b"whole", "5s", 0xFF, (b"hello",)),
    Laid(b"cut", "4s", 0xFF, ("a\u2764".encode()[:3],)),
    Laid(b"two texts", "8s", 1, ("\u2764\u2764".encode(), b"old")),
    Laid("L\u00e4nge \u2764".encode(), "q", 0xFF, (5,)),
]
"""Every type that the original's writers have, buffered and not."""

VALUES = [
    ("counter", 2**64 - 1), ("initial", 0), ("wrapped", 0), ("long", -(2**63)), ("uint", 2**32 - 1), ("int", -(2**31)),
    ("ushort", 65535), ("short", -32768), ("ubyte", 255), ("byte", -128), ("double", 8.833333333333334), ("float", 0.5),
    ("infinite", float("-inf")), ("bool", True), ("text", "hi"), ("whole", "hello"), ("cut", "a"),
    ("two texts", "\u2764\u2764"), ("L\u00e4nge \u2764", 5),
]  # fmt: skip
"""What a reader shows of :data:`EVERY`."""
