"""InfluxDB 1.x, 2 and 3, and VictoriaMetrics, in line protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from statspout import (
    ConfigError,
    Container,
    ContainerSample,
    Metric,
    Rejected,
    Repository,
    RepositoryError,
    Sample,
    option,
)
from statspout.labels import labels_option
from statspout.logs import hide
from statspout.repositories.influxdb_api import Api, Target, connect
from statspout.repositories.influxdb_api.answers import Missing, error_of_write
from statspout.repositories.influxdb_api.lines import Batch
from statspout.repositories.influxdb_api.target import Address, checked_ca, checked_token, parsed_url
from statspout.repositories.influxdb_lines import SCHEMAS
from statspout.repositories.influxdb_lines.schema import Schema

log = logging.getLogger("statspout.influxdb")

_URL = "http://localhost:8086"
_DATABASE = "statspout"


class InfluxDB(Repository):
    """Write all numbers of each sample into InfluxDB 1.x, 2 or 3, or VictoriaMetrics.

    A ``bucket`` selects version 2's API, without one it is 1.x's. What does not exist yet, database or bucket, is made.
    A point written twice is one point, so a batch of which the outcome is unknown may come again.
    """

    name = "influxdb"
    accepts: ClassVar[tuple[type, ...]] = (ContainerSample, Metric)
    aliases = ("influx",)
    needs = ("influxdb_client", "urllib3")

    url: str = option(default=_URL, help="Where the server is.")
    address: str | None = option(default=None, help="The same, under the Go program's name.")
    org: str = option(default="", help="InfluxDB 2: the organization of the bucket.")
    bucket: str = option(
        default="", help="InfluxDB 2, 3 (there it is the database) and VictoriaMetrics: where to write."
    )
    token: str = option(default="", secret=True, help="InfluxDB 2 and 3: a token that may write to the bucket.")
    database: str = option(default=_DATABASE, help="InfluxDB 1.x: where to write.")
    user: str = option(default="", help="InfluxDB 1.x with authentication, or a proxy: who writes.")
    password: str = option(default="", secret=True, help="The password of the user.")
    schema: Literal["own", "legacy", "telegraf"] = option(
        default="own", help="Names and tags: our own, those of the Go program, or those of Telegraf's inputs.docker."
    )
    labels: tuple[str, ...] = labels_option()
    gzip: bool = option(default=True, help="Compress what is sent.")
    timeout: float = option(
        default=10.0, minimum=0.1, maximum=3600, help="Seconds to wait for a connection and an answer."
    )
    tls_ca: str | None = option(
        default=None, help="A file of certificates in PEM: authorities to trust for https instead of the system's."
    )

    def __post_init__(self) -> None:
        for secret in (self.token, self.password):
            hide(secret)
        self._target = self._checked()
        self._schema: Schema = SCHEMAS[self.schema](self.labels)
        self._api: Api | None = None

    def open(self) -> None:
        """Connect, and see whether the server has string fields."""
        self._api = connect(self._target)
        texts = self._api.has_texts()
        if texts != self._schema.texts:
            self._schema = SCHEMAS[self.schema](self.labels, texts=texts)

    def push(self, batch: Sequence[Sample]) -> None:
        """Write the lines of ``batch`` in one request. Rejected says which, or how many, samples are not stored."""
        unwritable, lines = self._encoded(batch)
        error = self._write(lines) if any(lines.texts) else None
        if isinstance(error, Rejected) and unwritable:
            raise _joined(error, unwritable)
        if error is not None:
            raise error
        if unwritable:
            raise Rejected("a value that is no number", unwritable, "stored")

    def clear(self, container: Container) -> None:
        """Forget a container that is gone."""
        self._schema.clear(container)

    def close(self) -> None:
        """Close the connections."""
        if self._api is not None:
            self._api.close()
            self._api = None

    def _write(self, batch: Batch) -> RepositoryError | None:
        error = self._attempt(batch)
        if not isinstance(error, Missing):
            return error
        assert self._api is not None, "open comes before push"
        name = f"{self.name}:{self.instance}" if self.instance else self.name
        log.info("%s: made the %s", name, self._api.create())
        return self._attempt(batch)

    def _attempt(self, batch: Batch) -> RepositoryError | None:
        assert self._api is not None, "open comes before push"
        answer = self._api.write(batch.body)
        error = error_of_write(answer, batch)
        hint = self._api.hint(answer)
        return RepositoryError(f"{error}{hint}") if type(error) is RepositoryError and hint else error

    def _encoded(self, batch: Sequence[Sample]) -> tuple[set[int], Batch]:
        """The positions of samples that cannot be written (a text for a number, say), and the lines of the others."""
        unwritable, texts = set(), []
        lines, application = self._schema.lines, self._schema.application
        for index, sample in enumerate(batch):
            text = b""
            try:
                text = lines(sample) if isinstance(sample, ContainerSample) else application(sample)
            except (TypeError, ValueError, OverflowError):
                unwritable.add(index)
            texts.append(text)
        return unwritable, Batch(texts)

    def _checked(self) -> Target:
        address = self._address()
        for problem in self._problems(address):
            raise ConfigError(problem)
        return Target(
            url=address.url,
            user=self.user or address.user,
            password=self.password or address.password,
            database=self.database,
            org=self.org,
            bucket=self.bucket,
            token=checked_token(self.token, "influxdb.token") if self.token else "",
            ca=checked_ca(self.tls_ca, "influxdb.tls-ca") if self.tls_ca else None,
            gzip=self.gzip,
            timeout=self.timeout,
        )

    def _address(self) -> Address:
        """Where the server is, by whichever of the two settings was given."""
        if self.address is None:
            return parsed_url(self.url, "influxdb.url")
        address = parsed_url(self.address, "influxdb.address")
        # The very default, not an equal text, is there when nothing was given.
        if self.url is not _URL and parsed_url(self.url, "influxdb.url") != address:
            raise ConfigError("--influxdb.url and --influxdb.address: they are one setting with two values: give one")
        self.url = self.address
        return address

    def _problems(self, address: Address) -> Iterator[str]:
        """What is wrong with the settings as a whole."""
        user = self.user or address.user
        if address.user and self.user not in ("", address.user):
            yield "--influxdb.user: there is another one in the URL: give one"
        if address.password and self.password not in ("", address.password):
            yield "--influxdb.password-file: there is another one in the URL: give one"
        if self.password and not user:
            yield "--influxdb.password-file: it is of no use without --influxdb.user"
        if self.bucket and self.database != _DATABASE:
            yield "--influxdb.database and --influxdb.bucket: the one is for InfluxDB 1.x, the other for 2: give one"
        if self.bucket and self.token and user:
            yield "--influxdb.user and --influxdb.token-file: one of them says who writes: give one"
        if not self.bucket and (self.token or self.org):
            yield f"--influxdb.{'token-file' if self.token else 'org'}: it needs --influxdb.bucket beside it"
        if not self.bucket and not self.database:
            yield "--influxdb.database: a name such as statspout is right"
        if self.tls_ca and not address.url.startswith("https:"):
            yield "--influxdb.tls-ca: it is of no use without https:// in --influxdb.url"


def _joined(error: Rejected, unwritable: set[int]) -> Rejected:
    """``error``, which is about what was sent, with what could not be sent."""
    if error.count is not None:
        return Rejected(error.reason, count=error.count + len(unwritable))
    if error.indices is not None:
        return Rejected(error.reason, error.indices | unwritable, error.rest)
    return Rejected("a value that is no number", unwritable, "retry")
