"""A writer at full speed, and readers that know a torn value: every byte of a value is the same one.

::

    python mmstorm.py write FOLDER            writes until its stdin ends, then prints how many rounds it was
    python mmstorm.py read PATH SECONDS       reads, then prints a JSON object: how often, and what was torn
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time

from statspout.client.mmap import (
    BaseMmStats,
    CounterField,
    DoubleField,
    FloatField,
    MmStatsReader,
    StringField,
    UInt64Field,
    UIntField,
    UShortField,
)  # fmt: skip

STEPS = 119
"""Rounds until the values come again: no multiple of two, so that each comes in either buffer."""

LONG = 60_000
"""Bytes of a text that takes so long to copy that it is written meanwhile: who only copies sees it torn."""

# Of 24 whole numbers one after the other some stand across the edge of what a processor moves at once.
_WIDE = {f"wide{n}": UInt64Field("w" * (n + 1)) for n in range(24)}
_FIELDS = {
    "count": CounterField(), **_WIDE, "double": DoubleField(), "uint": UIntField(), "ushort": UShortField(),
    "float_": FloatField(label="float"), "text": StringField(size=255), "long": StringField(size=LONG),
}  # fmt: skip
Storm = type("Storm", (BaseMmStats,), _FIELDS)


def values(step: int) -> dict[str, object]:
    """What all fields but the counter are set to in a round, by the name of the attribute."""
    byte = step % STEPS + 1  # up to 119, which is no NaN, and one character of ASCII
    one = bytes([byte])
    return {
        **dict.fromkeys(_WIDE, int.from_bytes(one * 8)), "double": struct.unpack("d", one * 8)[0],
        "uint": int.from_bytes(one * 4), "ushort": int.from_bytes(one * 2), "float_": struct.unpack("f", one * 4)[0],
        "text": chr(byte) * 255, "long": chr(byte) * LONG,
    }  # fmt: skip


def told(what: object) -> None:
    """A line on stdout."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def write(folder: str) -> None:
    """Write all fields, as often as can be."""
    stats = Storm(path=folder, filename="storm.mmstats")
    rounds = [list(values(step).items()) for step in range(STEPS)]
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    told(stats.filename)
    done, hot = 0, stats.count.incr
    while not over.is_set():
        for name, value in rounds[done % STEPS]:
            setattr(stats, name, value)
        for _ in range(100):
            hot()
        done += 1
    told(done)


def torn(value: object) -> bool:
    """Whether a value is of two writes."""
    if isinstance(value, str):
        return len(set(value)) > 1 or len(value) not in (0, 255, LONG)
    if isinstance(value, float):
        return len(set(struct.pack("d", value))) > 1 and len(set(struct.pack("f", value))) > 1
    size = 8 if value >= 2**32 else 4 if value >= 2**16 else 2  # type: ignore[operator]  # no field is a bool
    return len(set(value.to_bytes(size))) > 1  # type: ignore[attr-defined]


def read(path: str, seconds: float) -> None:
    """Read it for so long."""
    until, reads, last, wrong, seen = time.monotonic() + seconds, 0, 0, [], set()
    while time.monotonic() < until:
        for label, value in MmStatsReader.from_file(path):
            if label == "count":
                if int(value) < last:
                    wrong.append([label, last, value])
                last = int(value)
            elif torn(value):
                wrong.append([label, str(value)])
            elif label == "uint":
                seen.add(value)
        reads += 1
    told(json.dumps({"reads": reads, "count": last, "different": len(seen), "wrong": wrong[:10]}))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2])
    else:
        read(sys.argv[2], float(sys.argv[3]))
