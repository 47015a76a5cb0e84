"""The other programs of the table: what starts them with containers only, and how their samples are counted.

``scripts/setup-peers`` puts them into ``.work/peers``. What is not there has no row.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleet import Fleet
from measuring import ENVIRONMENT, ROOT, Program
from support.dockerd import free_port

KERNEL, ENGINE = "kernel", "engine"
"""What a program reads through."""

PEERS = ROOT / ".work" / "peers"


@dataclass
class Row:
    """A program to measure. ``count`` says how many samples there were so far, after so many seconds."""

    name: str
    reads: str
    command: list[str]
    count: Callable[[Program, float], float]
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    stdin: bytes = b""
    warm_up: float = 5.0
    note: str = ""


def counted(program: Program, _: float) -> float:
    """It prints a number after each round, or each batch."""
    return sum(map(int, program.out.read_text().split()))


def docker_stats(fleet: Fleet, _interval: float, _work: Path) -> Row | None:
    """The docker command, a stream for each container, at the engine's second."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    command = [docker, "--host", f"unix://{fleet.socket}", "stats", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}}"]
    count = len(fleet.ids)
    return Row("docker stats", ENGINE, command, lambda _, seconds: count * seconds, note="a sample a second assumed")


def netdata(fleet: Fleet, interval: float, work: Path) -> Row | None:
    """Netdata with nothing but its cgroups plugin."""
    program = PEERS / "usr/sbin/netdata"
    if not program.exists():
        return None
    port = free_port()
    settings: dict[str, dict[str, object]] = {
        "global": {"run as user": "root", "update every": max(1, round(interval)), "hostname": "bench"},
        "db": {"mode": "ram"},
        "directories": {
            **{name: work / name for name in ("cache", "lib", "log", "config", "lock", "home")},
            "stock config": PEERS / "usr/lib/netdata/conf.d",
            "plugins": PEERS / "usr/lib/netdata/plugins.d",
            "web": PEERS / "usr/share/netdata/web",
        },
        "web": {"bind to": f"127.0.0.1:{port}"},
        "health": {"enabled": "no"},
        "ml": {"enabled": "no"},
        "registry": {"enabled": "no"},
        "statsd": {"enabled": "no"},
        "plugin:cgroups": {"use unified cgroups": "no"},
        "plugins": {
            **dict.fromkeys(
                ("proc", "diskspace", "idlejitter", "tc", "timex", "apps", "charts.d", "go.d", "python.d", "ebpf",
                 "perf", "slabinfo", "nfacct", "cups", "fping", "ioping", "node.d", "checks", "loops",
                 "enable running new plugins", "netdata monitoring", "netdata monitoring extended"), "no"
            ),
            "cgroups": "yes",
        },
    }  # fmt: skip
    text = "\n".join(
        f"[{part}]\n" + "\n".join(f"    {name} = {value}" for name, value in values.items())
        for part, values in settings.items()
    )
    for name in ("cache", "lib", "log", "config", "lock", "home"):
        (work / name).mkdir()
    (work / "netdata.conf").write_text(text)

    def count(_: Program, seconds: float) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/charts", timeout=10) as answer:
            charts = json.load(answer)["charts"]
        return len([name for name in charts if re.fullmatch(r"cgroup_.*\.cpu", name)]) * seconds / max(1, interval)

    command = [str(program), "-D", "-c", str(work / "netdata.conf")]
    return Row("Netdata 1.37, cgroups only", KERNEL, command, count, _environment(fleet), warm_up=25)


def collectd(fleet: Fleet, interval: float, work: Path) -> Row | None:
    """Only the cgroups plugin, which knows CPU and nothing else."""
    program = PEERS / "usr/sbin/collectd"
    if not program.exists():
        return None
    (work / "collectd.conf").write_text(f"""
BaseDir "{work}"
PIDFile "{work}/pid"
PluginDir "{PEERS}/usr/lib/collectd"
TypesDB "{PEERS}/usr/share/collectd/types.db"
Interval {interval:g}
LoadPlugin cgroups
LoadPlugin csv
<Plugin csv>
    DataDir "stdout"
</Plugin>
""")
    command = [str(program), "-f", "-C", str(work / "collectd.conf")]

    def count(program: Program, _: float) -> float:
        return program.out.read_bytes().count(b"/cpu-user ")

    return Row("collectd 5.12, cgroups", KERNEL, command, count, _environment(fleet), note="CPU only")


def glances(fleet: Fleet, interval: float, work: Path) -> Row | None:
    """Glances with nothing but containers."""
    program = PEERS / "glances/bin/glances"
    if not program.exists():
        return None
    command = [
        str(program), "--config", str(work / "none"), "--stdout", "containers", "--time", f"{interval:g}",
        "--disable-plugin", "all", "--enable-plugin", "containers", "--disable-check-update",
    ]  # fmt: skip
    each = len(fleet.ids)

    def count(program: Program, _: float) -> float:
        return program.out.read_bytes().count(b"\n") * each

    return Row("Glances 4.5, containers only", ENGINE, command, count, _environment(fleet), warm_up=20)


def _environment(fleet: Fleet) -> dict[str, str]:
    libraries = f"{PEERS}/usr/lib/x86_64-linux-gnu:{PEERS}/lib/x86_64-linux-gnu"
    return {**os.environ, "DOCKER_HOST": f"unix://{fleet.socket}", "LD_LIBRARY_PATH": libraries}


ALL = (docker_stats, netdata, collectd, glances)
