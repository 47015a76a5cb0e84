"""The file of one container: its fields, and how a sample is shown in it.

The numbers that change are stored in place, each as the format has it: into the buffer that is not shown, then which
one is. What is in the file at all, texts and the names of the numbers that are known, is made anew when it changes, in
the place of the file before: a reader finds the one or the other, and each is whole.
"""

from __future__ import annotations

import os
import re
import struct
import time
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from statspout import Container, ContainerSample, __version__
from statspout.catalogue import ENTRIES
from statspout.client.mmap.files import create, unlink
from statspout.client.mmap.layout import PUBLISHED, Column, encode

_TEXT = 256
"""Bytes of a text, as of every one in the format that does not change."""

_LONGEST_NAME = 100

_CODES = {entry.field: "Q" if entry.kind == "counter" and entry.unit != "seconds" else "d" for entry in ENTRIES}
"""Counts are whole numbers of 64 bits, which readers take for counters; seconds, and all levels, are floats."""


class Number(NamedTuple):
    """A value as it is in the file."""

    code: str
    value: float


def file_name(container: Container) -> str:
    """The file of a container, whatever it is called: its name, as far as that is harmless, and the short id."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", container.name)[:_LONGEST_NAME].lstrip(".")
    short = re.sub(r"[^A-Za-z0-9]", "_", container.short_id)
    return f"{name or '_'}-{short or '_'}.mmstats"


def prefix_of(container: Container) -> str:
    """What stands before all labels: ``container.NAME.``."""
    name = re.sub(r"[^\w.-]", "_", container.name)[:_LONGEST_NAME]
    return f"container.{name or re.sub('[^A-Za-z0-9]', '_', container.short_id)}."


def texts_of(sample: ContainerSample) -> dict[str, str]:
    """The texts of a sample that are known."""
    container = sample.container
    texts = {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "host": sample.host,
        "state": sample.state,
        "health": sample.health,
        "network_shared_with": sample.network_shared_with,
    }
    return {label: text for label, text in texts.items() if text}


def numbers_of(sample: ContainerSample) -> dict[str, Number]:
    """The numbers of a sample that are known, and when they were so, in seconds since the epoch."""
    numbers = {}
    for name, _, _, value, _ in sample.points():
        code = _CODES[name]
        if code == "d":
            numbers[name] = Number(code, float(value))
        elif 0 <= value < 2**64:
            numbers[name] = Number(code, int(value))
    return {name: number for name, number in numbers.items() if number.value - number.value == 0} | {
        "time": Number("d", sample.time_ns / 1e9)
    }


class Published:
    """The file at ``path``, or a numbered one beside it where that is somebody else's. ``mode`` is its permissions.

    ``sample`` is the one that is shown, and ``came`` when it came.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        self._shape: tuple[object, ...] = ()
        self._memory: mmap | None = None
        self._made: os.stat_result | None = None
        self._at: dict[str, int] = {}
        self._real = path
        self.sample: ContainerSample | None = None
        self.came = 0.0

    def newer_than(self, sample: ContainerSample) -> bool:
        """Whether a later sample of the same run is shown already."""
        shown = self.sample
        return shown is not None and shown.container.same_run(sample.container) and shown.time_ns > sample.time_ns

    def show(self, sample: ContainerSample) -> None:
        """Have this sample in it. OSError when there can be no such file."""
        prefix, texts, numbers = prefix_of(sample.container), texts_of(sample), numbers_of(sample)
        shape = (prefix, *texts.items(), *numbers)
        if self._memory is None or shape != self._shape or not self._is_there():
            self._make(prefix, texts, numbers)
            self._shape = shape
        else:
            for name, number in numbers.items():
                _store(self._memory, self._at[name], number)
        self.sample = sample

    def remove(self) -> None:
        """Have no file any more."""
        if self._is_there():
            unlink(str(self._real))
        self.let_go()

    def let_go(self) -> None:
        """Leave the file as it is, to whoever finds it."""
        memory, self._memory, self._made = self._memory, None, None
        if memory is not None:
            memory.close()

    def _make(self, prefix: str, texts: dict[str, str], numbers: dict[str, Number]) -> None:
        of_writer = [
            Column(f"{prefix}sys.pid", "I", False, struct.pack("I", os.getpid())),
            Column(f"{prefix}sys.created", "d", False, struct.pack("d", time.time())),
            _text_column(prefix + PUBLISHED, __version__),
        ]
        of_texts = [_text_column(prefix + label, text) for label, text in texts.items()]
        of_numbers = [
            Column(prefix + name, code, True, struct.pack(code, value)) for name, (code, value) in numbers.items()
        ]
        content, places = encode([*of_writer, *of_texts, *of_numbers])
        # Without its lock, our own is a file that nobody writes: the new one is put in its place.
        before = self._real if self._is_there() else None
        self.let_go()
        try:
            path, self._memory = create(str(before or self.path), content, self._mode)
        except OSError:
            if before is not None:
                unlink(str(before))  # what it shows is no longer so
            raise
        self._real = Path(path)
        self._made = self._real.stat()
        self._at = dict(zip(numbers, places[len(of_writer) + len(of_texts) :], strict=True))

    def _is_there(self) -> bool:
        """Whether the file has not been removed, or replaced, by somebody else."""
        with suppress(OSError):
            return self._made is not None and os.path.samestat(self._made, self._real.lstat())
        return False


def _text_column(label: str, text: str) -> Column:
    """A text of which as much is there as fits, whole characters."""
    data = text.replace("\0", "").encode("utf-8", "replace")[:_TEXT].decode("utf-8", "ignore").encode()
    return Column(label, f"{_TEXT}s", False, data)


def _store(memory: mmap, at: int, number: Number) -> None:
    """Store into the buffer that is written next, and then that it is the one to be read."""
    following = memory[at]
    struct.pack_into(number.code, memory, at + 1 + following * 8, number.value)
    memory[at] = following ^ 1
