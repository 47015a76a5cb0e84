"""InfluxDB 1.x's API: POST /write and /query. VictoriaMetrics has it too, and InfluxDB 2 and 3 for compatibility."""

from __future__ import annotations

from typing import Any

from statspout import RepositoryError
from statspout.repositories.influxdb_api.answers import Answer
from statspout.repositories.influxdb_api.api import Api
from statspout.statuses import shortened


class V1(Api):
    """Writes into a database, as a user where one is given."""

    def write(self, body: bytes) -> Answer:
        """Send lines to /write."""
        query = {"db": self.target.database, "precision": "ns"}
        headers = {"Content-Type": "text/plain; charset=utf-8", **self.encoding}
        return self.ask("POST", "/write", query, self.packed(body), headers)

    def create(self) -> str:
        """Make the database, with the retention that the server gives by default."""
        statement = f"CREATE DATABASE {quoted(self.target.database)}"
        answer = self.ask("POST", "/query", {"q": statement})
        reason = _failure(answer)
        if reason and answer.status in (401, 403):
            reason = f"{reason}: it takes an administrator, who may say: {statement}"
        if reason:
            raise RepositoryError(f"there is no database {self.target.database!r}, and it cannot be created: {reason}")
        return f"database {self.target.database!r}"

    def hint(self, answer: Answer) -> str:
        """What to do about what a setting can mend."""
        if answer.status == 404:
            return ": InfluxDB 2 wants --influxdb.org, --influxdb.bucket and a token; or the path of the URL is wrong"
        if answer.status in (401, 403) and not self.target.user:
            return ": --influxdb.user and --influxdb.password-file are not set"
        return ""


def quoted(name: str) -> str:
    """A name in InfluxQL, whatever is in it."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _failure(answer: Answer) -> str:
    """Why the statement was not executed; empty when it was."""
    if answer.status != 200:
        return answer.text
    results: Any = answer.json.get("results")
    if not isinstance(results, list):
        return answer.text
    errors = [result["error"] for result in results if isinstance(result, dict) and "error" in result]
    return shortened(str(errors[0])) if errors else ""
