"""What is recorded: a value with a label, at a time, with a context or none; and what may be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

LABEL_SIZE = 8192
"""Bytes of a label at most."""

Context: TypeAlias = "str | bytes | None"
Plain: TypeAlias = "tuple[float, str, int | float, Context]"

_UNSAFE = str.maketrans({",": "_", ";": "_", "=": "_", " ": "_", "\\": None})


class Record(NamedTuple):
    """One report. ``timestamp`` is in seconds of the Unix epoch; wherever a record is wanted, a plain tuple will do."""

    timestamp: float
    label: str
    value: int | float
    context: Context = None


def number(value: object) -> int | float:
    """The number that it is, or that its text says.

    TypeError for a truth value or what has no number; ValueError for what is not finite, as a double at least.
    """
    if isinstance(value, bool):
        raise TypeError(f"{value} is no number")
    if type(value) is int:
        exact: int | float = value
    else:
        exact = float(value)  # type: ignore[arg-type]  # raises what it should for what has no number
    try:
        if exact * 0.0 == 0:
            return exact
    except OverflowError:
        pass
    raise ValueError(f"{str(value)[:40]} is no finite number")


def label_of(label: object, extra: Mapping[str, object] | None = None) -> str:
    """The label, with ``;k=v,k2=v2`` behind it for what is ``extra``. TypeError or ValueError for what is no label."""
    if not isinstance(label, str) or not label:
        raise TypeError(f"{label!r} is no label: a text that is not empty is right")
    if extra:
        label = f"{label};{','.join(f'{_safe(key)}={_safe(value)}' for key, value in extra.items())}"
    if not label.isascii() or len(label) > LABEL_SIZE:
        size = len(label.encode())  # a surrogate has no bytes: UnicodeEncodeError is a ValueError
        if size > LABEL_SIZE:
            raise ValueError(f"label {label[:40]!r}... of {size} bytes: {LABEL_SIZE} are the most")
    return label


def context_of(context: object, size: int) -> bytes:
    """The bytes of a context, b"" for none; of more than ``size``, the middle is left out, which a line says."""
    if not context:
        return b""
    if isinstance(context, (bytes, bytearray, memoryview)):
        data = bytes(context)
    else:
        data = str(context).encode(errors="backslashreplace")
    if len(data) <= size:
        return data
    half = size // 2
    return b"%b\n[... %d bytes ...]\n%b" % (_begin(data, half), len(data) - 2 * half, _end(data, half))


def hash_context(context: object) -> str:
    """The id of a context: the MD5 of its bytes in hexadecimal, empty for none."""
    return context_id(context_of(context, 1 << 62))


def context_id(data: bytes) -> str:
    """The same, of the bytes as they are stored."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest() if data else ""


def _safe(text: object) -> str:
    return str(text).translate(_UNSAFE)


def _begin(data: bytes, size: int) -> bytes:
    """So many bytes, or a few less, so that no character of UTF-8 is cut."""
    while size and data[size] & 0xC0 == 0x80:
        size -= 1
    return data[:size]


def _end(data: bytes, size: int) -> bytes:
    at = len(data) - size
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at += 1
    return data[at:]
