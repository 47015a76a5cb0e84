"""What holds whatever a destination does: the others go on, poison costs itself alone, nobody reads a secret."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.books import nanoseconds
from support.daemon import Daemon, run_program
from support.influxdb import silent_server
from support.receiver import Posted, Receiver, Reply
from support.standstill import PATIENCE, undisturbed

from statspout import Handling
from statspout.delivery.backoff import Backoff
from statspout.delivery.books import Books
from statspout.delivery.delivery import Delivery
from statspout.repositories.prometheus import Prometheus
from statspout.repositories.rest import Rest
from statspout.repositories.stdout import Stdout
from statspout.repositories.webhook import Webhook
from statspout.router import Router, route_to
from statspout.testing import FakeEngine, metrics, sample, samples

INTERVAL = 1.0


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        for name in ("web", "db", "cache"):
            engine.add(name, cpu=0.5)
        yield engine


@undisturbed(0.1)
def test_a_webhook_that_hangs_does_not_make_rest_old(engine: FakeEngine) -> None:
    with silent_server() as url, Daemon(
        "--repository=webhook,rest", f"--webhook.url={url}", "--rest.address=127.0.0.1:0", "--webhook.push-timeout=1",
        f"--socket.path={engine.socket_path}", f"--interval={INTERVAL:g}",
    ) as daemon:  # fmt: skip
        daemon.eventually(lambda: len(daemon.stats()) == 3)
        deadline, ages = time.monotonic() + 8, []
        while time.monotonic() < deadline:
            now = time.time_ns()
            ages += [(now - nanoseconds(one["@timestamp"])) / 1e9 for one in daemon.stats().values()]
            time.sleep(0.1)
        assert max(ages) < INTERVAL + 0.4, "an interval, and what a request takes"
        assert "did not return within 1 s" in daemon.log
        assert "calls hang" in daemon.eventually(lambda: daemon.log if "calls hang" in daemon.log else "")


def test_three_poison_samples_of_five_hundred_cost_themselves_and_few_requests() -> None:
    poison = {"web-7", "web-250", "web-499"}

    async def main(url: str) -> Delivery:
        delivery = Delivery(Webhook(url=url, handling=Handling(batch_size=500)), backoff=Backoff(0.01, 0.1))
        for one in samples(500):
            delivery.put([one])
        delivery.start()
        await delivery.stop(PATIENCE)
        return delivery

    with Receiver() as receiver:
        receiver.refuse = lambda batch: any(one["name"] in poison for one in batch)
        books = asyncio.run(main(receiver.url)).books
        assert (books.delivered, books.dropped, books.balanced) == (497, {"rejected": 3}, True)
        assert receiver.stored_names() == {one.container.name for one in samples(500)} - poison
        assert len(receiver.posted) <= 50


def test_what_applications_report_goes_the_same_way_and_the_books_balance() -> None:
    stream = io.BytesIO()

    async def main(url: str) -> dict[str, Books]:
        repositories = (Webhook(url=url), Stdout(stream=stream, format="json"), Prometheus(), Rest())
        router = Router([route_to(repository) for repository in repositories])
        for route in router.routes:
            route.start()
        router.clear(sample().container)  # what it counted before is still true
        router.push_all([sample("db"), *metrics()])
        for route in router.routes:
            await route.stop(PATIENCE)
        return {route.name: route.books for route in router.routes}

    with Receiver() as receiver:
        books = asyncio.run(main(receiver.url))
        (posted,) = receiver.stored
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == posted.json()
    assert [one.get("kind") for one in posted.json()] == [None, *(one.kind for one in metrics())]
    assert {name: (one.delivered, dict(one.dropped), one.balanced) for name, one in books.items()} == {
        "webhook": (8, {}, True), "stdout": (8, {}, True), "rest": (8, {}, True),
        "prometheus": (7, {"rejected": 1}, True),
    }  # fmt: skip


SECRETS = {
    "influx password": "inf1ux+pass word",
    "influx token": "inf1ux-t0ken==",
    "url password": "ur1-passw0rd",
    "mongo password": "m0ngo/pass@word",
    "webhook token": "webh00k-t0ken",
    "webhook header": "header-va1ue",
}


class Echoes(Receiver):
    """Refuses everybody, and repeats what it was told: what a careless server's error page does."""

    def reply_to(self, posted: Posted) -> Reply:
        self.posted.append(posted)
        return Reply(401, body=repr(dict(posted.headers)).encode() + " ".join(SECRETS.values()).encode())


def basic(password: str) -> str:
    """As it is in the header for basic authentication."""
    return base64.b64encode(f"me:{password}".encode()).decode()


def test_no_secret_is_shown_to_anybody(engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "mongo").write_text(SECRETS["mongo password"])
    (tmp_path / "token").write_text(SECRETS["webhook token"])
    with Echoes() as echoes:
        environ = {
            "STATSPOUT_INFLUXDB_ONE_PASSWORD": SECRETS["influx password"],
            "STATSPOUT_INFLUXDB_TWO_TOKEN": SECRETS["influx token"],
            "STATSPOUT_INFLUXDB_URL": f"http://{echoes.address}",
            "STATSPOUT_WEBHOOK_HEADERS": f"X-Api-Key: {SECRETS['webhook header']}",
            "STATSPOUT_WEBHOOK_B_URL": f"http://me:{SECRETS['url password']}@{echoes.address}/",
        }
        arguments = [
            "--repository=influxdb:one,influxdb:two,mongodb,webhook:a,webhook:b", "--influxdb.one.user=me",
            "--influxdb.two.bucket=b", "--influxdb.two.org=o", "--mongodb.user=me", "--mongodb.timeout=1",
            f"--mongodb.uri=mongodb://{echoes.address}/", f"--mongodb.password-file={tmp_path}/mongo",
            f"--webhook.a.url={echoes.url}", f"--webhook.a.token-file={tmp_path}/token",
            f"--socket.path={engine.socket_path}", "--interval=1", "--log.level=debug", f"--spool.dir={tmp_path}/spool",
        ]  # fmt: skip
        shown = [run_program(command, *arguments, environ=environ) for command in ("check", "config")]
        with Daemon(*arguments, "--health.address=127.0.0.1:0", environ=environ) as daemon:
            daemon.eventually(lambda: daemon.log.count("failed") >= 8)
            pages = [daemon.get(path, "health.address").body.decode() for path in ("/metrics", "/readyz")]
            command_line = Path(f"/proc/{daemon.pid}/cmdline").read_text()
            daemon.terminate()
            everything = [daemon.log, command_line, *pages, *(one.out + one.err for one in shown)]
    secrets = SECRETS | {f"{name}, encoded": basic(SECRETS[name]) for name in ("influx password", "url password")}
    assert [name for name, secret in secrets.items() for text in everything if secret in text] == []
    assert len(echoes.posted) > 4, "nobody was told them either"
    assert all(one.code == 0 for one in shown), shown
