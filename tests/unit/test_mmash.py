"""mmash: the original's paths and JSON, and what they do not give away."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.mmstats import Laid, laid
from support.web import Answer, Client, served

from statspout.errors import ConfigError
from statspout.mmash.files import Files
from statspout.mmash.routes import Mmash
from statspout.mmash.settings import asked

HOSTILE = '"><script>alert(1)</script>\u202e\x1b[31m/ä?&#%'
NAN = float("nan")


def put(folder: Path, name: str, *fields: Laid) -> Path:
    (folder / name).write_bytes(laid(fields))
    return folder / name


def filled(around: Path) -> Path:
    """A folder with two processes, beside which there is something that is nobody's business."""
    inside = around / "stats"
    inside.mkdir()
    common = Laid(b"web.version", "4s", 255, (b"3.11",))
    put(inside, "a.mmstats", Laid(b"web.hits", "Q", 1, (3, 0)), Laid(b"web.load", "d", 1, (0.0, 9.0)), common)
    put(inside, "b.mmstats", Laid(b"web.hits", "Q", 1, (5, 0)), Laid(b"web.load", "d", 1, (1.5, 9.0)), common)
    put(inside, "c.stats", Laid(b"web.hitsy", "I", 255, (7,)), Laid(b"nan", "d", 255, (NAN,)))
    put(around, "secret.mmstats", Laid(b"web.secret", "I", 255, (1,)))
    return inside


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server of such a folder, for those that change nothing in it."""
    with served(Mmash(Files(f"{filled(tmp_path_factory.mktemp('mmash'))}/*stats")).routes()) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Such a folder of a test's own."""
    return filled(tmp_path)


@pytest.fixture
def own(folder: Path) -> Iterator[Client]:
    """A server of that one."""
    with served(Mmash(Files(f"{folder}/*stats")).routes()) as client:
        yield client


def got(client: Client, path: str) -> Any:
    answer = client.ask(path)
    assert answer.status == 200, answer
    return json.loads(answer.body, parse_constant=pytest.fail)


@pytest.mark.parametrize("path", ["/stats", "/stats/"])
def test_all_labels_are_listed_once_and_sorted(path: str, client: Client) -> None:
    assert got(client, path) == {"stats": ["nan", "web.hits", "web.hitsy", "web.load", "web.version"]}


HITS, HITSY, LOAD = {"web.hits": [3, 5]}, {"web.hitsy": [7]}, {"web.load": [0.0, 1.5]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/stats/web.h", HITS | HITSY),
        ("/stats/web.hits", HITS | HITSY),
        ("/stats/web.hits?exact=1", HITS),
        ("/stats/web.hits?exact=0", HITS | HITSY),
        ("/stats/web.hit?exact=1", {}),
        ("/stats/none", {}),
        ("/stats/web.h?glob=a*", {"web.hits": [3]}),
        ("/stats/web.h?glob=*.none", {}),
        ("/stats/nan", {"nan": [None]}),
        ("/stats/?label=web.hits&label=web.load&label=none", HITS | LOAD),
        ("/stats/web.h?aggr=sum", {"web.hits": 8, "web.hitsy": 7}),
        ("/stats/web.hits?exact=1&aggr=avg", {"web.hits": 4.0}),
        ("/stats/web.hits?exact=1&aggr=max", {"web.hits": 5}),
        ("/stats/web.hits?exact=1&aggr=min", {"web.hits": 3}),
        ("/stats/web.hits?exact=1&aggr=one", {"web.hits": 3}),
        ("/stats/web.load?aggr=nonzero-min", {"web.load": 1.5}),
        ("/stats/web.load?aggr=nonzero-avg", {"web.load": 1.5}),
        ("/stats/web.version?aggr=one", {"web.version": "3.11"}),
        ("/stats/web.hits?exact=1&aggr=sum&glob=b.*", {"web.hits": 5}),
        ("/stats/none?aggr=sum", {}),
        ("/stats/web?aggr=sum", {"web.hits": 8, "web.hitsy": 7, "web.load": 1.5, "web.version": None}),
    ],
)
def test_values_are_asked_for_as_the_original_has_it(path: str, found: Any, client: Client) -> None:
    assert got(client, path) == found


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/stats/web.version?aggr=sum", "'web.version' has no sum: labels of numbers are right"),
        ("/stats/nan?aggr=avg", "'nan' has no avg: labels of numbers are right"),
        ("/stats/web.hits?aggr=x", "aggr='x' is wrong: avg, max, min, nonzero-avg, nonzero-min, one, sum are right"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_400(path: str, error: str, client: Client) -> None:
    answer = client.ask(path)
    assert (answer.status, answer.json()) == (400, {"error": error})


def test_while_counts_are_moved_there_is_no_sum(folder: Path, own: Client) -> None:
    path = put(folder, "moving.mmstats", Laid(b"hits", "Q", 1, (3, 0)), Laid(b"sys.folds", "Q", 1, (1, 0)))
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for asked_for in ("/stats/hits?aggr=sum", "/stats/?label=hits"):
            assert (own.ask(asked_for).status, own.ask(asked_for).json()) == (
                503, {"error": "threads end all the time, so that no sum is right: ask again"},
            )  # fmt: skip
        assert own.ask("/stats/hits").json() == {"hits": [3]}
    assert own.ask("/stats/hits?aggr=sum").json() == {"hits": 3}


def test_nothing_but_zeros_has_no_least_but_zero(own: Client, folder: Path) -> None:
    put(folder, "z.mmstats", Laid(b"zero", "I", 255, (0,)))
    assert own.ask("/stats/zero?aggr=nonzero-min").status == 400
    assert got(own, "/stats/zero?aggr=min") == {"zero": 0}


@pytest.mark.parametrize(
    "glob",
    ["/etc/*", "../*", "a/../../*", "..", "", "*/*", "*/../*", "[.][.]/*", "/", "\0", "a" * 1001, "~/../*"],
)  # fmt: skip
def test_a_pattern_that_might_lead_out_of_the_folder_is_refused(glob: str, client: Client) -> None:
    answer = client.ask(f"/stats/web?glob={quote(glob, safe='')}")
    assert answer.status == 400
    assert re.fullmatch(r"glob='.*' is wrong: .* right", answer.json()["error"])
    if glob.strip("/"):
        assert client.ask(f"/files/{quote(glob, safe='')}").status == 400


def test_a_link_out_of_the_folder_is_not_followed(folder: Path, own: Client) -> None:
    (folder / "link.mmstats").symlink_to(folder.parent / "secret.mmstats")
    (folder / "sub").symlink_to(folder.parent)
    assert "web.secret" not in got(own, "/stats/")["stats"]
    assert got(own, "/stats/web.secret?glob=link.mmstats") == {}
    assert got(own, "/stats/web.secret?glob=sub/*") == {}
    assert got(own, "/files/sub/*") == {"files": [], "errors": {}}


def test_a_folder_with_wildcards_is_read_as_it_is_configured(folder: Path) -> None:
    files = Files(f"{folder.parent}/*/a.mmstats")
    assert files.folder == str(folder.parent)
    assert list(files.read().readers) == [f"{folder}/a.mmstats"]
    assert list(files.read("stats/b*").readers) == [f"{folder}/b.mmstats"]


def test_files_are_listed_with_what_is_wrong_with_some(folder: Path, own: Client) -> None:
    (folder / "bad.mmstats").write_bytes(b"\2")
    told = got(own, "/files/")
    assert told["files"] == [f"{folder}/{name}" for name in ("a.mmstats", "b.mmstats", "c.stats")]
    assert told["errors"] == {f"{folder}/bad.mmstats": f"{folder}/bad.mmstats: version 2, not 1"}
    assert got(own, "/files/a*") == {"files": [f"{folder}/a.mmstats"], "errors": {}}


def test_a_pattern_of_a_client_tells_nothing_of_files_that_are_no_statistics(folder: Path, own: Client) -> None:
    (folder / "diary.txt").write_text("secret")
    (folder / "cut.txt").write_bytes(b"\1\1")
    told = got(own, "/files/*")
    assert [Path(path).name for path in told["files"]] == ["a.mmstats", "b.mmstats", "c.stats"]
    assert list(told["errors"]) == [f"{folder}/cut.txt"]


@pytest.mark.parametrize(
    "path", ["/console", "/static/../mmash.js", "/%2e%2e/%2e%2e/etc/passwd", "/mmash.py", "/stats.js"]
)
def test_there_is_nothing_else(path: str, client: Client) -> None:
    answer = client.ask(path)
    assert (answer.status, list(answer.json())) == (404, ["error"])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(method: str, client: Client) -> None:
    assert client.ask("/stats/", method).status == 405


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_label_with_anything_in_it_is_text_on_the_page_and_its_link_leads_to_it(folder: Path, own: Client) -> None:
    put(folder, "h.mmstats", Laid(HOSTILE.encode(), "I", 255, (7,)))
    tags = _Tags(own.ask("/").body.decode())
    assert "script" not in [tag for tag, _ in tags.found]
    assert "<script>alert(1)</script>\\u202e\\x1b[31m/ä?&#%" in tags.text
    (link,) = [
        a["href"]
        for tag, a in tags.found
        if tag == "a" and "script" in (a["href"] or "") and "exact" in (a["href"] or "")
    ]
    assert got(own, link or "") == {HOSTILE: [7]}


@pytest.mark.parametrize("path", ["/", "/graph/"])
def test_a_page_loads_nothing_from_elsewhere_and_no_script_but_its_own(path: str, client: Client) -> None:
    answer = client.ask(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    tags = _Tags(answer.body.decode())
    loaded = [a.get("src") or a.get("href") for tag, a in tags.found if tag in ("script", "link", "img")]
    assert [one for one in loaded if one not in ("data:,", "/mmash.css", "/mmash.js")] == []


def static(client: Client, path: str) -> Answer:
    answer = client.ask(path)
    assert answer.status == 200
    return answer


def test_what_the_pages_load_is_there(client: Client) -> None:
    assert static(client, "/mmash.js").headers["content-type"].startswith("text/javascript")
    assert static(client, "/mmash.css").headers["content-type"].startswith("text/css")


def test_labels_have_their_kinds(client: Client) -> None:
    told = {one["label"]: (one["kind"], one["files"]) for one in got(client, "/labels/")["labels"]}
    assert told == {
        "nan": ("number", 1), "web.hits": ("counter", 2), "web.hitsy": ("number", 1), "web.load": ("number", 2),
        "web.version": ("text", 2),
    }  # fmt: skip


# settings


def test_by_default_it_serves_the_loopback_only(tmp_path: Path) -> None:
    todo = asked([], {"MMSTATS_GLOB": "x", "STATSPOUT_ADDRESS": ":1"})
    assert (todo.address, todo.access.restricted, todo.tls) == ("127.0.0.1:5002", False, None)


def test_the_originals_file_of_settings_is_read_and_a_flag_goes_before_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.py"
    file.write_text('"""Ours."""\nHOST = "0.0.0.0"\nPORT = 8080\nMMSTATS_GLOB = "/srv/*.mmstats"\nDEBUG = True\n')
    todo = asked([], {"MMASH_SETTINGS": str(file)})
    assert (todo.address, todo.glob, len(todo.notes)) == ("0.0.0.0:8080", "/srv/*.mmstats", 1)
    todo = asked(["--address=:1", "--glob=a*"], {"MMASH_SETTINGS": str(file)})
    assert (todo.address, todo.glob) == (":1", "a*")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os", "line 1: only a name and a value, such as PORT = 5002, are right: nothing is run"),
        ("PORT = __import__('os').getpid()", "line 1: only a name and a value"),
        ("\nPORT = '80'", "line 2: PORT = '80' is wrong: a port is right"),
        ("PORT = 65536", "line 1: PORT = 65536 is wrong"),
        ("HOST = 5", "line 1: HOST = 5 is wrong: a text is right"),
        ("SECRET_KEY = 'x'", "line 1: there is no SECRET_KEY: HOST, PORT, MMSTATS_GLOB, DEBUG are right"),
        ("PORT = = 1", "is wrong: lines such as PORT = 5002 are right"),
        ("\0", "is wrong: lines such as"),
    ],
)
def test_what_else_is_in_that_file_is_said_and_never_run(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)):
        asked([], {"MMASH_SETTINGS": str(file)})


def test_a_file_of_settings_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MMASH_SETTINGS: .*none\.py cannot be read: No such file"):
        asked([], {"MMASH_SETTINGS": f"{tmp_path}/none.py"})


def test_who_is_answered_is_said_as_to_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("5f1c-token")
    by_flag = asked([f"--web.token-file={tmp_path / 'token'}"], {})
    by_variable = asked([], {"STATSPOUT_WEB_USER": "ann", "STATSPOUT_WEB_PASSWORD": "secret"})
    assert by_flag.access.admits(b"Bearer 5f1c-token")
    assert by_variable.access.restricted
    with pytest.raises(ConfigError, match=r"STATSPOUT_WEB_USER: --web\.password-file has to come with it"):
        asked([], {"STATSPOUT_WEB_USER": "ann"})


@pytest.mark.parametrize("arguments", [["--interval=5"], ["--web.token=x"], ["extra"], ["--address"]])
def test_there_are_no_other_flags(arguments: list[str]) -> None:
    with pytest.raises(ConfigError):
        asked(arguments, {})
