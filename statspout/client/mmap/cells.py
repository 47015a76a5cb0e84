"""The fields of one thread: each has its values in the thread's file, and what it needs to work out the next one.

A value is stored in the buffer that is written next, then the byte that says which one that is: two stores to memory.
Between them, and what is kept here, no other code of Python can run where there is one interpreter lock: neither
signal handlers nor other threads lose a value, though a thread is to use the fields of its own.

``values`` and ``flag`` are the file's memory, or what stands for it while there is none: before the first use in a
child, where a store makes the file, and after the statistics were removed, where it is an error.
"""

from __future__ import annotations

import warnings
from mmap import mmap
from struct import calcsize
from typing import Any, Protocol

from statspout.client.mmap.layout import Column

INFINITY = float("inf")
_LARGEST_FLOAT = float.fromhex("0x1.ffffffp+127")
"""The least number that no float of 32 bits is near to."""

_WRAPS = 2**64


class Opener(Protocol):
    """Who makes the file of a cell."""

    def open(self) -> bool:
        """Have the file, and bind all of its cells. False to a signal handler that comes while that is done."""


class _Unborn:
    """Stands for the values of a cell without a file: to use them makes it."""

    def __init__(self, cell: Cell, opener: Opener) -> None:
        self._cell = cell
        self._opener = opener

    def __setitem__(self, place: Any, value: Any) -> None:
        if self._opener.open():
            self._cell.values[place] = value

    def __getitem__(self, place: Any) -> Any:
        return self._cell.values[place] if self._opener.open() else 0


class _NoFile(Exception):
    """There is none yet: whoever counts has to begin again when there is one."""


class _Uncounted:
    """Stands for the values of a counter without a file."""

    def __setitem__(self, place: Any, value: Any) -> None:
        raise _NoFile

    def __getitem__(self, place: Any) -> Any:
        raise _NoFile


class _Removed:
    """Stands for the values of a cell whose file was removed."""

    def __init__(self, label: str) -> None:
        self._label = label

    def __setitem__(self, place: Any, value: Any) -> None:
        raise KeyError(f"{self._label}: these statistics were removed")

    def __getitem__(self, place: Any) -> Any:
        raise KeyError(f"{self._label}: these statistics were removed")


class Cell:
    """A field of one thread. ``next`` is the buffer that is written next, 0 for ever where there is only one."""

    __slots__ = ("__weakref__", "_opener", "buffered", "code", "flag", "label", "next", "values")

    values: Any
    flag: Any

    def __init__(self, column: Column, opener: Opener) -> None:
        self.label = column.label
        self.code = column.type
        self.buffered = column.buffered
        self._opener = opener
        self.unbind()

    def bind(self, memory: mmap, at: int) -> None:
        """Have its values in this memory, the byte of its write buffer at ``at``."""
        view = memoryview(memory)
        size = calcsize(self.code) * (2 if self.buffered else 1)
        self.flag = view[at : at + 1] if self.buffered else bytearray(1)
        self.values = self._cast(view[at + 1 : at + 1 + size])

    def unbind(self) -> None:
        """Begin anew, without a file until the next use."""
        self.next = 0
        self.flag = bytearray(1)
        self.values = _Unborn(self, self._opener)

    def remove(self) -> None:
        """End: each use is a KeyError from now on."""
        self.values = _Removed(self.label)

    def _cast(self, view: memoryview) -> Any:
        return view.cast(self.code)  # type: ignore[call-overload]  # any code of struct: a field has no other

    def refused(self, value: object, error: Exception) -> Exception:
        """The error for a value that the field cannot have."""
        shown = repr(value)[:40]
        if isinstance(error, TypeError):
            return TypeError(f"{self.label}: {shown} is of type {type(value).__name__}: {_RIGHT[self.code]} is right")
        return ValueError(f"{self.label}: {shown} is out of range: {_RIGHT[self.code]} is right")


def _whole(bits: int, signed: bool) -> str:
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return f"a whole number from {least} to {most}"


_RIGHT = {
    **{code: _whole(8 * calcsize(f"={code}"), code.islower()) for code in "bhiqBHIQ"},
    "f": "a number of up to 3.4e38",
    "d": "a number",
    "?": "True or False",
}


class Number(Cell):
    """A number that is set and read."""

    __slots__ = ()

    def get(self) -> Any:
        """Its value."""
        return self.values[self.next ^ 1]

    def set(self, value: Any) -> None:
        """Have this value; TypeError or ValueError for one that the field cannot have."""
        try:
            buffer = self.next
            self.values[buffer] = value
            self.flag[0] = self.next = buffer ^ 1
        except (TypeError, ValueError, OverflowError) as error:
            raise self.refused(value, error) from None


class Float(Number):
    """A number of 32 bits: too large a one would be infinite."""

    __slots__ = ()

    def set(self, value: Any) -> None:
        """As of any number."""
        try:
            if _LARGEST_FLOAT <= abs(value) < INFINITY:
                raise self.refused(value, ValueError())
        except TypeError as error:
            raise self.refused(value, error) from None
        super().set(value)


class Single(Number):
    """A number of one buffer, which is one byte long or never changes."""

    __slots__ = ()

    def get(self) -> Any:
        """Its value."""
        return self.values[0]

    def set(self, value: Any) -> None:
        """As of any number."""
        try:
            self.values[0] = value
        except (TypeError, ValueError, OverflowError) as error:
            raise self.refused(value, error) from None


class Text(Cell):
    """A text, of as many bytes as the field has: a longer one is cut between two characters."""

    __slots__ = ("_size",)

    def __init__(self, column: Column, opener: Opener) -> None:
        self._size = calcsize(column.type)
        super().__init__(column, opener)

    def _cast(self, view: memoryview) -> Any:
        return view

    def get(self) -> str:
        """Its value."""
        start = (self.next ^ 1) * self._size if self.buffered else 0
        return bytes(self.values[start : start + self._size]).partition(b"\0")[0].decode("utf-8", "ignore")

    def set(self, value: str | bytes) -> None:
        """Have this value; TypeError for what is no text, ValueError for one with a NUL, or that is no UTF-8."""
        data = text_bytes(self.label, value, self._size)
        start = self.next * self._size
        self.values[start : start + self._size] = data.ljust(self._size, b"\0")
        self.flag[0] = self.next = self.next ^ self.buffered


def text_bytes(label: str, value: str | bytes, size: int) -> bytes:
    """The text as it stands in a file, cut between two characters; as :meth:`Text.set` otherwise."""
    try:
        data = value.encode() if isinstance(value, str) else bytes(memoryview(value))
        data.decode()
    except UnicodeError:
        raise ValueError(f"{label}: {value!r:.40} is no UTF-8") from None
    except TypeError:
        raise TypeError(f"{label}: {value!r:.40} is of type {type(value).__name__}: a text is right") from None
    if 0 in data:
        raise ValueError(f"{label}: {value!r:.40} has a NUL, where a text would end")
    return data if len(data) <= size else data[:size].decode("utf-8", "ignore").encode()


class Counter(Cell):
    """Counts: ``incr``; past 2**64 - 1 it begins at 0 again, as 64 bits do."""

    __slots__ = ("_value",)

    def __init__(self, column: Column, opener: Opener) -> None:
        self._value = 0
        super().__init__(column, opener)

    def bind(self, memory: mmap, at: int) -> None:
        """As of any field; what a signal handler has counted meanwhile is there at once."""
        super().bind(memory, at)
        if self._value:
            self.value = self._value

    def unbind(self) -> None:
        """Begin anew."""
        self.take()

    def take(self) -> int:
        """What was counted, as the last that is known of it: who counts on begins at 0, and in another file."""
        flag, values = bytearray(1), _Uncounted()
        # No call from here on, as in `incr`.
        value = self._value
        self._value = self.next = 0
        self.flag, self.values = flag, values
        return value

    def incr(self, amount: int = 1) -> None:
        """Add to it. TypeError for what is no whole number, ValueError for what would make it less than 0."""
        try:
            # No call from here on: what is kept, and what is stored, is one step to whoever comes between.
            value = self._value + amount
            buffer = self.next
            self.values[buffer] = value
            self.flag[0] = self.next = buffer ^ 1
            self._value = value
        except _NoFile:
            self._incr_first(amount)
        except (TypeError, ValueError) as error:
            self._incr_past(amount, error)

    def _incr_first(self, amount: int) -> None:
        if self._opener.open():
            self.incr(amount)  # by then others may have counted
        else:
            self._value += amount

    def _incr_past(self, amount: int, error: Exception) -> None:
        if isinstance(error, TypeError) or self._value + amount < 0:
            raise self.refused(amount, error) from None
        self.value = (self._value + amount) % _WRAPS

    def inc(self, n: int = 1) -> None:
        """The old name of :meth:`incr`."""
        warnings.warn("inc is deprecated: incr is its name", DeprecationWarning, stacklevel=2)
        self.incr(n)

    @property
    def value(self) -> int:
        """What was counted."""
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        try:
            buffer = self.next
            self.values[buffer] = value
            self.flag[0] = self.next = buffer ^ 1
            self._value = value
        except _NoFile:
            if self._opener.open():
                self.value = value
        except (TypeError, ValueError) as error:
            raise self.refused(value, error) from None
