"""What applications record in Redis as a source: a look at every interval, and one at the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from statspout.client.redis import addresses
from statspout.client.redis.addresses import Address
from statspout.client.redis.keys import Keyspace
from statspout.client.redis.reading import RAW
from statspout.client.redis.redis import Cancelled
from statspout.errors import ConfigError, SourceError
from statspout.exposition import Family, FamilyKind, Histogram
from statspout.logs import Limited, hide
from statspout.repository import Repository
from statspout.sample import Metric
from statspout.settings import Settings
from statspout.source import Sink
from statspout.sources.applications import ApplicationSource, Served, Surroundings
from statspout.sources.apps.redis.echo import refuse_echo
from statspout.sources.apps.redis.keeper import Keeper
from statspout.sources.apps.redis.metrics import Metrics
from statspout.sources.apps.redis.place import About
from statspout.sources.apps.redis.reader import Commands, Entry, Reader

_TIMEOUT = 5.0
"""Seconds for a connection to be made, and for each answer."""

_LAST_LOOK = 1.0
"""The same at the end, where others wait; and for that look as a whole, from one answer to the next command."""

log = logging.getLogger("statspout.redis")


class RedisSource(ApplicationSource):
    """Reads one namespace of one Redis. ConfigError when a setting is wrong; a Redis that is away is waited for."""

    setting = "listen.redis"
    remembers = True

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        settings = surroundings.settings
        self.interval = settings.listen_redis_interval or settings.interval
        self._address, self._options = _checked(settings)
        self._namespace, self._match = settings.listen_redis_namespace, settings.listen_redis_match
        self._reader = Reader(
            Keyspace(self._namespace),
            self._match,
            self._take,
            oldest=settings.listen_redis_from == "oldest",
            most=settings.listen_redis_max_labels,
        )
        self._metrics = Metrics(self._namespace)
        self._keeper = Keeper(Path(settings.spool_dir), self._reader.places) if settings.spool_dir else None
        self._taken: list[Metric] = []
        self._client: Any = None
        self._limited = Limited(log)

    def told(self) -> list[str]:
        """Where it reads, and what it does not know."""
        lines = [f"{self.setting}: {self._where}"]
        if self._keeper is None:
            lines.append(f"{self.setting}: without --spool.dir, what is recorded while this does not run is not read")
        return lines

    def summary(self) -> str:
        """The same."""
        return f"Redis: {self._where}"

    def served(self) -> Iterator[Served]:
        """What is recorded there, as Aka Stats serves it, where that is wanted."""
        address = self.surroundings.settings.listen_redis_address
        if address:
            from statspout.web.redis import redis_routes

            routes = redis_routes(self._address.url, self._namespace, self._options)
            yield Served(address, routes, "listen.redis-address")

    @property
    def _where(self) -> str:
        match = "" if self._match == "*" else f" of {self._match}"
        return f"what is recorded{match} in {self._namespace} at {self._address.where}, every {self.interval:g} s"

    def check(self, repositories: Iterable[Repository]) -> None:
        """ConfigError when one of them writes there."""
        refuse_echo(self._address.place, self._namespace, repositories)

    def follow(self, before: ApplicationSource) -> None:
        """Go on where it was."""
        assert isinstance(before, RedisSource)
        same = before._address.place == self._address.place
        if same:
            self._reader.follow(before._reader)
        else:
            self._reader.counts = before._reader.counts
        if before._keeper is not None:
            self._keeper = before._keeper
            self._keeper.all_places = self._reader.places

    async def open(self) -> None:
        """Find out where it was."""
        if self._keeper is not None:
            begun, places = await self._keeper.load(self._about(self._looks))
            self._reader.counts.bad += self._reader.go_on(places, time.monotonic(), begun=begun)

    @property
    def _looks(self) -> str:
        """Which labels a look is at."""
        return f"{self._reader.most} {self._match}"

    def _about(self, looked: str) -> About:
        """Whose places they are."""
        return About(self._address.place, self._namespace, looked)

    async def run(self, sink: Sink) -> None:
        """Look, and wait for the next interval."""
        began = time.monotonic()
        keeping = None if self._keeper is None else asyncio.create_task(self._keeper.run(sink))
        try:
            while True:
                await self._look(sink)
                now = time.monotonic()
                began += self.interval * max(1, -(-(now - began) // self.interval))
                await asyncio.sleep(began - now)
        finally:
            if keeping is not None:
                keeping.cancel()
                await asyncio.wait({keeping})
            await self._disconnect()

    def finish(self, sink: Sink) -> None:
        """Take what was recorded since the last look, if Redis says it at once."""
        if not self._reader.counts.up:
            return
        import redis

        client = redis.Redis.from_url(self._address.url, **self._patience(_LAST_LOOK), retry=addresses.once())
        until = time.monotonic() + _LAST_LOOK
        steps = self._reader.look(time.monotonic())
        try:
            commands = next(steps)
            while time.monotonic() < until:
                pipeline = _pipeline(client, commands)
                commands = steps.send(pipeline.execute(raise_on_error=False))
                self._give(sink)
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001 - of the client's library; what is left stays there
            self._failed(error)
        finally:
            steps.close()
            self._give(sink)
            self._note()
            client.connection_pool.disconnect()

    async def settle(self, sink: Sink) -> None:
        """Remember where it was."""
        if self._keeper is not None:
            await self._keeper.end(sink)

    def families(self) -> Iterator[Family | Histogram]:
        """What was read and what was not."""
        counts = self._reader.counts
        rows: tuple[tuple[str, FamilyKind, str, float], ...] = (
            ("up", "gauge", "Whether Redis answered at the last look.", counts.up),
            ("failures_total", "counter", "Looks at Redis that failed.", counts.failures),
            ("records_total", "counter", "Records of applications read from Redis.", counts.records),
            ("missed_total", "counter", "Records that left their history before they were read.", counts.missed),
            ("bad_total", "counter", "Entries that are no records, and labels that cannot be read.", counts.bad),
            ("labels", "gauge", "Labels in Redis that are known.", counts.labels),
            ("labels_left_out", "gauge", "Labels beyond the most that are read.", counts.left_out),
        )
        for name, kind, help_, value in rows:
            yield Family(f"statspout_redis_{name}", kind, help_, [({}, float(value))])

    async def _look(self, sink: Sink) -> None:
        steps = self._reader.look(time.monotonic())
        try:
            commands = next(steps)
            while True:
                commands = steps.send(await self._ask(commands))
                self._give(sink)
        except StopIteration:
            self._worked()
        except Exception as error:  # noqa: BLE001 - of the client's library: told, counted, and it goes on
            self._failed(error)
            await self._disconnect()
        finally:
            steps.close()
            self._give(sink)
            self._note()
        sink.push_all((), last=True)

    async def _ask(self, commands: Commands) -> list[Any]:
        if self._client is None:
            import redis.asyncio

            retry = addresses.once("redis.asyncio.retry")
            self._client = redis.asyncio.Redis.from_url(self._address.url, **self._options, retry=retry)
        asked = Cancelled()
        try:
            answers: list[Any] = await _pipeline(self._client, commands).execute(raise_on_error=False)
        finally:
            asked.check()
        return answers

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.connection_pool.disconnect()

    def _take(self, entries: Sequence[Entry]) -> None:
        made, bad = self._metrics.of(entries, self.surroundings.host())
        self._reader.counts.records += len(made)
        self._reader.counts.bad += bad
        self._taken += made

    def _give(self, sink: Sink) -> None:
        taken, self._taken = self._taken, []
        if taken:
            sink.push_all(taken, last=False)
            if self._keeper is not None:
                self._keeper.gave()

    def _note(self) -> None:
        """What is given counts as told, as soon as it is safe."""
        if self._keeper is not None:
            self._keeper.note(self._about(self._looks if self._reader.begun else ""), self._reader.changes())

    def _worked(self) -> None:
        counts = self._reader.counts
        if not counts.up and counts.failures:
            log.info("listen.redis: %s answers", self._address.where)
        self._limited.reset("away")
        counts.up = True
        if counts.left_out:
            self._limited.once("full", "listen.redis: %d labels are left out: %s", counts.left_out, _MORE)

    def _failed(self, error: Exception) -> None:
        counts = self._reader.counts
        counts.failures += 1
        counts.up = False
        told = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        where = "" if isinstance(error, SourceError) else f"{self._address.where}: "
        self._limited.once("away", "listen.redis: %s%s; it is tried again every %g s", where, told, self.interval)

    def _patience(self, seconds: float) -> dict[str, Any]:
        waits = {"socket_timeout", "socket_connect_timeout"}
        return {name: seconds if name in waits else value for name, value in self._options.items()}


_MORE = "--listen.redis-max-labels lets in more"


def _pipeline(client: Any, commands: Commands) -> Any:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command, **RAW)
    return pipeline


def _checked(settings: Settings) -> tuple[Address, dict[str, Any]]:
    """Where Redis is, and what a client is opened with."""
    password = settings.listen_redis_password or ""
    try:
        address = addresses.address_of(settings.listen_redis)
        hide(address.password)
        hide(password)
        options = addresses.client_options(address, _TIMEOUT, password, settings.listen_redis_tls_ca)
        addresses.check(address, options)
    except ValueError as error:
        raise ConfigError(f"--listen.redis: it is wrong: {error}") from None
    if password and address.password:
        raise ConfigError("--listen.redis-password: there is one in --listen.redis too: give one")
    if settings.listen_redis_tls_ca is not None:
        if not address.secure:
            raise ConfigError("--listen.redis-tls-ca: it has no effect without TLS: a URL with rediss:// is right")
        try:
            addresses.check_authority(settings.listen_redis_tls_ca)
        except ValueError as error:
            raise ConfigError(f"--listen.redis-tls-ca: {error}") from None
    for name, text in (("namespace", settings.listen_redis_namespace), ("match", settings.listen_redis_match)):
        if not text:
            raise ConfigError(f"--listen.redis-{name}: it is empty: leave it out, or name one")
    _check_library()
    return address, options


def _check_library() -> None:
    try:
        import redis  # noqa: F401 - whether it is there
    except ImportError:
        raise ConfigError("--listen.redis: redis is not installed: pip install 'statspout[redis]'") from None
