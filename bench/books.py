"""Whether the books balance over a long run with outages and kills: what the engine gave is what the destinations have.

::

    python bench/books.py [--containers N] [--interval S] [--rounds N] [--outage S] [--destinations NAME,...]

In each round every destination is killed, the daemon is killed with SIGKILL in the middle of that, and all come back.
At the end a table says what the daemons' own counters came to (those of a killed run as they were a moment before),
and what is really there. ``missing`` must be 0; ``unsynced`` were given in the last second before a kill, and may not
have been on disk. Exit code 1 when something is missing, or is twice where it should be once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.books import KINDS, Account, Books, books

COLUMNS = ("destination", "given", "collected", "restored", "delivered", "spooled", "dropped", "stored", "missing",
           "unsynced", "twice")  # fmt: skip


def told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(kept: Books, rounds: int, outage: float) -> None:
    for number in range(1, rounds + 1):
        told(f"round {number} of {rounds}: all is well")
        time.sleep(outage / 3)
        told(f"round {number} of {rounds}: every destination is killed, for {outage:g} s")
        kept.outage()
        time.sleep(outage / 2)
        told(f"round {number} of {rounds}: the daemon is killed, and starts again")
        kept.kill()
        time.sleep(outage / 2)
        kept.recovery()
    time.sleep(outage / 3)
    told("draining")
    kept.drained(timeout=60 + rounds * outage)


def row(account: Account) -> list[str]:
    counters = account.counters
    dropped = {name.partition(" ")[2]: n for name, n in counters.items() if name.startswith("dropped_total") and n}
    lost = account.given - set(account.stored)
    return [
        account.name,
        *(str(n) for n in (len(account.given), counters["collected_total"], counters["restored_total"])),
        *(str(n) for n in (counters["delivered_total"], counters["queue_samples"])),
        " ".join(f"{reason}={n}" for reason, n in dropped.items()) or "0",
        *(
            str(n)
            for n in (len(set(account.stored)), len(account.missing), len(lost) - len(account.missing), account.twice)
        ),
    ]


def table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[i]) for line in rows) for i in range(len(COLUMNS))]
    for line in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True)]
        print(f"{line[0]:<{widths[0]}}  {'  '.join(cells)}")


def main() -> int:
    """Run, print, and say with the exit code whether the books balance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=50)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--outage", type=float, default=30.0)
    parser.add_argument("--destinations", default=",".join(KINDS))
    given = parser.parse_args()
    with books(given.destinations.split(","), given.containers, given.interval) as kept:
        run(kept, given.rounds, given.outage)
        accounts = list(kept.accounts())
    once = {name for name, kind in KINDS.items() if kind.stores_once}
    table([COLUMNS, *map(row, accounts)])
    return int(any(a.missing or a.strange or (a.twice and a.name in once) for a in accounts))


if __name__ == "__main__":
    sys.exit(main())
