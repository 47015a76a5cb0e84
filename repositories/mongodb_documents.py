"""A sample as a BSON document: one type for each field, whatever the value, and keys that every server takes.

::

    own     {_id, time, time_ns, host, container: {id, name, image, labels, started_at}, cpu_percent, ..., networks: {
             eth0: {rx_bytes, ...}}, network_shared_with, state, health}
    legacy  {_id, timestamp, name, cpupercent, memorypercent, memoryusage, txbytestotal, rxbytestotal, labels}
    metric  {_id, time, time_ns, host, metric, kind, value, rate, unit, interval_s, tags, container, context}: what an
            application reported, in either schema; a summary has count, sum, min, max, mean, stdev, percentiles: {"95":
            ...} in place of the value, a text has text. legacy has its timestamp in place of time

What is unknown is absent. Integers are 64 bits with a sign, and absent above; all other numbers are doubles. ``_id``
follows from the container and the time, so that the same sample is the same document however often it comes.
"""

from __future__ import annotations

import functools
import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

import bson
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from statspout import Container, ContainerSample, Interface, Metric, Rejected, Sample, Summary
from statspout.catalogue import ENTRIES

_MOST = 2**63 - 1
_LARGEST = 16 * 2**20
"""Bytes of a document that a server takes."""

_MOST_KEPT = 10_000
"""Containers whose part of the document is remembered; more only cost time."""


class Schema(NamedTuple):
    """How to make a document, and the fields that hold the time and, in order, whom it is about.

    ``metric`` makes that of what an application reported. ``clear`` is told of a container that is gone.
    """

    document: Callable[[ContainerSample], dict[str, Any]]
    metric: Callable[[Metric], dict[str, Any]]
    time: str
    who: str
    clear: Callable[[Container], None] = lambda _: None


def schema(name: str) -> Schema:
    """``own`` or ``legacy``."""
    own = _Own()
    if name == "legacy":
        return Schema(_legacy, functools.partial(own.metric, time="timestamp"), "timestamp", "name", own.clear)
    return Schema(own.document, own.metric, "time", "container.id", own.clear)


_UNENCODABLE = (BSONError, ArithmeticError, AttributeError, TypeError, ValueError)
"""What comes of a sample that holds other types than it should."""


def encode_all(batch: Sequence[Sample], schema: Schema) -> list[RawBSONDocument]:
    """The documents of ``batch``, in BSON. Rejected names those that cannot be, or are too large."""
    documents: list[RawBSONDocument] = []
    bad: dict[int, str] = {}
    for index, sample in enumerate(batch):
        try:
            made = schema.document(sample) if isinstance(sample, ContainerSample) else schema.metric(sample)
            data = bson.encode(made)
        except _UNENCODABLE as error:
            bad[index] = f"no document can be made of it: {type(error).__name__}: {error}"
            continue
        if len(data) > _LARGEST:
            bad[index] = f"its document has {len(data)} bytes, more than {_LARGEST}"
        documents.append(RawBSONDocument(data))
    if bad:
        first = batch[min(bad)]
        name = first.container.name if isinstance(first, ContainerSample) else first.name
        raise Rejected(f"{name}: {bad[min(bad)]}", bad)
    return documents


def identity(sample: ContainerSample) -> ObjectId:
    """The second of the sample, then 64 bits of a hash of the container's id and the nanosecond.

    That two samples of one second agree in them is not to be expected in any number of them that a database can hold.
    """
    return _object_id(f"{sample.container.id}/{sample.time_ns}", sample.time_ns)


def identity_of_metric(metric: Metric) -> ObjectId:
    """The same of the series' key, its kind and the nanosecond; of a text also what it says.

    An application's events may have times of whole seconds: two of one name in a second are two.
    """
    text = metric.value if isinstance(metric.value, str) else ""
    return _object_id(f"{metric.key}/{metric.kind}/{metric.time_ns}/{text}", metric.time_ns)


def _object_id(text: str, time_ns: int) -> ObjectId:
    key = text.encode("utf-8", "surrogatepass")
    second = time_ns // 1_000_000_000 & 0xFFFFFFFF
    return ObjectId(second.to_bytes(4, "big") + blake2b(key, digest_size=8).digest())


_UNSAFE = re.compile("[%.$\0\ud800-\udfff]")


@functools.lru_cache(maxsize=_MOST_KEPT)
def safe_key(name: str) -> str:
    """``name`` with ``%``, ``.``, ``$``, NUL and half surrogate pairs percent-escaped, as in ``com%2Edocker``.

    ``urllib.parse.unquote(key, errors="surrogatepass")`` is the way back.
    """
    return _UNSAFE.sub(lambda found: _escaped(found[0]), name)


def _escaped(character: str) -> str:
    return {".": "%2E"}.get(character) or quote_from_bytes(character.encode("utf-8", "surrogatepass"), safe="")


def safe_text(text: str) -> str:
    r"""``text`` with half surrogate pairs, which UTF-8 and so BSON cannot hold, written as ``\udc80``."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _date(time_ns: int) -> DatetimeMS:
    return DatetimeMS(time_ns // 1_000_000)


def _labels(container: Container) -> dict[str, str]:
    return {safe_key(name): safe_text(value) for name, value in container.labels.items()}


def _whole(names: Iterable[str], values: Iterable[Any]) -> dict[str, Int64]:
    """The integers among ``values`` that 64 bits hold. Without Int64 small ones would be stored in 32."""
    return {name: Int64(v) for name, v in zip(names, values, strict=True) if type(v) is int and -_MOST <= v <= _MOST}


def _doubles(names: Iterable[str], values: Iterable[Any]) -> dict[str, float]:
    return {name: float(v) for name, v in zip(names, values, strict=True) if v is not None and math.isfinite(v)}


_HINTS = typing.get_type_hints(ContainerSample)
_INTEGERS = [entry.field for entry in ENTRIES if int in typing.get_args(_HINTS.get(entry.field))]
_FLOATS = [entry.field for entry in ENTRIES if entry.field not in _INTEGERS]  # also all that is derived
_INTERFACE = Interface.__struct_fields__
_parts: Callable[[Any], tuple[Any, ...]] = attrgetter(*Summary.PARTS)
_integers: Callable[[Any], tuple[Any, ...]] = attrgetter(*_INTEGERS)
_floats: Callable[[Any], tuple[Any, ...]] = attrgetter(*_FLOATS)
_counters: Callable[[Any], tuple[Any, ...]] = attrgetter(*_INTERFACE)


class _Own:
    """Our own schema. A container's part is encoded once, and then a copy of bytes."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Container, RawBSONDocument]] = {}

    def document(self, sample: ContainerSample) -> dict[str, Any]:
        document = {
            "_id": identity(sample),
            "time": _date(sample.time_ns),
            "time_ns": Int64(sample.time_ns),
            "host": safe_text(sample.host),
            "container": self._container(sample.container),
            **_doubles(_FLOATS, _floats(sample)),
            **_whole(_INTEGERS, _integers(sample)),
        }
        if sample.networks is not None:
            document["networks"] = _networks(sample.networks)
        if sample.network_shared_with is not None:
            document["network_shared_with"] = safe_text(sample.network_shared_with)
        if sample.state is not None:
            document["state"] = safe_text(sample.state)
        if sample.health is not None:
            document["health"] = safe_text(sample.health)
        return document

    def metric(self, metric: Metric, time: str = "time") -> dict[str, Any]:
        document = {
            "_id": identity_of_metric(metric),
            time: _date(metric.time_ns),
            "time_ns": Int64(metric.time_ns),
            "host": safe_text(metric.host),
            "metric": safe_text(metric.name),
            "kind": metric.kind,
            **_measured(metric),
            **_doubles(("rate", "interval_s"), (metric.rate, metric.interval_s)),
            "tags": {safe_key(name): safe_text(value) for name, value in metric.tags.items()},
        }
        if metric.unit:
            document["unit"] = safe_text(metric.unit)
        if metric.container is not None:
            document["container"] = self._container(metric.container)
        if metric.context is not None:
            document["context"] = safe_text(metric.context)
        return document

    def clear(self, container: Container) -> None:
        self._kept.pop(container.id, None)

    def _container(self, container: Container) -> RawBSONDocument:
        kept = self._kept.get(container.id)
        if kept is not None and kept[0] is container:
            return kept[1]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        made = RawBSONDocument(bson.encode(_container(container)))
        self._kept[container.id] = container, made
        return made


def _measured(metric: Metric) -> dict[str, Any]:
    """The value: all numbers are doubles, for a count may have a fraction."""
    value = metric.value
    if isinstance(value, str):
        return {"text": safe_text(value)}
    if not isinstance(value, Summary):
        return _doubles(("value",), (value,))
    percentiles = _doubles(map(safe_key, value.percentiles), value.percentiles.values())
    return {**_doubles(Summary.PARTS, _parts(value)), "percentiles": percentiles}


def _container(container: Container) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": safe_text(container.id),
        "name": safe_text(container.name),
        "image": safe_text(container.image),
        "labels": _labels(container),
    }
    if container.started_at is not None:
        found["started_at"] = _date(container.started_at)
    return found


def _networks(networks: Mapping[str, Interface]) -> dict[str, dict[str, Int64]]:
    return {safe_key(name): _whole(_INTERFACE, _counters(interface)) for name, interface in networks.items()}


def _legacy(sample: ContainerSample) -> dict[str, Any]:
    """The Go program's document."""
    return {
        "_id": identity(sample),
        "timestamp": _date(sample.time_ns),
        "name": safe_text(sample.container.name),
        **_doubles(("cpupercent", "memorypercent"), (sample.cpu_percent, sample.mem_percent)),
        **_whole(("memoryusage", "txbytestotal", "rxbytestotal"), (sample.mem_usage, sample.tx_bytes, sample.rx_bytes)),
        "labels": _labels(sample.container),
    }
