"""A daemon that reads what it writes would have all of it again with each look, for ever."""

from __future__ import annotations

from collections.abc import Iterable

from statspout.errors import ConfigError
from statspout.repository import Repository, name_of


def refuse_echo(place: str, namespace: str, repositories: Iterable[Repository]) -> None:
    """ConfigError when one of ``repositories`` keeps its statistics where ours are read.

    Only where that is certain: no name but localhost is looked up. That another name leads to the same Redis is seen
    when it is read: a repository leaves its mark there.
    """
    for repository in repositories:
        if repository.redis_statistics == (place, namespace):
            raise ConfigError(
                f"--listen.redis: repository {name_of(repository)} writes to {namespace} in that Redis, which would be "
                "read here again, for ever: another namespace for one of them is right"
            )
