"""Numbers in line protocol: some attributes of a record as the fields of a point."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

LARGEST = 2**63 - 1
"""The largest integer of InfluxDB. It has unsigned ones, too, but not in every release, and no field can be both."""

Values = Callable[[Any], tuple[Any, ...]]
"""Gives the values of a record."""

_encode = msgspec.json.Encoder().encode
_SIGNS = bytes.maketrans(b":;", b"=,")
_JSON_ONLY = b'{}",'
_BETWEEN = "|"
_BETWEEN_WRITTEN = b"|=0i"


def nothing(_: Any) -> tuple[Any, ...]:
    """No values."""
    return ()


def attributes(*names: str) -> Values:
    """The attributes of these names, always as a tuple."""
    if not names:
        return nothing
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda record: (get(record),)


def followed(read: Values, derived: Iterable[Callable[[Any], Any]]) -> Values:
    """What ``read`` gives, and behind it what each of ``derived`` makes of the record."""
    match tuple(derived):
        case ():
            return read
        case (only,):
            return lambda record: (*read(record), only(record))
        case every:
            return lambda record: (*read(record), *[derive(record) for derive in every])


class Fields:
    """Writes numbers as ``,name=1.5,other=2i``: the type is the field's, not the value's.

    ``floats_of`` and ``integers_of`` give the values, in the order of their names. What is None is left out, as is an
    integer that does not fit and a float that is no number. TypeError for what is no number at all.

    A writer of JSON is the quickest way there is to print numbers. From ``{";name":1.5,"|":0,"i;other":2}`` the signs
    of JSON are taken out. The ``i`` of an integer stands before the next name; ``|=0i`` between the kinds goes, too.
    """

    def __init__(
        self, floats: Sequence[str], integers: Sequence[str], floats_of: Values = nothing, integers_of: Values = nothing
    ) -> None:
        names = [*(f";{name}" for name in floats), _BETWEEN, *(f"i;{name}" for name in integers)]
        written = {f"n{number}": name for number, name in enumerate(names)}
        self._object = msgspec.defstruct(
            "Numbers", [(name, Any, None) for name in written], omit_defaults=True, rename=written
        )
        self._floats = floats_of
        self._integers = integers_of

    def __call__(self, record: Any) -> bytes:
        """The fields of ``record``; empty when none is known."""
        floats, integers = self._floats(record), self._integers(record)
        # One look at each sum tells whether a value needs a look of its own.
        if not math.isfinite(sum(filter(None, floats))):
            floats = tuple(value if value is not None and math.isfinite(value) else None for value in floats)
        if sum(filter(None, integers)) > LARGEST:
            integers = tuple(value if value is not None and value <= LARGEST else None for value in integers)
        written = _encode(self._object(*floats, 0, *integers)).translate(_SIGNS, _JSON_ONLY) + b"i"
        return written.replace(_BETWEEN_WRITTEN, b"", 1)
