"""The collection as the settings want it: time-series or plain, an index, and an age at which documents go.

It is looked at and made at each open, and what is there is left alone. What cannot be made, as for lack of rights, is
told, and keeps no sample from being stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pymongo.collection import Collection
from pymongo.errors import CollectionInvalid, NetworkTimeout, OperationFailure

from statspout import RepositoryError
from statspout.repositories.mongodb_errors import INDEX_IS_ANOTHER, UNAUTHORIZED, is_stranger, plain

_Collection = Collection[Any]
Tell = Callable[[str], None]
"""Says one line to the user, who has heard it once if it comes again."""


class Wanted(NamedTuple):
    """``ttl`` is in seconds, None for ever; ``time`` and ``who`` are the fields that hold them."""

    timeseries: bool
    ttl: int | None
    time: str
    who: str


def prepare(collection: _Collection, want: Wanted, tell: Tell) -> None:
    """Make what is missing. RepositoryError when what is there cannot hold our documents."""
    # A user who may only insert need not be told more than that there will be no index.
    found = _look(collection, tell if want.timeseries else _ignore)
    if found is None and want.timeseries:
        found = _make_timeseries(collection, want)
    found = found or {}
    series = found.get("options", {}).get("timeseries")
    _check(collection, want, found.get("type"), series)
    if series:
        _expire_series(collection, want, found["options"].get("expireAfterSeconds"), tell)
    else:
        _expire_documents(collection, want, tell)
    missing = f"the index on {want.who} and {want.time} of {collection.full_name} was not made"
    with _telling(missing, "createIndex", tell, slow=True):
        collection.create_index([(want.who, 1), (want.time, 1)])


def index_metrics(collection: _Collection, time: str, tell: Tell) -> None:
    """Make the index by which an application's metric is found, where only its documents are in it.

    It is made when the first one comes. A time series has no such index: there it is the order of the time that helps.
    """
    series = (_look(collection, _ignore) or {}).get("options", {}).get("timeseries")
    if series:
        return
    missing = f"the index on metric and {time} of {collection.full_name} was not made"
    with _telling(missing, "createIndex", tell, slow=True):
        collection.create_index([("metric", 1), (time, 1)], partialFilterExpression={"metric": {"$exists": True}})


def _look(collection: _Collection, tell: Tell) -> dict[str, Any] | None:
    """What listCollections says about it; None where it is not there, or not to be seen."""
    with _telling(f"what kind of collection {collection.full_name} is was not seen", "listCollections", tell):
        for found in collection.database.list_collections(filter={"name": collection.name}):
            return dict(found)
    return None


def _make_timeseries(collection: _Collection, want: Wanted) -> dict[str, Any] | None:
    options: dict[str, Any] = {"timeseries": {"timeField": want.time, "metaField": want.who.partition(".")[0]}}
    if want.ttl:
        options["expireAfterSeconds"] = want.ttl
    try:
        collection.database.create_collection(collection.name, **options)
    except CollectionInvalid:
        return _look(collection, _ignore)  # somebody was faster
    return {"type": "timeseries", "options": options}


def _check(collection: _Collection, want: Wanted, kind: str | None, series: dict[str, Any] | None) -> None:
    name = collection.full_name
    if kind == "view":
        raise RepositoryError(
            f"{name} is a view, into which nothing can be written: another --mongodb.collection is right"
        )
    if want.timeseries and kind is not None and not series:
        raise RepositoryError(
            f"{name} is there as a plain collection, which cannot become a time series: "
            "another --mongodb.collection, or none with --mongodb.timeseries, is right"
        )
    if series and series.get("timeField") != want.time:
        raise RepositoryError(
            f"{name} is a time series by the field {series.get('timeField')}, and our documents have their time in "
            f"{want.time}: another --mongodb.collection is right"
        )


def _expire_series(collection: _Collection, want: Wanted, now: int | None, tell: Tell) -> None:
    if now == want.ttl:
        return
    if want.ttl is None:
        _tell_of_ttl(collection, now, tell)
        return
    with _telling(f"the documents of {collection.full_name} do not expire as --mongodb.ttl says", "collMod", tell):
        collection.database.command("collMod", collection.name, expireAfterSeconds=want.ttl)


def _expire_documents(collection: _Collection, want: Wanted, tell: Tell) -> None:
    keys = [(want.time, 1)]
    if want.ttl is None:
        with _telling("", "listIndexes", _ignore):
            for index in collection.list_indexes():
                if list(index["key"].items()) == keys and "expireAfterSeconds" in index:
                    _tell_of_ttl(collection, index["expireAfterSeconds"], tell)
        return
    missing = f"the documents of {collection.full_name} do not expire as --mongodb.ttl says"
    with _telling(missing, "createIndex", tell, slow=True):
        try:
            collection.create_index(keys, expireAfterSeconds=want.ttl)
            return
        except OperationFailure as error:
            if error.code not in INDEX_IS_ANOTHER:
                raise
    with _telling(missing, "collMod", tell):
        change = {"keyPattern": dict(keys), "expireAfterSeconds": want.ttl}
        collection.database.command("collMod", collection.name, index=change)


def _tell_of_ttl(collection: _Collection, seconds: object, tell: Tell) -> None:
    tell(f"documents of {collection.full_name} expire after {seconds} s, --mongodb.ttl is not given: left as it is")


def _ignore(_: str) -> None: ...


@contextmanager
def _telling(what: str, action: str, tell: Tell, *, slow: bool = False) -> Iterator[None]:
    """Tell ``what`` is not as it should be when the server refuses the block, and go on behind it.

    ``action`` is MongoDB's name of the right that it takes; ``slow`` work may go on at the server without us.
    """
    try:
        yield
    except NetworkTimeout:
        if not slow:
            raise
        tell(f"{what}: it takes the server longer than --mongodb.timeout")
    except OperationFailure as error:
        if is_stranger(error):
            raise
        reason = f"the user lacks the right {action}" if error.code == UNAUTHORIZED else plain(error)
        tell(f"{what}: {reason}")
