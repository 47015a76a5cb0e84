"""The daemon as a program of its own, or within another: its signals, its memory, its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from statspout import signals
from statspout.daemon import Daemon
from statspout.errors import ConfigError
from statspout.files import only_files
from statspout.gathering import GatheringLoop
from statspout.logs import hooked, setup
from statspout.notify import Supervisor
from statspout.repository import Repository
from statspout.settings import Settings

if TYPE_CHECKING:
    from statspout.config import Config

log = logging.getLogger("statspout")

_LAST = 0.5
"""Seconds for what a repository leaves running on the loop, or in its threads, after all else has ended."""

_ONE_SIGNAL = 0.5
"""Seconds in which a second signal is the first once more: `timeout`, and some supervisors, signal a process twice."""


async def serve(repositories: Sequence[Repository], *, stop: asyncio.Event | None = None, **settings: Any) -> None:
    """Collect inside an application's own loop until ``stop`` is set or the task is cancelled.

    ``settings`` are the fields of :class:`statspout.settings.Settings`, such as ``interval=1``.
    """
    await Daemon(_in_code(settings), repositories).run(stop or asyncio.Event())


def run(repositories: Sequence[Repository], **settings: Any) -> int:
    """Collect until SIGTERM or SIGINT, deliver what is queued, return the exit code. ``settings`` are as for serve."""
    return run_daemon(_in_code(settings), repositories)


def _in_code(settings: dict[str, Any]) -> Settings:
    """Settings given as keywords; ConfigError for those that would have no effect."""
    for name in ("config", "plugin", "repository"):
        if name in settings:
            raise ConfigError(f"--{name}: only the command line reads it: instances of repositories are right here")
    return Settings(**settings)


def run_daemon(
    settings: Settings,
    repositories: Sequence[Repository],
    notes: Sequence[str] = (),
    read_again: Callable[[], Config] | None = None,
) -> int:
    """Run the program: ``notes`` are logged first; the first signal drains, the second ends it at once.

    With ``read_again``, SIGHUP goes on with what that returns.
    """
    setup(settings.log_level, settings.log_format)
    _say(notes)
    last = threading.Timer(_LAST, _leave, [0])
    last.daemon = True
    _tune_garbage_collection()
    try:
        with hooked(), asyncio.Runner(loop_factory=GatheringLoop) as runner:
            return runner.run(_run_with_signals(settings, repositories, last, read_again))
    finally:
        last.cancel()


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        log.warning("%s", note)


def _tune_garbage_collection() -> None:
    """What the start made is not looked at again; what comes after it is little, and looked at often.

    Samples are not the collector of garbage's business, so by its own count there is hardly ever a reason to look, and
    what connections and failures left in cycles would wait for megabytes of company.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 5, 2)


def _leave(code: int) -> None:
    log.warning("a call that does not end is left to itself")
    os._exit(code)


async def _run_with_signals(
    settings: Settings,
    repositories: Sequence[Repository],
    last: threading.Timer,
    read_again: Callable[[], Config] | None,
) -> int:
    """Run; ``last`` then ends the program should foreign code not let the loop end: asyncio waits for it for ever."""
    stop, again = asyncio.Event(), asyncio.Event()
    first = 0.0

    def signalled(number: int) -> None:
        nonlocal first
        if stop.is_set():
            if time.monotonic() - first < _ONE_SIGNAL:
                return
            log.warning("%s again: ending at once", signal.Signals(number).name)
            os._exit(128 + number)
        log.info("%s", signal.Signals(number).name)
        first = time.monotonic()
        stop.set()

    def hung_up() -> None:
        """The word to reload; from a terminal that is closed, the word to end, as it always was."""
        if _foreground() is not None:
            again.set()
        elif not stop.is_set():
            signalled(signal.SIGHUP)

    loop = asyncio.get_running_loop()
    # Another thread than the main one cannot have signals; whoever runs it there has a way of his own to end it.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled, number)
        if read_again is not None:
            act = hung_up if _in_foreground() else again.set
            loop.add_signal_handler(signal.SIGHUP, act)
            if signals.take_hang_up():
                act()
    daemon = Daemon(settings, repositories)

    async def reload() -> None:
        assert read_again is not None
        await _reload(daemon, read_again)

    code = await daemon.run(stop, Supervisor(os.environ), again, reload)
    last.args = [code]
    last.start()
    if signals.are_held():
        # The loop would let go of them at its end, and one of them end the program in its own way.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
        signals.end_with(code)
    return code


def _in_foreground() -> bool:
    """Whether this program is what its terminal is for at the moment, and not started to outlive it, as by nohup."""
    return not signals.hang_up_was_ignored() and _foreground() == os.getpgrp()


def _foreground() -> int | None:
    """The process group that our terminal is for; None without one, or when it is closed."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return None
    finally:
        os.close(terminal)


async def _reload(daemon: Daemon, read_again: Callable[[], Config]) -> None:
    """Go on with the configuration as it is now. When it is wrong, that is said, and nothing changes.

    Whatever else goes wrong does not end the program either.
    """
    from statspout.config import placed

    log.info("SIGHUP: the configuration is read again")
    try:
        with only_files():
            config = read_again()
        _say(config.notes)
        with placed(config.given):
            await daemon.change(config.settings, config.repositories)
    except ConfigError as error:
        log.error("the configuration is wrong, and the one before it stays: %s", " ".join(str(error).split()))
        return
    except Exception:
        # A fault of ours, or of a plugin, in a program that works.
        log.exception("the reload failed by a fault of its own; what it had not changed by then stays")
        return
    setup(daemon.settings.log_level, daemon.settings.log_format)
