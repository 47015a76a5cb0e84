"""Standard output: one line for each sample, or a table of all containers."""

from __future__ import annotations

import dataclasses
import math
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from statspout import Closed, Container, ContainerSample, Metric, Repository, Sample, Summary, option
from statspout.shapes import percent, printable, sample_object, to_json

if TYPE_CHECKING:
    from statspout.terminal.rows import Table
    from statspout.terminal.screen import Screen

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_IDLE = 0.5
"""Seconds without a sample after which a table looks whether it is still right."""

_CALM = 0.4
"""Seconds that a live table stands at least before samples change it."""

_AT_ONCE = 0.1
"""The same before a container that is gone vanishes from it: many may go together."""

_turn = threading.Lock()
"""Whose turn it is to write to standard output. One that a reader keeps waiting may have a successor by now, and there
may be two that were asked for: none is to write within another's line."""


class Stdout(Repository):
    """Write a line for each sample, for people or, as JSON, for programs; or a table of all containers.

    The table is live on a terminal, and elsewhere written once an interval; it has containers only. ``stream`` replaces
    standard output: anything that writes bytes.
    """

    name = "stdout"
    accepts: ClassVar[tuple[type, ...]] = (ContainerSample, Metric)
    flush_interval = 0.2
    push_timeout = math.inf  # a reader may take its time
    spooled = False  # and who reads the next run's output has not missed this one's

    format: Literal["text", "json", "table"] = option(
        default="text", help="Lines for people, one JSON object a line, or a table, live on a terminal."
    )
    sort: Literal["cpu", "mem", "net", "block", "pids", "name"] = option(
        default="cpu", help="What the table is sorted by, the most first."
    )
    stream: Any = dataclasses.field(default=None, repr=False)

    _owed = b""
    """The end of a line, or of a table, whose beginning was written."""

    def __post_init__(self) -> None:
        self._view: _View | None = None
        if self.format == "table":
            # What applications report has no row in it: the books have it as filtered.
            self.accepts = (ContainerSample,)  # type: ignore[misc]  # an instance may take less

    def open(self) -> None:
        """Begin the table, or go on with it after a failure."""
        if self.format == "table" and self._view is None:
            self._view = self._new_view()
            self.idle_interval = _IDLE

    def push(self, batch: Sequence[Sample]) -> None:
        """Write the lines of ``batch`` at once; Closed when nobody will read them any more."""
        if self.format == "table":
            self._put(batch)
            return
        line = _text_line if self.format == "text" else _json_line
        self._write(b"".join([line(sample) for sample in batch]))

    def clear(self, container: Container) -> None:
        """Take a container that is gone out of the table."""
        if self._view is not None:
            self._view.table.drop(container)
            self._view.gone()

    def idle(self) -> None:
        """Bring the table up to date though nothing came."""
        if self._view is not None:
            self._view.idle()

    def close(self) -> None:
        """Write what the table still owes, and leave the terminal as it was."""
        if self._view is not None:
            self._view.close()

    def _put(self, batch: Sequence[Sample]) -> None:
        assert self._view is not None, "open comes before push"
        for sample in batch:
            if isinstance(sample, ContainerSample):
                self._view.table.put(sample)
        self._view.came()

    def _new_view(self) -> _View:
        from statspout.terminal.rows import Table
        from statspout.terminal.screen import Screen, is_interactive

        table = Table(self.interval, self.sort)
        out = _unbuffered(sys.stdout if self.stream is None else self.stream)
        if is_interactive(out):
            return _Live(table, Screen(lambda data: self._write(data, _nothing), out.fileno()))
        return _Plain(table, self._write)

    def _write(self, data: bytes, rest: _Rest | None = None) -> None:
        """Write all of it. After an error the next write begins with what is missing of the line cut in two.

        ``rest`` says what is missing of something else than a line.
        """
        with _turn if self.stream is None else nullcontext():
            owed, data = self._owed, self._owed + data
            done = 0
            try:
                out = _unbuffered(sys.stdout if self.stream is None else self.stream)
                while done < len(data):
                    done += _written(out, data[done:])
            except BrokenPipeError:
                raise Closed("standard output was closed by its reader") from None
            except OSError:
                self._owed = owed[done:] or (rest or _rest_of_line)(data, done)
                raise
            self._owed = b""


_Rest = Callable[[bytes, int], bytes]
"""What must still be written of these bytes when so many of them were."""


def _nothing(_: bytes, __: int) -> bytes:
    """What is drawn again from the start owes nothing."""
    return b""


class _View(Protocol):
    """How a table is shown. ``came`` is called after samples were put, ``gone`` after a container was dropped."""

    table: Table

    def came(self) -> None: ...
    def gone(self) -> None: ...
    def idle(self) -> None: ...
    def close(self) -> None: ...


class _Live:
    """A table that stands on a terminal and changes in place."""

    def __init__(self, table: Table, screen: Screen) -> None:
        self.table = table
        self._screen = screen
        self._drawn = 0.0

    def came(self) -> None:
        self._draw_after(_CALM)

    def gone(self) -> None:
        self._draw_after(_AT_ONCE)

    def idle(self) -> None:
        self._draw()

    def close(self) -> None:
        try:
            if self._drawn:
                self._draw()
        finally:
            self._screen.close()

    def _draw_after(self, seconds: float) -> None:
        # What is left undrawn is drawn by the next sample, or when none comes.
        if time.monotonic() - self._drawn >= seconds:
            self._draw()

    def _draw(self) -> None:
        from statspout.terminal.page import coloured, lines, plain

        self._drawn = time.monotonic()
        size = self._screen.size()
        paint = plain if os.environ.get("NO_COLOR") else coloured
        # The line below the table is for the prompt.
        self._screen.show(lines(self.table, size.columns, max(1, size.lines - 1), paint), size)


class _Plain:
    """A table that is written once an interval, counted from the first sample; what is left comes at the end."""

    def __init__(self, table: Table, write: Callable[[bytes, _Rest], None]) -> None:
        self.table = table
        self._write = write
        self._due: float | None = None
        self._news = False
        self._failed = False
        self._gap = b""

    def came(self) -> None:
        self._news = True
        if self._due is None:
            self._due = time.monotonic() + self.table.interval
        self.idle()

    def gone(self) -> None: ...

    def idle(self) -> None:
        if self._due is None or (now := time.monotonic()) < self._due:
            return
        if not self._news:
            self._due = None
            return
        self._print()
        following = self._due + self.table.interval
        self._due = following if following > now else now + self.table.interval

    def close(self) -> None:
        if self._news and not self._failed:
            self._print()

    def _print(self) -> None:
        from statspout.terminal.page import lines

        text = "".join(f"{line}\n" for line in lines(self.table)).encode()
        self._failed = True
        self._write(self._gap + text, self._rest_of_table)
        self._failed = self._news = False
        self._gap = b"\n"

    def _rest_of_table(self, data: bytes, done: int) -> bytes:
        if done == 0:
            return b""
        self._gap = b"\n"
        return data[done:]


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


def _json_line(sample: Sample) -> bytes:
    return to_json(sample_object(sample)) + b"\n"


def _text_line(sample: Sample) -> bytes:
    return _container_line(sample) if isinstance(sample, ContainerSample) else _metric_line(sample)


def _container_line(sample: ContainerSample) -> bytes:
    cpu, memory = percent(sample.cpu_percent), percent(sample.mem_percent)
    usage, tx, rx = (_count(value) for value in (sample.mem_usage, sample.tx_bytes, sample.rx_bytes))
    name, when = printable(sample.container.name), _clock(sample.time_ns)
    return f"[{name}] {{{when}}} CPU: {cpu}, MEM: {memory} [{usage} B] Tx/Rx: {tx}/{rx}\n".encode()


def _metric_line(metric: Metric) -> bytes:
    """``[web] {14 Feb 17 12:00:01 UTC} orders.placed: 12 (2.4/s) env=prod``; the sender is ``--`` when unknown."""
    sender = "--" if metric.container is None else printable(metric.container.name)
    parts = [_measured(metric), *(f"{tag}={value}" if value else tag for tag, value in metric.tags.items())]
    if metric.context is not None:
        parts.append(f"({metric.context})")
    text = " ".join(printable(part) for part in parts)
    line = f"[{sender}] {{{_clock(metric.time_ns)}}} {printable(metric.name)}: {text}\n"
    return line.encode("utf-8", "backslashreplace")


def _measured(metric: Metric) -> str:
    value, unit = metric.value, f" {metric.unit}" if metric.unit else ""
    if isinstance(value, str):
        return value
    if not isinstance(value, Summary):
        rate = "" if metric.rate is None else f" ({_number(metric.rate)}/s)"
        return f"{_number(value)}{unit}{rate}"
    parts = {part: getattr(value, part) for part in ("mean", "min", "max")}
    parts |= {f"p{name}": one for name, one in value.percentiles.items()}
    written = ", ".join(f"{part} {_number(one)}{unit}" for part, one in parts.items())
    return f"{_number(value.count)} values, {written}"


def _number(value: float) -> str:
    """For people: integers in full, else six digits; ``--`` for what is no number."""
    if isinstance(value, int) or not math.isfinite(value):
        return str(value) if isinstance(value, int) else "--"
    return f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"


def _count(value: int | None) -> str:
    return "--" if value is None else str(value)


def _clock(time_ns: int) -> str:
    t = time.gmtime(time_ns // 1_000_000_000)
    # Not strftime, whose month names follow the locale.
    month = _MONTHS[t.tm_mon - 1]
    return f"{t.tm_mday:02} {month} {t.tm_year % 100:02} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} UTC"
