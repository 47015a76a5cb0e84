"""Redis: statistics of every number, as Aka Stats keeps them, or every sample in a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from statspout import Container, ContainerSample, Metric, Repository, Sample, option
from statspout.repositories.redis_aggregates import Aggregates
from statspout.repositories.redis_numbers import Numbers
from statspout.repositories.redis_settings import address_of, check_names
from statspout.repositories.redis_stream import Stream

if TYPE_CHECKING:
    import redis

_UNSURE = 4
"""Batches after a connection was made of which Redis is asked whether it has them already: one whose answer never came
is the first or, where another waits on disk, the second; it may have been cut in halves."""


class Redis(Repository):
    """Keep count, average, extremes and history of every number in Redis, or append every sample to a stream.

    What was sent and not answered is looked for before it is sent again: it is stored once, as far as Redis still has
    it to be found.
    """

    name = "redis"
    accepts: ClassVar[tuple[type, ...]] = (ContainerSample, Metric)
    needs = ("redis",)

    url: str = option(
        default="redis://127.0.0.1:6379",
        help="Where Redis is: `redis://user:password@host:port/0`, `rediss://` for TLS, or `unix:///path`.",
    )
    password: str = option(default="", secret=True, help="The password, where the URL does not have it.")
    tls_ca: str | None = option(default=None, help="The file with the authority of the server's certificate, PEM.")
    timeout: float = option(
        default=10.0, minimum=0.1, maximum=3600, help="Seconds for a connection to be made, and for each answer."
    )
    mode: Literal["aggregates", "stream"] = option(
        default="aggregates", help="Statistics of each number under a label of its own, or all samples in one stream."
    )
    namespace: str = option(default="STATSPOUT", help="Aggregates: what their keys begin with.")
    prefix: str = option(
        default="statspout", help="Aggregates: what the labels of containers' numbers begin with, a dot behind it."
    )
    counters: Literal["rate", "delta"] = option(
        default="rate", help="Aggregates: a container's counters by their growth a second, or since the last sample."
    )
    history: int = option(
        default=360, minimum=1, maximum=1_000_000, help="Aggregates: how many values of a label are kept one by one."
    )
    stream: str = option(default="statspout", help="Stream: its key.")
    max_length: int = option(
        default=100_000, minimum=1, maximum=2**53, help="Stream: about how many entries it keeps; the oldest go first."
    )

    def __post_init__(self) -> None:
        self._address, self._options = address_of(self.url, self.password, self.tls_ca, self.timeout)
        check_names(self.namespace, self.prefix, self.stream)
        self._store: Aggregates | Stream
        if self.mode == "stream":
            self._store = Stream(self.stream, self.max_length)
        else:
            self.redis_statistics = self._address.place, self.namespace
            every = bool(self.handling and self.handling.fields)
            numbers = Numbers(self.prefix, every=every, rates=self.counters == "rate")
            self._store = Aggregates(self.namespace, self.history, numbers)
        self._client: redis.Redis | None = None
        self._unsure = _UNSURE

    def open(self) -> None:
        """Connect, and see that whatever is there is Redis and lets us in."""
        import redis

        from statspout.client.redis.addresses import once
        from statspout.repositories.redis_errors import failure

        self.close()
        try:
            client: Any = redis.Redis.from_url(self.url, **self._options, retry=once())
            self._client = client
            client.execute_command("PING")
        except (redis.RedisError, OSError) as error:
            raise failure(error, self._address.where, self.timeout) from error
        self._unsure = _UNSURE

    def push(self, batch: Sequence[Sample]) -> None:
        """Store what is not there yet. Rejected has the samples with a value, or a label, that cannot be stored."""
        import redis

        from statspout.repositories.redis_errors import failure

        client: Any = self._client
        assert client is not None, "open comes before push"
        again, self._unsure = self._unsure > 0, max(0, self._unsure - 1)
        try:
            self._store.push(client, batch, again=again)
        except (redis.RedisError, OSError) as error:
            raise failure(error, self._address.where, self.timeout) from error

    def clear(self, container: Container) -> None:
        """Forget how far the counters of a container that is gone had come."""
        self._store.clear(container)

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.connection_pool.disconnect()
