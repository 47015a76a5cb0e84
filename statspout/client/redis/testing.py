"""A plugin of pytest: with the fixture ``mock_stats`` a test sees what was recorded, and needs no Redis.

::

    def test_that_it_counts(mock_stats):
        do_something()
        assert [label for _, label, _, _ in mock_stats] == ["something_done"]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from statspout.client.redis.records import Plain


@pytest.fixture
def mock_stats(monkeypatch: pytest.MonkeyPatch) -> list[Plain]:
    """What is written, by whatever module and whichever call, as (timestamp, label, value, context); not to Redis.

    A ``Stats`` writes at the end of its block, and ``push_stat`` at once. What cannot be recorded is not in it.
    """
    from statspout.client.redis import saving  # a session that asks for no stats does not load it

    written: list[Plain] = []

    def save(records: Sequence[Plain], *_: object, **_named: object) -> None:
        written.extend((at, label, value, context) for at, label, value, context in records)

    async def save_async(records: Sequence[Plain], *_: object, **_named: object) -> None:
        save(records)

    monkeypatch.setattr(saving, "save", save)
    monkeypatch.setattr(saving, "save_async", save_async)
    return written
