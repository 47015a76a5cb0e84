"""mmash's pages as a person sees them: a real browser, a real server, real processes that count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Browser
from support.daemon import Daemon
from support.influxdb import free_port
from support.mmstats import Laid, laid
from support.tools import Writer, environment, tool

COUNTING = """
def work():
    while True:
        stats.requests.incr(5); stats.took.add(0.25); time.sleep(0.05)
threading.Thread(target=work, daemon=True).start()
stats.note = "open <b>"; stats.took.add(0.25)
"""
"""A hundred requests a second, and not many more or less."""

HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>\u202e\x1b[31m"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


class Site(Daemon):
    """mmash on a port of its own, of the files in a folder."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environ = environment({"MMSTATS_PATH": str(folder)})
        super().__init__(f"--address=127.0.0.1:{port}", *arguments, environ=environ, program=(tool("mmash"),))
        self.wait_for_line(" address: http")


def points(browser: Browser, label: str) -> int:
    """How many points the label's graph has."""
    found = browser.run(f"return document.querySelector('section[data-label=\"{label}\"]')?.dataset.points ?? 0")
    return int(found)


def numbers(browser: Browser) -> dict[str, str]:
    """What each graph says of its label now."""
    return dict(zip(browser.texts("h2"), browser.texts(".now"), strict=True))


def test_graphs_go_on_as_a_process_counts(tmp_path: Path, browser: Browser) -> None:
    with Site(tmp_path) as site, Writer(tmp_path, COUNTING):
        browser.complaints()
        browser.open(f"{site.url}/graph/")
        browser.until(lambda: points(browser, "web.stats.requests") >= 4)
        assert browser.texts("h2") == [f"web.stats.{name}" for name in ("note", "requests", "took", "up")]
        assert browser.texts("#state") == ["4 of 10 labels"]
        # A process that stands still for an interval counts nothing in it.
        browser.until(lambda: not numbers(browser)["web.stats.requests"].startswith("0 "))
        shown = numbers(browser)
        rate, _, unit = shown["web.stats.requests"].partition(" ")
        # The main thread's file and the other's.
        assert (0 <= float(rate) <= 500, unit) == (True, "per second, 2 files")
        assert (shown["web.stats.took"], shown["web.stats.note"]) == ("0.25 2 files", "open <b>")
        line = browser.run(
            "return document.querySelector('[data-label=\"web.stats.requests\"] .line').getAttribute('d')"
        )
        assert line.startswith("M")
        assert line.count("L") >= 3
        assert browser.complaints() == []


def test_the_graph_of_a_counter_shows_its_total_too(tmp_path: Path, browser: Browser) -> None:
    with (
        Site(tmp_path) as site,
        Writer(tmp_path, "stats.requests.incr(4321)"),
        Writer(tmp_path, "stats.requests.incr(4)"),
    ):
        browser.open(f"{site.url}/graph/?label=web.stats.requests")
        browser.until(lambda: points(browser, "web.stats.requests") >= 1)
        assert browser.texts("h2") == ["web.stats.requests"]
        assert browser.texts(".now") == ["0 per second, 2 files"]
        browser.all("section button")[0].click()
        browser.until(lambda: browser.texts(".now") == ["4,325 2 files"])


def test_a_filter_leaves_the_other_labels_out_and_stays_in_the_address(tmp_path: Path, browser: Browser) -> None:
    with Site(tmp_path) as site, Writer(tmp_path, COUNTING):
        browser.open(f"{site.url}/graph/")
        browser.until(lambda: len(browser.all("section")) == 4)
        browser.all("#filter")[0].send_keys("SYS.P")
        browser.until(lambda: browser.texts("h2") == ["web.stats.sys.pid"])
        browser.open(browser.driver.current_url)
        browser.until(lambda: browser.texts("h2") == ["web.stats.sys.pid"])


def test_processes_that_come_and_go_are_seen_without_loading_the_page_again(tmp_path: Path, browser: Browser) -> None:
    with Site(tmp_path) as site:
        browser.open(f"{site.url}/graph/")
        browser.until(lambda: browser.texts("#state") == ["no statistics there"])
        with Writer(tmp_path, COUNTING):
            browser.until(lambda: len(browser.all("section")) == 4)
        browser.until(lambda: browser.texts("#state") == ["no statistics there"] and not browser.all("section"))


def test_a_server_that_does_not_answer_is_said_and_come_back_to(tmp_path: Path, browser: Browser) -> None:
    with Writer(tmp_path, COUNTING):
        with Site(tmp_path) as site:
            browser.open(f"{site.url}/graph/")
            browser.until(lambda: points(browser, "web.stats.requests") >= 1)
        browser.until(lambda: browser.all("#state.trouble"))
        assert "the last answer came" in browser.texts("#state")[0]
        again = Daemon(
            f"--address={site.url.removeprefix('http://')}", program=(tool("mmash"),),
            environ=environment({"MMSTATS_PATH": str(tmp_path)}),
        )  # fmt: skip
        with again:
            browser.until(lambda: browser.texts("#state") == ["4 of 10 labels"])


LOSING = """
const real = window.fetch;
let asked = 0;
window.fetch = (...how) => ++asked % 3 ? Promise.reject(new TypeError("Failed to fetch")) : real(...how);
"""
"""Two requests of three are lost, as when interfaces come and go one after the other."""


def test_requests_that_are_lost_again_and_again_are_no_gap(tmp_path: Path, browser: Browser) -> None:
    with Site(tmp_path) as site, Writer(tmp_path, COUNTING):
        browser.open(f"{site.url}/graph/?label=web.stats.requests")
        browser.until(lambda: points(browser, "web.stats.requests") >= 1)
        browser.run(LOSING)
        browser.until(lambda: points(browser, "web.stats.requests") >= 4)
        assert browser.texts("#state") == ["1 of 10 labels"]
        assert browser.run("return document.querySelector('.line').getAttribute('d')").count("M") == 1


@pytest.mark.parametrize("path", ["/", "/graph/"])
def test_hostile_labels_and_texts_are_text_and_nothing_is_loaded_from_elsewhere(
    path: str, tmp_path: Path, browser: Browser
) -> None:
    label = HOSTILE.encode()
    fields = [
        Laid(label, "199s", 255, (label,)), Laid(b"__proto__", "Q", 1, (7, 0)), Laid(b"constructor", "I", 255, (8,)),
        Laid(b"x" * 40_000, "I", 255, (1,)), Laid(b"nan", "d", 255, (float("nan"),)),
    ]  # fmt: skip
    (tmp_path / "h.mmstats").write_bytes(laid(fields))
    with Site(tmp_path) as site:
        browser.complaints()
        browser.open(site.url + path)
        where = "h2" if path == "/graph/" else "td:first-child"
        browser.until(lambda: [text for text in browser.texts(where) if "onerror" in text])
        browser.until(lambda: path == "/" or points(browser, "__proto__") >= 1)
        assert browser.run("return document.title") in ("labels", "graphs")
        assert browser.run("return document.querySelectorAll('img, script:not([src])').length") == 0
        entries = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert [one for one in entries if not one.startswith((site.url, "data:"))] == []
        assert browser.complaints() == []


def test_a_link_of_the_list_of_labels_leads_to_its_graph(tmp_path: Path, browser: Browser) -> None:
    with Site(tmp_path) as site, Writer(tmp_path, COUNTING):
        browser.open(site.url)
        (link,) = [found for found in browser.all("a") if found.text == "counter"]
        link.click()
        browser.until(lambda: browser.texts("h2") == ["web.stats.requests"])


def test_who_has_the_password_sees_the_graphs(tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "password").write_text("secret\n")
    with Site(tmp_path, "--web.user=ann", f"--web.password-file={tmp_path / 'password'}") as site:
        (tmp_path / "a.mmstats").write_bytes(laid([Laid(b"hits", "Q", 1, (7, 0))]))
        browser.open(site.url.replace("://", "://ann:secret@") + "/graph/")
        browser.until(lambda: points(browser, "hits") >= 2)
