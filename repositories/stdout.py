"""One line for each sample, on standard output."""

from __future__ import annotations

import dataclasses
import math
import select
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

from statspout import Closed, ContainerSample, Repository, Sample, option
from statspout.shapes import rest_object, to_json

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Stdout(Repository):
    """Write a line for each sample on standard output, for people or, as JSON, for programs.

    ``stream`` replaces standard output: anything that writes bytes.
    """

    name = "stdout"
    flush_interval = 0.2

    format: Literal["text", "json"] = option(default="text", help="Lines for people, or one JSON object a line.")
    stream: Any = dataclasses.field(default=None, repr=False)

    _owed = b""
    """The end of a line whose beginning was written."""

    def push(self, batch: Sequence[Sample]) -> None:
        """Write the lines of ``batch`` at once; Closed when nobody will read them any more."""
        line = _text_line if self.format == "text" else _json_line
        self._write(b"".join([line(sample) for sample in batch if isinstance(sample, ContainerSample)]))

    def _write(self, data: bytes) -> None:
        """Write all of it. After an error the next write begins with what is missing of the line cut in two."""
        owed, data = self._owed, self._owed + data
        done = 0
        try:
            out = _unbuffered(sys.stdout if self.stream is None else self.stream)
            while done < len(data):
                done += _written(out, data[done:])
        except BrokenPipeError:
            raise Closed("standard output was closed by its reader") from None
        except OSError:
            self._owed = owed[done:] or _rest_of_line(data, done)
            raise
        self._owed = b""


def _unbuffered(stream: Any) -> Any:
    """The stream beneath the buffers, where what was written is known to the byte."""
    if stream is None or stream.closed:
        raise Closed("there is no standard output")
    stream.flush()
    stream = getattr(stream, "buffer", stream)
    return getattr(stream, "raw", stream)


def _written(out: Any, data: bytes) -> int:
    """How many bytes ``out`` took, at least one; a non-blocking one that is full is waited for."""
    while not (count := out.write(data)):
        poll = select.poll()
        poll.register(out, select.POLLOUT)
        poll.poll()
    return int(count)


def _rest_of_line(data: bytes, done: int) -> bytes:
    if done == 0 or data[done - 1 : done] == b"\n":
        return b""
    return data[done : data.index(b"\n", done) + 1]


def _json_line(sample: ContainerSample) -> bytes:
    return to_json(rest_object(sample)) + b"\n"


def _text_line(sample: ContainerSample) -> bytes:
    cpu, memory = _percent(sample.cpu_percent), _percent(sample.mem_percent)
    usage, tx, rx = (_count(value) for value in (sample.mem_usage, sample.tx_bytes, sample.rx_bytes))
    name, when = _printable(sample.container.name), _clock(sample.time_ns)
    return f"[{name}] {{{when}}} CPU: {cpu}, MEM: {memory} [{usage} B] Tx/Rx: {tx}/{rx}\n".encode()


def _percent(value: float | None) -> str:
    return "--" if value is None or not math.isfinite(value) else f"{value:.2f}%"


def _count(value: int | None) -> str:
    return "--" if value is None else str(value)


def _clock(time_ns: int) -> str:
    t = time.gmtime(time_ns // 1_000_000_000)
    # Not strftime, whose month names follow the locale.
    month = _MONTHS[t.tm_mon - 1]
    return f"{t.tm_mday:02} {month} {t.tm_year % 100:02} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} UTC"


def _printable(name: str) -> str:
    """The name without what would break the line or command the terminal."""
    if name.isprintable():
        return name
    return "".join([c if c.isprintable() else c.encode("unicode_escape").decode() for c in name])
