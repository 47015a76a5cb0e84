"""Many datagrams with one call to the kernel.

Python's own socket takes one at a time, and lets go of the interpreter for each: with a repository at work in its
thread it may have to wait to get it back, while the kernel's buffer fills up. A call that never waits has no reason to.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from collections.abc import Callable

LARGEST = 65_536
"""Bytes that a UDP datagram may have, and one more."""

AT_ONCE = 64

_SO_MEMINFO, _DROPS = 55, 8
"""Linux' socket option with the state of a socket's memory, 32-bit numbers, and which of them counts its drops."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """The kernel's ``struct msghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vector", ctypes.POINTER(_Vector)),
        ("vector_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """The kernel's ``struct mmsghdr``, with how long what was received is."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Batches:
    """Receives up to :data:`AT_ONCE` datagrams at a time from a socket that does not block.

    OSError where the C library has no ``recvmmsg``. Memory is taken page by page, as datagrams need it.
    """

    def __init__(self, sock: socket.socket) -> None:
        library = ctypes.PyDLL(None, use_errno=True)
        try:
            self._call = library.recvmmsg
        except AttributeError:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
        self._descriptor = sock.fileno()
        self._memory = mmap.mmap(-1, AT_ONCE * LARGEST)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._vectors = (_Vector * AT_ONCE)()
        self._messages = (_Message * AT_ONCE)()
        for index, (vector, message) in enumerate(zip(self._vectors, self._messages, strict=True)):
            vector.base, vector.length = base + index * LARGEST, LARGEST
            message.header.vector, message.header.vector_length = ctypes.pointer(vector), 1
        words = memoryview(self._messages).cast("B").cast("I")
        step = ctypes.sizeof(_Message) // words.itemsize
        self._lengths = words[_Message.length.offset // words.itemsize :: step]

    def __call__(self) -> list[bytes]:
        """What has arrived, empty when nothing has; OSError when the socket is not well."""
        count = self._call(self._descriptor, self._messages, AT_ONCE, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, os.strerror(number))
        memory = self._memory
        return [
            memory[at : at + length]
            for at, length in zip(range(0, count * LARGEST, LARGEST), self._lengths[:count].tolist(), strict=True)
        ]


def drops_of(sock: socket.socket) -> int | None:
    """How many packets the kernel had no room for, modulo 2**32; None where it does not say."""
    try:
        state = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_DROPS + 1))
    except OSError:
        return None
    return None if len(state) < 4 * (_DROPS + 1) else int(struct.unpack_from("I", state, 4 * _DROPS)[0])


def one_by_one(sock: socket.socket) -> Callable[[], list[bytes]]:
    """The same with Python's own calls."""

    def receive() -> list[bytes]:
        packets: list[bytes] = []
        try:
            while len(packets) < AT_ONCE:
                packets.append(sock.recv(LARGEST))
        except OSError as error:
            if not packets and not isinstance(error, BlockingIOError):
                raise
        return packets

    return receive


def receiver(sock: socket.socket) -> Callable[[], list[bytes]]:
    """The best that there is here."""
    try:
        return Batches(sock)
    except OSError:
        return one_by_one(sock)
