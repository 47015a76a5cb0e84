"""The calls of the script that write records: what to send, and how, over any client of redis-py.

::

    space = Keyspace("AKA-STATS")
    for error in write(client, calls(records, space, history=1000)):
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from statspout.client.redis.keys import TTL, Keyspace
from statspout.client.redis.lua import SHA, SOURCE
from statspout.client.redis.records import Context, Plain, context_id, context_of

BATCH = 1000
"""Records that one call of the script takes at most: the server does nothing else meanwhile, for some milliseconds."""

LABELS = 200
"""Labels in a call at most: each takes as long as thirty records."""

TOGETHER = 10
"""Calls that are sent in one go: while the server is at one, it reads no more, and a client does not wait for ever."""

CONTEXT = 65_536
"""Bytes of a context that are kept."""


T = TypeVar("T")

Steps: TypeAlias = "Generator[Callable[[], Any], Any, T]"
"""What to ask the client for, and what came of it, an answer or an exception; with a client for tasks it is awaited."""


class Client(Protocol):
    """What is used of ``redis.Redis``, ``redis.asyncio.Redis`` and the clients of a cluster."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command, and return its answer or, where it is asynchronous, something to await."""

    def pipeline(self, transaction: bool = ...) -> Any:
        """Commands that are sent together."""


class Call(NamedTuple):
    """One call of the script: its keys, its arguments, and how many records it writes."""

    keys: list[str]
    arguments: list[str | bytes]
    records: int

    def command(self) -> tuple[Any, ...]:
        """What is sent."""
        return ("EVALSHA", SHA, len(self.keys), *self.keys, *self.arguments)


def calls(
    records: Iterable[Plain], space: Keyspace, history: int, batch: int = BATCH, context: int = CONTEXT
) -> Iterator[Call]:
    """The calls that write the records, those of a label together and in their order.

    Each has ``batch`` records and :data:`LABELS` at most. ``history`` is how many are kept of a label, ``context`` how
    many bytes of a context. The records must be such as :func:`statspout.client.redis.records.number` and ``label_of``
    let pass.
    """
    groups: dict[str, list[Plain]] = {}
    for record in records:
        group = groups.get(record[1])
        if group is None:
            groups[record[1]] = [record]
        else:
            group.append(record)
    waiting = _Builder(space, history, context)
    for label, group in groups.items():
        for at in range(0, len(group), batch):
            part = group[at : at + batch]
            if waiting.records + len(part) > batch or waiting.labels == LABELS:
                yield waiting.call()
                waiting = _Builder(space, history, context)
            waiting.add(label, part)
    if waiting.records:
        yield waiting.call()


class _Builder:
    """A call in the making."""

    def __init__(self, space: Keyspace, history: int, context: int) -> None:
        self.records = 0
        self.labels = 0
        self._space = space
        self._history = history
        self._size = context
        self._keys: list[str] = []
        self._arguments: list[str | bytes] = []
        self._contexts: dict[str, bytes] = {}
        self._ids: dict[Context, str] = {None: ""}

    def add(self, label: str, records: list[Plain]) -> None:
        """Put in what was recorded of a label."""
        values, entries, ids = list[str](), list[str](), self._ids
        for timestamp, _, value, about in records:
            text = repr(value) if type(value) is float else _text(value)
            values.append(text)
            known = ids.get(about)
            entries.append(f"{timestamp!r};{text};{self._id(about) if known is None else known}")
        self._keys += self._space.of(label)
        self._arguments += [label, str(len(records)), *values, *entries]
        self.records += len(records)
        self.labels += 1

    def call(self) -> Call:
        """What it is now."""
        keys = [self._space.index, *map(self._space.context, self._contexts), *self._keys]
        head: list[str | bytes] = [str(self._history), str(TTL), str(len(self._contexts))]
        return Call(keys, [*head, *self._contexts.values(), *self._arguments], self.records)

    def _id(self, about: Context) -> str:
        data = context_of(about, self._size)
        name = self._ids[about] = context_id(data)
        if name:
            self._contexts[name] = data
        return name


def write(client: Client, todo: Iterable[Call]) -> list[Exception | None]:
    """Send the calls, :data:`TOGETHER` in one go, and say of each what the server had against it.

    Where the server does not know the script it is told, and these calls go again. What the client raises when the
    server is away or does not answer is raised here; then any of the calls may have been done, or none. Where some are
    answered already, it is said of all others.
    """
    steps = _writing(client, list(todo))
    try:
        ask = next(steps)
        while True:
            try:
                answer = ask()
            except Exception as error:  # noqa: BLE001 - of the client's library; what is no answer is raised again
                ask = steps.throw(error)
            else:
                ask = steps.send(answer)
    except StopIteration as done:
        answers: list[Exception | None] = done.value
        return answers


async def write_async(client: Client, todo: Iterable[Call]) -> list[Exception | None]:
    """The same with a client of ``redis.asyncio``."""
    steps = _writing(client, list(todo))
    try:
        ask = next(steps)
        while True:
            try:
                answer = await ask()
            except Exception as error:  # noqa: BLE001 - as above
                ask = steps.throw(error)
            else:
                ask = steps.send(answer)
    except StopIteration as done:
        answers: list[Exception | None] = done.value
        return answers


def _writing(client: Client, todo: Sequence[Call]) -> Steps[list[Exception | None]]:
    answers: list[Any] = []
    for at in range(0, len(todo), TOGETHER):
        try:
            answers += yield from _written(client, todo[at : at + TOGETHER])
        except Exception as error:
            if not answers:
                raise
            return [*answers, *[error] * (len(todo) - len(answers))]
    return answers


def _written(client: Client, todo: Sequence[Call]) -> Steps[list[Exception | None]]:
    answers = yield from _sent(client, [one.command() for one in todo])
    unknown = _unknown(answers)
    if unknown:
        yield lambda: client.execute_command("SCRIPT LOAD", SOURCE)
        again = yield from _sent(client, [todo[at].command() for at in unknown])
        for at, answer in zip(unknown, again, strict=True):
            answers[at] = answer
    return [answer if isinstance(answer, Exception) else None for answer in answers]


def _sent(client: Client, commands: Sequence[tuple[Any, ...]]) -> Steps[list[Any]]:
    if len(commands) > 1 and not _is_cluster(client):
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = yield lambda: pipeline.execute(raise_on_error=False)
        return answers
    answers = []
    for command in commands:
        try:
            answers.append((yield partial(client.execute_command, *command)))
        except Exception as error:  # noqa: BLE001 - of the client's library; what is no answer is raised again
            answers.append(_answered(error))
    return answers


def _is_cluster(client: Client) -> bool:
    """Whether it is one of a cluster, whose pipelines take no scripts."""
    return "Cluster" in type(client).__name__


def is_answer(error: Exception) -> bool:
    """Whether the server said so. Forks of redis-py call theirs the same."""
    return any(kind.__name__ == "ResponseError" for kind in type(error).__mro__)


def _answered(error: Exception) -> Exception:
    """The error, if it is an answer of the server; else it is raised."""
    if not is_answer(error):
        raise error
    return error


def _unknown(answers: Sequence[Any]) -> list[int]:
    """Which of the calls the server could not do because it does not know the script."""
    return [at for at, answer in enumerate(answers) if type(answer).__name__ == "NoScriptError"]


def _text(value: int | float) -> str:
    """A number's text, though it be of a class that writes itself otherwise."""
    return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)
