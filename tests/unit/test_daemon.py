"""What the daemon tells its repositories before they open."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import pytest

from statspout import Repository, Sample, option
from statspout.daemon import Daemon
from statspout.repositories.rest import Rest
from statspout.repositories.stdout import Stdout
from statspout.settings import Settings


class Slow(Repository):
    """Has a setting of its own that is called interval."""

    name = "slow"
    interval: float = option(default=60.0, help="Seconds between two writes.")

    def push(self, batch: Sequence[Sample]) -> None: ...


@pytest.mark.parametrize(("once", "interval"), [(False, 2.0), (True, math.inf)])
def test_every_repository_knows_the_interval_and_keeps_a_setting_of_that_name(once: bool, interval: float) -> None:
    repositories = [Stdout(stream=io.BytesIO()), Rest(address="127.0.0.1:0"), Slow(interval=7.0)]
    Daemon(Settings(socket_path="/nowhere.sock", interval=2.0, once=once), repositories)
    assert [repository.interval for repository in repositories] == [interval, interval, 7.0]
