"""A repository that writes what it gets as JSON lines, records of applications among it; and who sends to one."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

from support.daemon import Daemon

KEEPER = '''
import json, msgspec, pathlib
from statspout import ContainerSample, Metric, Repository, option

class Keeper(Repository):
    """Write each record as a line of JSON."""
    name = "keeper"
    accepts = (ContainerSample, Metric)
    flush_interval = 0
    path: str = option(help="The file.")

    def push(self, batch):
        records = [json.loads(msgspec.json.encode(sample, enc_hook=dict)) for sample in batch]
        with pathlib.Path(self.path).open("a") as file:
            file.write("".join(json.dumps({"kind": "sample"} | record) + "\\n" for record in records))
'''


class Heard:
    """A daemon that listens for StatsD, and the records that it passed on."""

    def __init__(self, folder: Path, *arguments: str, statsd: str = "127.0.0.1:0", demo: bool = True) -> None:
        (folder / "keeper.py").write_text(KEEPER)
        self._kept = folder / "kept"
        self.daemon = Daemon(
            *(["--demo"] if demo else []), f"--plugin={folder}/keeper.py:Keeper", "--repository=keeper",
            f"--keeper.path={self._kept}", f"--listen.statsd={statsd}", *arguments,
        )  # fmt: skip

    def records(self) -> list[dict[str, Any]]:
        """All of them so far, in order; those of containers have the kind ``sample``."""
        text = self._kept.read_text() if self._kept.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def of(self, name: str) -> list[dict[str, Any]]:
        """Those of an application with this name."""
        return [record for record in self.records() if record.get("name") == name]

    def first(self, name: str) -> dict[str, Any]:
        """The first of this name, waited for."""
        return self.daemon.eventually(lambda: self.of(name))[0]

    def address(self, scheme: str) -> tuple[str, int]:
        """Where it listens, as its log says."""
        line = self.daemon.wait_for_line(f"listen.statsd: {scheme}://")
        found = re.search(r"://\[?([^\]\s,]+?)\]?:(\d+),", line)
        assert found is not None, line
        return found[1], int(found[2])

    def udp(self, *packets: bytes) -> None:
        """Send each as a datagram."""
        address = self.address("udp")
        with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for packet in packets:
                sender.sendto(packet, address)
