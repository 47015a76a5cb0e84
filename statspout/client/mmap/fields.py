"""The fields of a model: what it declares, and how an attribute of it behaves.

A field has a label, which is the attribute's name unless it is given, and the type that is in the file. What a thread
has of it is a cell (:mod:`statspout.client.mmap.cells`), in the thread's own dictionary of the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from struct import error as struct_error
from struct import pack
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self, TypeVar, overload

from statspout.client.mmap.cells import Cell, Counter, Float, Number, Opener, Single, Text, text_bytes
from statspout.client.mmap.layout import Column
from statspout.client.mmap.means import Average, MovingAverage, Timer, Timing

if TYPE_CHECKING:
    from statspout.client.mmap.model import BaseMmStats

T = TypeVar("T")

_TEXT = 256
"""Bytes of a text that never changes."""


class Field:
    """One field of a model. ``folded``: it has its place in the file of the threads that have ended, too."""

    code: str
    buffered: ClassVar[bool] = True
    folded: ClassVar[bool] = False
    kind: ClassVar[type[Cell]] = Number

    def __init__(self, label: str | None = None) -> None:
        self.label = label
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def described(self, prefix: str) -> Column:
        """The field without its value."""
        return Column(prefix + (self.name if self.label is None else self.label), self.code, self.buffered)

    def column(self, prefix: str, *, ended: bool = False) -> Column:  # noqa: ARG002 - for a field that tells the thread
        """The field as it is written into a new file; ``ended``: into that of the threads that have ended."""
        return self.described(prefix)._replace(initial=self.initial())

    def initial(self) -> bytes:
        """Its value in a new file; empty is all zeros."""
        return b""

    def cell(self, prefix: str, opener: Opener) -> Cell:
        """What a thread has of it."""
        return self.kind(self.described(prefix), opener)

    def of(self, model: BaseMmStats) -> Any:
        """The cell that this thread has of it. KeyError when the model's statistics were removed."""
        try:
            return model.__dict__[self.name]
        except KeyError:
            raise self.gone() from None

    def gone(self) -> KeyError:
        """The error for a field whose file was removed."""
        return KeyError(f"{self.name}: these statistics were removed")


class _Object(Field, Generic[T]):
    """A field whose attribute is an object with methods, of type T: nothing can be assigned to it."""

    how: ClassVar[str]

    @overload
    def __get__(self, model: None, owner: type) -> Self: ...
    @overload
    def __get__(self, model: BaseMmStats, owner: type) -> T: ...
    def __get__(self, model: BaseMmStats | None, owner: type) -> Self | T:
        if model is None:
            return self
        try:
            cell: T = model.__dict__[self.name]  # as `of` has it, without a call for each increment
        except KeyError:
            raise self.gone() from None
        return cell

    def __set__(self, model: BaseMmStats, value: NoReturn) -> None:
        raise AttributeError(f"{self.name} cannot be assigned to: {self.name}.{self.how} is right")


class CounterField(_Object[Counter]):
    """Counts: ``stats.requests.incr()``, ``.incr(5)``, ``.value``. 64 bits, without a sign."""

    code = "Q"
    folded = True
    kind = Counter
    how = "incr()"


class AverageField(_Object[Average]):
    """The mean of all that was added: ``stats.size.add(120)``, ``.value``."""

    code = "d"
    kind = Average
    how = "add(...)"


class MovingAverageField(_Object[MovingAverage]):
    """The mean of the last ``size`` that were added: ``stats.size.add(120)``, ``.value``."""

    code = "d"
    how = "add(...)"

    def __init__(self, label: str | None = None, size: int = 100) -> None:
        super().__init__(label)
        if size < 1:
            raise ValueError(f"size {size}: 1 and more are right")
        self.size = size

    def cell(self, prefix: str, opener: Opener) -> Cell:
        """As of any field."""
        return MovingAverage(self.described(prefix), opener, self.size)


class TimerField(_Object[Timing]):
    """The mean of the last ``size`` durations, in seconds: ``with stats.work as timing:``, ``.value``, ``.last``.

    ``timer`` gives the seconds of a moment; the clock is one that nobody sets.
    """

    code = "d"
    how = "start()"

    def __init__(
        self, label: str | None = None, size: int = 100, timer: Callable[[], float] = time.perf_counter
    ) -> None:
        super().__init__(label)
        if size < 1:
            raise ValueError(f"size {size}: 1 and more are right")
        self.size = size
        self.timer = timer

    def cell(self, prefix: str, opener: Opener) -> Cell:
        """As of any field."""
        return Timer(self.described(prefix), opener, self.size, self.timer)

    @overload
    def __get__(self, model: None, owner: type) -> Self: ...
    @overload
    def __get__(self, model: BaseMmStats, owner: type) -> Timing: ...
    def __get__(self, model: BaseMmStats | None, owner: type) -> Self | Timing:
        """A measurement that is to begin."""
        return self if model is None else Timing(self.of(model))


class _Number(Field, Generic[T]):
    """A field whose attribute is its value, of type T, read and set."""

    @overload
    def __get__(self, model: None, owner: type) -> Self: ...
    @overload
    def __get__(self, model: BaseMmStats, owner: type) -> T: ...
    def __get__(self, model: BaseMmStats | None, owner: type) -> Self | T:
        if model is None:
            return self
        value: T = self.of(model).get()
        return value

    def __set__(self, model: BaseMmStats, value: T) -> None:
        self.of(model).set(value)


class UInt64Field(_Number[int]):
    """0 to 2**64 - 1."""

    code = "Q"


class UIntField(_Number[int]):
    """0 to 2**32 - 1."""

    code = "I"


class IntField(_Number[int]):
    """-2**31 to 2**31 - 1."""

    code = "i"


class UShortField(_Number[int]):
    """0 to 65,535."""

    code = "H"


class ShortField(_Number[int]):
    """-32,768 to 32,767."""

    code = "h"


class ByteField(_Number[int]):
    """-128 to 127."""

    code = "b"
    buffered = False
    kind = Single


class FloatField(_Number[float]):
    """A number of 32 bits, which keeps seven digits."""

    code = "f"
    kind = Float


class DoubleField(_Number[float]):
    """A number of 64 bits; NaN and infinity are stored as they are."""

    code = "d"


class BoolField(_Number[bool]):
    """True or False; whatever is true is stored as True."""

    code = "?"
    buffered = False
    kind = Single

    def __init__(self, label: str | None = None, initial: bool = False) -> None:
        super().__init__(label)
        self._initial = b"\1" if initial else b""

    def initial(self) -> bytes:
        """As it was declared."""
        return self._initial


class StringField(_Number[str]):
    """A text of ``size`` bytes of UTF-8; a longer one is cut between two characters.

    It has two buffers, unlike the original's: no reader sees half of one.
    """

    kind = Text

    def __init__(self, label: str | None = None, size: int = 255) -> None:
        super().__init__(label)
        if size < 1:
            raise ValueError(f"size {size}: 1 and more are right")
        self.code = f"{size}s"


class _Static(Field, Generic[T]):
    """A field whose value, of type T, is there when its file is, and never changes: or what a function returns then."""

    buffered = False
    folded = True
    kind: ClassVar[type[Cell]] = Single

    def __init__(self, label: str | None = None, value: T | Callable[[], T] | None = None) -> None:
        super().__init__(label)
        if value is None:
            raise ValueError("value must be set")
        self._given = value

    @overload
    def __get__(self, model: None, owner: type) -> Self: ...
    @overload
    def __get__(self, model: BaseMmStats, owner: type) -> T: ...
    def __get__(self, model: BaseMmStats | None, owner: type) -> Self | T:
        if model is None:
            return self
        value: T = self.of(model).get()
        return value

    def __set__(self, model: BaseMmStats, value: NoReturn) -> None:
        raise AttributeError(f"{self.name} cannot be assigned to: it is what it was when its file was made")

    def initial(self) -> bytes:
        """Its value, which each file asks for anew: a thread's, or a child's, may be another one."""
        value: Any = self._given() if callable(self._given) else self._given
        return self._bytes(value)

    def _bytes(self, value: Any) -> bytes:
        try:
            return pack(f"={self.code}", value)  # which knows what is too large a float
        except (struct_error, OverflowError) as error:
            raise ValueError(f"{self.label or self.name}: {value!r:.40}: {error}") from None


class StaticFloatField(_Static[float]):
    """A number of 32 bits."""

    code = "f"


class StaticDoubleField(_Static[float]):
    """A number of 64 bits."""

    code = "d"


class StaticUIntField(_Static[int]):
    """0 to 2**32 - 1."""

    code = "I"


class StaticInt64Field(_Static[int]):
    """-2**63 to 2**63 - 1."""

    code = "q"


class StaticUInt64Field(_Static[int]):
    """0 to 2**64 - 1."""

    code = "Q"


class StaticTextField(_Static[str]):
    """A text of up to 256 bytes of UTF-8."""

    code = f"{_TEXT}s"
    kind = Text

    def _bytes(self, value: Any) -> bytes:
        label = self.label or self.name
        data = text_bytes(label, value, 2**31)
        if len(data) > _TEXT:
            raise ValueError(f"{label}: {len(data)} bytes: up to {_TEXT} are right")
        return data
