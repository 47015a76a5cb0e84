"""Repositories of somebody else, as files that ``--plugin`` names."""

from __future__ import annotations

SECRET = "correct horse battery"

BOOK_AND_VAULT = '''
import pathlib, time
from statspout import LiveRepository, Repository, option

class Book(Repository):
    """Note each sample in a file, a line each, slowly."""
    name = "book"
    batch_size, flush_interval = 1, 0
    path: str = option(help="The file.")
    seconds: float = option(default=0.0, help="How long each takes.")
    go: str = option(default="", help="The file before which the first one does not end.")

    def push(self, batch):
        with pathlib.Path(self.path).open("a") as book:
            book.write(f"begun {batch[0].container.name}\\n")
            book.flush()
            time.sleep(self.seconds)
            while self.go and not pathlib.Path(self.go).exists():
                time.sleep(0.01)
            book.write(f"stored {batch[0].container.name}\\n")

class Vault(Repository):
    """Show its token to whoever tries."""
    name = "vault"
    flush_interval = 0
    token: str = option(secret=True, help="The token.")

    def push(self, batch):
        raise RuntimeError(f"who are you, {self.token}?")
'''
"""One that is slow, and one that shows its secret to whoever tries."""

ENDLESS = '''
import asyncio, contextlib, time
from statspout import Repository

class Stubborn(Repository):
    """Will not be cancelled."""
    name = "stubborn"

    async def push(self, batch):
        print("stubborn begins", flush=True)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

class Threaded(Repository):
    """Waits for a thread that cannot be."""
    name = "threaded"

    async def push(self, batch):
        print("threaded begins", flush=True)
        await asyncio.to_thread(time.sleep, 60)
'''
"""Two whose calls do not end, whatever the loop does."""
