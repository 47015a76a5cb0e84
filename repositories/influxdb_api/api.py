"""What both APIs have in common: a pool of connections, and one line for whatever goes wrong in it."""

from __future__ import annotations

import base64
import gzip
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

from statspout import RepositoryError
from statspout.logs import hide
from statspout.repositories.influxdb_api.answers import Answer
from statspout.repositories.influxdb_api.target import Target
from statspout.repositories.influxdb_api.troubles import told

T = TypeVar("T")

_LEVEL = 1
"""Of gzip: 9, the usual one, costs four times as much as to make the lines, and saves a tenth."""


class Api(ABC):
    """Writes lines to one server. Whatever goes wrong on the way is a RepositoryError of one line."""

    def __init__(self, target: Target) -> None:
        import urllib3

        self.target = target
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(total=target.timeout), cert_reqs="CERT_REQUIRED", ca_certs=target.ca
        )

    @abstractmethod
    def write(self, body: bytes) -> Answer:
        """Send lines."""

    @abstractmethod
    def create(self) -> str:
        """Make the database or the bucket, and say what was made; RepositoryError says what it takes."""

    @abstractmethod
    def hint(self, answer: Answer) -> str:
        """What to do about an answer that a setting can mend; empty when that is not known."""

    def has_texts(self) -> bool:
        """Whether the server has string fields; it is asked for a sign of life on the occasion."""
        return "X-Server-Hostname" not in self.ask("GET", "/ping").headers  # only VictoriaMetrics says that

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; redirects are answers like any other."""
        url = f"{self.target.url}{path}" + (f"?{urlencode(query)}" if query else "")
        return self.safely(lambda: self._ask(method, url, body, {**self._authorization(), **(headers or {})}))

    def failures(self) -> tuple[type[Exception], ...]:
        """What the client raises when something goes wrong on the way."""
        from http.client import HTTPException

        from urllib3.exceptions import HTTPError

        return HTTPError, HTTPException, OSError, ValueError

    def safely(self, work: Callable[[], T]) -> T:
        """What ``work`` returns; what the client raises becomes one line."""
        try:
            return work()
        except self.failures() as error:
            raise RepositoryError(f"{self.target.url}: {told(error, self.target.timeout)}") from error

    def packed(self, body: bytes) -> bytes:
        """The body as it is sent."""
        return gzip.compress(body, _LEVEL, mtime=0) if self.target.gzip else body

    @property
    def encoding(self) -> dict[str, str]:
        """The header that says how :meth:`packed` packs."""
        return {"Content-Encoding": "gzip"} if self.target.gzip else {}

    def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        answer = self._pool.request(method, url, body=body, headers=headers, redirect=False, retries=False)
        return Answer(answer.status, answer.data.decode("utf-8", "replace"), answer.headers)

    def _authorization(self) -> dict[str, str]:
        if self.target.token:
            return {"Authorization": f"Token {self.target.token}"}
        if not self.target.basic:
            return {}
        pair = base64.b64encode(self.target.basic.encode()).decode()
        hide(pair)  # a careless server's error page repeats what it was asked
        return {"Authorization": f"Basic {pair}"}
