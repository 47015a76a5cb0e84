"""Version 2's API by its official client: POST /api/v2/write. InfluxDB 3 and VictoriaMetrics have it too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from statspout import RepositoryError
from statspout.repositories.influxdb_api.answers import Answer
from statspout.repositories.influxdb_api.api import Api
from statspout.repositories.influxdb_api.target import Target


class V2(Api):
    """Writes into a bucket of an organization, with a token, or as a user where a proxy asks for one."""

    def __init__(self, target: Target) -> None:
        from influxdb_client.client.write_api import SYNCHRONOUS

        super().__init__(target)
        self._client = self._new_client()
        for header, value in self.encoding.items():
            # The client's own gzip has level 9.
            self._client.api_client.set_default_header(header, value)
        self._write = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, body: bytes) -> Answer:
        """Send lines to /api/v2/write."""
        return self._answered(self._client, lambda: self._written(self.packed(body)))

    def create(self) -> str:
        """Make the bucket, of unlimited retention; the organization must be there."""
        client = self._new_client()
        try:
            answer = self._answered(client, lambda: client.buckets_api().create_bucket(bucket_name=self.target.bucket))
        except RepositoryError as error:
            raise self._refused(str(error)) from error
        finally:
            client.close()
        if answer.status != 201:
            raise self._refused(answer.text)
        return f"bucket {self.target.bucket!r}"

    def hint(self, answer: Answer) -> str:
        """What to do about what a setting can mend."""
        if answer.status == 404 and not answer.message:
            return ": no API of version 2 is there: InfluxDB 1.x is written to without --influxdb.bucket"
        if re.search(r"\borg", answer.message):
            return ": --influxdb.org names it"
        if answer.status in (401, 403) and not self.target.token:
            return ": --influxdb.token-file is not set"
        return ""

    def failures(self) -> tuple[type[Exception], ...]:
        """Those of the client, too, which 1.x's API has no need to load."""
        from influxdb_client.client.exceptions import InfluxDBError

        return (*super().failures(), InfluxDBError)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()
        super().close()

    def _written(self, body: bytes) -> None:
        from influxdb_client.domain.write_precision import WritePrecision

        self._write.write(self.target.bucket, self.target.org, record=body, write_precision=WritePrecision.NS)

    def _answered(self, client: Any, work: Callable[[], object]) -> Answer:
        """The answer to the last request of ``work``, whether the client takes it for an error or not."""
        from influxdb_client.rest import ApiException

        def attempt() -> Answer:
            try:
                work()
            except ApiException as error:
                if not error.status:  # there was no answer
                    raise
                return Answer(error.status, error.body or "", error.headers)
            answer = client.api_client.last_response
            return Answer(answer.status, answer.data, answer.getheaders())

        return self.safely(attempt)

    def _refused(self, reason: str) -> RepositoryError:
        return RepositoryError(
            f"there is no bucket {self.target.bucket!r}, and it cannot be created: {reason}: it takes a token that may "
            f"write buckets of the organization, or: influx bucket create --name {self.target.bucket!r}"
        )

    def _new_client(self) -> Any:
        from influxdb_client.client.influxdb_client import InfluxDBClient

        return InfluxDBClient(
            url=self.target.url,
            token=self.target.token or self.target.basic,
            auth_basic=bool(self.target.basic),
            org=self.target.org,
            timeout=int(self.target.timeout * 1000),
            retries=False,
            ssl_ca_cert=self.target.ca,
        )
