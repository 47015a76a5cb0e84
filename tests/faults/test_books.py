"""Every sample that the engine gave is in every destination, whatever died meanwhile."""

from __future__ import annotations

import pytest
from support.books import KINDS, Account, books
from support.standstill import PATIENCE

CONTAINERS = 50


@pytest.fixture(scope="module")
def accounts() -> dict[str, Account]:
    """50 containers at 1 s; every destination is away for 30 rounds, and in the middle the daemon is killed."""
    with books(list(KINDS), CONTAINERS, interval=1) as kept:
        kept.passes(6)
        kept.outage()
        kept.passes(15)
        kept.kill()
        kept.passes(15)
        kept.recovery()
        kept.passes(6)
        kept.drained(timeout=PATIENCE)
        return {account.name: account for account in kept.accounts()}


@pytest.mark.parametrize("name", KINDS)
def test_the_books_balance(accounts: dict[str, Account], name: str) -> None:
    account = accounts[name]
    assert len(account.given) > 35 * CONTAINERS, "too little happened"
    assert (account.missing, account.strange) == (set(), set())
    assert len(account.given - set(account.stored)) <= 2 * CONTAINERS, "at most the last second before the kill"
    assert account.counters["restored_total"] > 10 * CONTAINERS, "the spool had nothing to do"
    assert not [name for name, count in account.counters.items() if name.startswith("dropped") and count]


@pytest.mark.parametrize("name", ["influxdb:one", "mongodb", "redis:all"])
def test_nothing_is_stored_twice(accounts: dict[str, Account], name: str) -> None:
    assert accounts[name].twice == 0
