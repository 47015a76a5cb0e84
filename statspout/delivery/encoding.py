"""Samples as bytes for the spool: our own format, so that what was written by one version is read by the next.

The first byte says what follows: 1 is msgpack, 2 the same as ASCII JSON, for texts that UTF-8 cannot carry. It is an
array of ``[containers, fields, records]``. A record that is an array is a container sample: the index of its container,
then the values of ``fields`` in order. A record that is an object is a metric. Fields that the reader does not know are
passed over, and those that it misses are unknown: None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from statspout.sample import Container, ContainerSample, Interface, Metric, Sample

_FIELDS = tuple(field for field in ContainerSample.__struct_fields__ if field != "container")
_values = attrgetter(*_FIELDS)

_MSGPACK, _JSON = b"\x01", b"\x02"


def encode(samples: Sequence[Sample]) -> bytes:
    """The samples as bytes. Containers are written once."""
    indices: dict[int, int] = {}
    containers: list[Container] = []

    def index(container: Container) -> int:
        found = indices.setdefault(id(container), len(containers))
        if found == len(containers):
            containers.append(container)
        return found

    records: list[Any] = []
    for sample in samples:
        if isinstance(sample, ContainerSample):
            records.append((index(sample.container), *_values(sample)))
        else:
            known = None if sample.container is None else index(sample.container)
            records.append({**msgspec.structs.asdict(sample), "container": known})
    payload = (containers, _FIELDS, records)
    try:
        return _MSGPACK + msgspec.msgpack.encode(payload, enc_hook=_plain)
    except (UnicodeEncodeError, OverflowError):
        # Half of a surrogate pair, from a name that was not UTF-8; or an integer of more than 64 bits.
        return _JSON + json.dumps(msgspec.to_builtins(payload, enc_hook=_plain)).encode("ascii")


def _plain(value: object) -> object:
    """Labels that nobody can change as a dict."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be written")


def decode(data: bytes) -> list[Sample]:
    """The samples in ``data``, as they were encoded. ValueError when it is something else."""
    try:
        containers, fields, records = _payload(data)
        whom = [msgspec.convert(_known(Container, container), Container) for container in containers]
        return [_sample(record, fields, whom) for record in records]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"no samples: {error}") from error


def _payload(data: bytes) -> Any:
    if data[:1] == _MSGPACK:
        return msgspec.msgpack.decode(data[1:])
    if data[:1] == _JSON:
        return json.loads(data[1:])
    raise ValueError("it begins with neither 1 nor 2")


def _sample(record: Any, fields: Sequence[str], containers: Sequence[Container]) -> Sample:
    if isinstance(record, dict):
        index = record["container"]
        values = _known(Metric, record)
        values["container"] = None
        metric = msgspec.convert(values, Metric)
        return metric if index is None else msgspec.structs.replace(metric, container=containers[index])
    values = _known(ContainerSample, dict(zip(fields, record[1:], strict=True)))
    if (networks := values.get("networks")) is not None:
        values["networks"] = {
            name: msgspec.convert(_known(Interface, one), Interface) for name, one in networks.items()
        }
    return ContainerSample(container=containers[record[0]], **values)


def _known(cls: type[msgspec.Struct], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in cls.__struct_fields__}
