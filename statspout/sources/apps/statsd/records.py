"""What an event and a service check are as records: nothing is added up."""

from __future__ import annotations

import re

from statspout.sample import Container, Metric, MetricKind
from statspout.sources.apps.statsd.lines import Event, ServiceCheck
from statspout.sources.apps.statsd.series import key_of

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def record_of(told: Event | ServiceCheck, container_id: str, container: Container | None, time_ns: int) -> Metric:
    """A text under the event's title, or the check's status, 0 to 3, with its message. Their host is to be set.

    What else an event says of itself (``priority``, ``alert_type``, ``aggregation_key``, ``source_type_name``), and the
    ``host`` that either names, are tags beside its own.
    """
    tags = {"host": told.host}
    kind: MetricKind
    value: str | int
    context: str | None
    if isinstance(told, Event):
        name, kind, value, context = _CONTROL.sub(" ", told.title), "text", told.text, None
        tags |= {
            "priority": told.priority,
            "alert_type": told.alert_type,
            "aggregation_key": told.aggregation_key,
            "source_type_name": told.source_type,
        }
    else:
        name, kind, value, context = told.name, "gauge", told.status, told.message or None
    return Metric(
        time_ns=time_ns,
        host="",
        key=key_of(container_id, "event" if kind == "text" else "check", name, told.tags),
        name=name,
        kind=kind,
        value=value,
        container=container,
        tags={key: text for key, text in tags.items() if text} | dict(told.tags),
        context=context,
    )
