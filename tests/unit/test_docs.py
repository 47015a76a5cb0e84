"""The documentation cannot drift from the program."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from itertools import chain
from pathlib import Path

import pytest

from statspout.client.environment import DIALECT
from statspout.cmd.cleanstats import main as cleanstats
from statspout.cmd.listen import VARIABLES
from statspout.cmd.main import main
from statspout.cmd.mmash import main as mmash
from statspout.cmd.pollstats import main as pollstats
from statspout.cmd.slurpstats import main as slurpstats
from statspout.config import configure
from statspout.instances import shown
from statspout.options import settings_of
from statspout.registry import load
from statspout.repositories.stdout import Stdout
from statspout.settings import Settings
from statspout.shapes import rest_object
from statspout.terminal.page import lines
from statspout.terminal.rows import Table
from statspout.testing import sample

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_generated_parts_are_as_they_are_generated() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/docs.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


PLUGINS = [f"{ROOT / 'examples'}/{name}" for name in ("graphite.py:Graphite", "custom_main.py:Shout")]


def printed_by(program: Callable[[list[str]], object], *argv: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        program([*argv])
    return out.getvalue()


@pytest.fixture(scope="module")
def flags() -> set[str]:
    """Those that a page may name: of our programs and benchmarks, of other programs, and those that a page imagines."""
    known = set(re.findall(r"--[a-zA-Z.-]+[a-z]", printed_by(main, "--help", *(f"--plugin={one}" for one in PLUGINS))))
    every = [flag.removeprefix("--NAME.") for flag in known if flag.startswith("--NAME.")]
    known |= {f"--{name}.{setting}" for name in load().classes for setting in every}
    # Flags of other programs, and of a secret that the README imagines.
    known |= {"--group-add", "--user", "--build-arg", "--network", "--strict", "--check", "--mode", "--plugin"}
    known |= {"--graphite.token-file", "--pid", "--cgroupns", "--cgroup-parent", "--ulimit"}
    known |= {"--name", "--restart", "--stop-timeout", "--cap-drop", "--security-opt", "--read-only", "--format"}
    known |= {"--cacert", "--label", "--build", "--data-urlencode", "--now", "--log-opt", "--image", "--upgrade"}
    # Those of two instances that the page on repositories has.
    known |= {"--influxdb.near.url", "--influxdb.far.url"}
    known |= {"--paint.color"}  # of a class that changed its mind
    known |= {"--name"}  # of docker run
    helps = [printed_by(main, "listen", "--help")]
    helps += [printed_by(tool, "--help") for tool in (slurpstats, pollstats, cleanstats, mmash)]
    known |= set(re.findall(r"--[a-z]+(?:-[a-z]+)*", "".join(helps)))
    for script in (ROOT / "bench").glob("*.py"):
        known |= set(re.findall(r'add_argument\("(--[a-z]+)"', script.read_text()))
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_in_the_text_exists(page: Path, flags: set[str]) -> None:
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", page.read_text()))
    assert used <= flags


@pytest.fixture(scope="module")
def variables() -> set[str]:
    """Those that a page may name."""
    groups = shown(load(PLUGINS)).values()
    known = {s.env for s in [*settings_of(Settings), *chain.from_iterable(groups)]}
    # Those of the secret that the pages imagine, and of the rule by which they are made.
    known |= {
        "STATSPOUT_INFLUXDB_FAR_URL",
        "STATSPOUT_GRAPHITE_TOKEN",
        "STATSPOUT_GRAPHITE_TOKEN_FILE",
        "STATSPOUT_PAINT_COLOR",
        "STATSPOUT_PAINT_COLOUR",
        "STATSPOUT_A_B",
        "STATSPOUT_INFLUXDB_TOKEN_FILE",
        # Those of the compose file and the stack.
        "STATSPOUT_IMAGE",
        "STATSPOUT_PORT",
        # Those of the tests themselves.
        "STATSPOUT_FUZZ_SEED",
        "STATSPOUT_FUZZ_TIMES",
    }
    return known | {*VARIABLES, DIALECT}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_in_the_text_exists(page: Path, variables: set[str]) -> None:
    assert set(re.findall(r"\bSTATSPOUT_[A-Z_]+\b", page.read_text())) <= variables


def test_every_setting_is_documented_with_its_flag_its_variable_and_its_key() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    settings = [*settings_of(Settings), *chain.from_iterable(shown(load()).values())]
    rows = [f"| `{setting.flag}` | `{setting.env}` | `{setting.name}` |" for setting in settings[1:]]
    assert settings[0].name == "config"
    assert [row for row in rows if row not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_shown_is_right(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)):
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        configure([f"--config={file}"], {})


def test_the_lines_on_the_first_screen_are_those_that_are_printed() -> None:
    out = io.BytesIO()
    Stdout(stream=out).push([sample("web", time_ns=1_795_341_605_000_000_000, cpu_percent=20.03)])
    shape = re.sub(r"\d+", "0", out.getvalue().decode().strip().partition("]")[2])
    shown = [line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    [")]
    lines = [line for line in shown if "CPU" in line]
    assert len(lines) == 2
    assert {re.sub(r"\d+", "0", line.partition("]")[2]) for line in lines} == {shape}


def test_the_object_in_the_readme_has_the_keys_that_are_served_in_their_order() -> None:
    text = (ROOT / "README.md").read_text()
    shown = re.findall(r'"([@\w]+)":', text[text.index('{"@timestamp"') : text.index("networks")])
    assert shown == list(rest_object(sample()))[: len(shown)]


ONE_LINE = """
import pathlib, runpy, statspout, sys, types
source = (pathlib.Path(statspout.__file__).parent / "catalogue.py").read_text()
module = types.ModuleType("statspout.catalogue")
sys.modules["statspout.catalogue"] = module
start = "ENTRIES: tuple[Entry, ...] = (\\n"
exec(source.replace(start, start + sys.argv[1], 1), module.__dict__)

from statspout.repositories.prometheus import Prometheus
from statspout.shapes import rest_object, to_json
from statspout.testing import sample
one, unknown = sample(mem_limit=100, mem_usage=40), sample("b", mem_limit=None)
prometheus = Prometheus()
prometheus.push([one, unknown])
print([point.value for point in one.points() if point.name == "mem_available"])
print([point.value for point in unknown.points() if point.name == "mem_available"])
print(rest_object(one)["mem_available"], rest_object(unknown)["mem_available"])
print([line.split()[-1] for line in prometheus.exposition().decode().splitlines() if "memory_available_bytes{" in line])
table = runpy.run_path("scripts/docs.py")["metrics_table"]()
print([row for row in table.splitlines() if row.startswith("| `mem_available` | bytes | gauge |")] != [])
"""


def test_a_metric_is_added_by_the_line_that_contributing_shows() -> None:
    line = re.findall(r"^    (Entry\(.*\n)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)[0]
    done = subprocess.run([sys.executable, "-c", ONE_LINE, line], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.splitlines() == ["[60]", "[]", "60 None", "['60']", "True"], done.stderr


def shown_table() -> list[str]:
    """The lines of the table in docs/stdout.md: three containers, ten samples each."""
    table, interval = Table(5.0), 5_000_000_000
    for name, cpu, mem, rx, tx, disk in (
        ("shop-worker-1", 156.31, 175_532_000, 11_300, 28_200, None),
        ("shop-api-1", 90.08, 198_075_000, 85_800, 269_000, None),
        ("shop-db-1", 49.78, 329_567_000, 33_900, 111_000, 137_000),
    ):
        for n in range(10):
            one = sample(
                name, host="demo", time_ns=1_795_341_605_000_000_000 - (9 - n) * interval, pids=8,
                cpu_percent=cpu * (n + 3) / 12, mem_usage=mem, mem_limit=2**29, mem_percent=mem / 2**29 * 100,
                rx_bytes=rx * 5 * n, tx_bytes=tx * 5 * n,
                blkio_read_bytes=disk and disk * 5 * n, blkio_write_bytes=disk and disk * 20 * n,
            )  # fmt: skip
            table.put(one)
    return lines(table)


def test_the_table_in_the_docs_is_the_one_that_is_written() -> None:
    text = (ROOT / "docs/stdout.md").read_text().partition("<!-- the table: held by tests/unit/test_docs.py -->\n\n")[2]
    assert [line[4:] for line in text.partition("\n\n")[0].split("\n")] == shown_table()
