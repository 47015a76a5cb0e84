"""A document for each sample in a collection of MongoDB."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from statspout import ConfigError, Container, ContainerSample, Metric, Repository, Sample, option
from statspout.logs import hide
from statspout.quantities import seconds
from statspout.repositories.mongodb_settings import (
    check,
    check_credentials,
    client_options,
    hide_secrets,
    uri_of,
)

if TYPE_CHECKING:
    import pymongo

log = logging.getLogger("statspout.mongodb")

_URI = "mongodb://localhost:27017"
_LONGEST_TTL = 2**31 - 1


class MongoDB(Repository):
    """Insert each sample as a document into a MongoDB collection, plain or time-series.

    The same sample is the same ``_id`` whenever it comes: a batch that is sent again stores nothing twice.
    """

    name = "mongodb"
    accepts: ClassVar[tuple[type, ...]] = (ContainerSample, Metric)
    aliases = ("mongo",)
    needs = ("pymongo",)

    uri: str = option(default=_URI, help="Where MongoDB is, with the options of a connection string.")
    address: str = option(default="", help="The same as `host:port`, or several with commas: this or the URI.")
    database: str = option(default="statspout", help="The database.")
    collection: str = option(default="stats", help="The collection in it.")
    user: str = option(default="", help="Who we are there, where the URI does not say it.")
    password: str = option(default="", secret=True, help="The password of that user.")
    timeout: float = option(
        default=10.0, minimum=0.1, maximum=3600, help="Seconds for the server to be found, and for each batch."
    )
    schema: Literal["own", "legacy"] = option(default="own", help="Documents: our own, or those of the Go program.")
    ttl: str = option(default="", help="The age at which documents are deleted, as 14d; without it they stay.")
    timeseries: bool = option(default=False, help="Make the collection a time series; MongoDB 5.0 or newer.")

    def __post_init__(self) -> None:
        self._uri, setting = uri_of(self.uri, self.address, _URI)
        hide_secrets(self._uri)
        hide(self.password)
        self._ttl = _ttl_of(self.ttl)
        if self.timeseries and self.schema == "legacy":
            raise ConfigError("--mongodb.timeseries: --mongodb.schema=legacy makes no time series: own is right")
        self._options = client_options(self.user, self.password, self.timeout)
        in_uri = check(self._uri, setting, self._options, self.database, self.collection)
        check_credentials(in_uri, setting, self.user, self.password)
        self._user = self.user or in_uri.user
        self._client: pymongo.MongoClient[Any] | None = None
        self._told: set[str] = set()

    def open(self) -> None:
        """Connect, and see that the collection is there, with its index and the age at which documents go."""
        import pymongo
        from pymongo.errors import PyMongoError

        from statspout.repositories.mongodb_collection import Wanted, prepare
        from statspout.repositories.mongodb_documents import schema
        from statspout.repositories.mongodb_errors import Place, failure

        self.close()
        self._place = Place(self.database, self.collection, self._user, self.timeout)
        self._schema = schema(self.schema)
        self._indexed = False
        wanted = Wanted(self.timeseries, self._ttl, self._schema.time, self._schema.who)
        try:
            self._client = pymongo.MongoClient(self._uri, **self._options)
            self._collection = self._client[self.database][self.collection]
            prepare(self._collection, wanted, self._tell_once)
        except PyMongoError as error:
            raise failure(error, self._place, "set up") from error

    def push(self, batch: Sequence[Sample]) -> None:
        """Insert what is not there yet."""
        import pymongo
        from pymongo.errors import BulkWriteError, PyMongoError

        from statspout.repositories.mongodb_collection import index_metrics
        from statspout.repositories.mongodb_documents import encode_all
        from statspout.repositories.mongodb_errors import check_bulk, failure

        documents = encode_all(batch, self._schema)
        try:
            if not self._indexed and any(isinstance(sample, Metric) for sample in batch):
                index_metrics(self._collection, self._schema.time, self._tell_once)
                self._indexed = True
            with pymongo.timeout(self.timeout):
                self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            check_bulk(error.details, self._place)
        except PyMongoError as error:
            raise failure(error, self._place, "insert into") from error

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._schema.clear(container)

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            log.warning("mongodb: %s", text)


def _ttl_of(text: str) -> int | None:
    """Seconds, None for ever."""
    if not text.strip():
        return None
    found = seconds(text, "mongodb.ttl")
    if found > _LONGEST_TTL:
        raise ConfigError(f"--mongodb.ttl: {text!r} is more than MongoDB can count: {_LONGEST_TTL} s or less is right")
    return found
