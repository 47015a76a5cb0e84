"""Files that appear complete, and are locked by who writes them for as long as they are written.

A file is written aside, under a hidden name, and then linked to the one that readers look for. The lock (``flock``)
belongs to the file that is open, not to a process id: in other containers, too, it tells whether a file is anybody's.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from mmap import mmap

_NAMES = 10_000
"""Files of one name, numbered from the second on."""

_FIRST_BYTES = (b"", b"\0", b"\1")
"""What a statistics file begins with, also one that is not finished: no other file is ever replaced."""


def create(path: str, content: bytes, mode: int | None = None) -> tuple[str, mmap]:
    """The file with this content, mapped; where its name is somebody's who is alive, it has a number before its ending.

    OSError where it cannot be made. Who closes the mapping gives up the lock. ``mode`` is its permissions, by default
    what the process's mask leaves of 666.
    """
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.new")
    try:
        fd = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else 0o600)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None  # whoever reads this knows that name
    try:
        _lock(fd)
        if mode is not None:
            os.fchmod(fd, mode)
        # All of it, zeros too: a full disk is an error now, and would be a signal at a store to memory.
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        memory = mmap(fd, len(content))  # has a descriptor of its own, which keeps the lock
        return _publish(aside, path), memory
    finally:
        os.close(fd)
        unlink(aside)


def unlink(path: str) -> None:
    """Have it gone, if that can be; nothing is called the empty path."""
    with suppress(OSError):
        os.unlink(path)


def held(path: str | os.PathLike[str]) -> bool:
    """Whether somebody writes this file who locks it, as all writers of ours do; OSError where it cannot be opened."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(fd)
    return False


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nothing tells who is alive there
        return True
    return True


def _publish(aside: str, path: str) -> str:
    """Have the file under its name, or the first numbered one that is nobody's."""
    root, ending = os.path.splitext(path)
    for number in range(1, _NAMES):
        target = path if number == 1 else f"{root}.{number}{ending}"
        try:
            os.link(aside, target)  # never in the place of another, as a rename would be
        except FileExistsError:
            if not _replaced(target, aside):
                continue
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            # A file system without links.
            if os.path.lexists(target) and not _replaced(target, aside):
                continue
            if os.path.lexists(aside):
                os.rename(aside, target)
        return target
    raise FileExistsError(errno.EEXIST, "too many files of this name", path)


def _replaced(target: str, aside: str) -> bool:
    """Put the file in the place of one that nobody writes any more: a program before it had the same process id."""
    try:
        fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # With its lock nobody else replaces it meanwhile, if it is still there.
        if os.pread(fd, 1, 0) in _FIRST_BYTES and _lock(fd) and os.path.samestat(os.fstat(fd), os.lstat(target)):
            os.rename(aside, target)
            return True
    except OSError:  # another user's, in a folder where only he may remove it
        return False
    finally:
        os.close(fd)
    return False
