import re
import socket
from collections.abc import Sequence

from statspout import Repository, Sample, option


class Graphite(Repository):
    """Write each number as one ``path value time`` line over TCP."""

    name = "graphite"
    host: str = option(default="localhost", help="Carbon host.")
    port: int = option(default=2003, help="Carbon plaintext port.")

    def open(self) -> None:
        self.socket = socket.create_connection((self.host, self.port), timeout=5)

    def push(self, batch: Sequence[Sample]) -> None:
        lines = [
            f"{path(point.tags['host'], point.tags['container'], point.name)} {point.value} {sample.time_ns // 10**9}\n"
            for sample in batch
            for point in sample.points()
        ]
        self.socket.sendall("".join(lines).encode())

    def close(self) -> None:
        if hasattr(self, "socket"):
            self.socket.close()


def path(*parts: str) -> str:
    """The parts with dots between; what Carbon could misread in one of them becomes ``_``."""
    return ".".join(re.sub(r"[^\w-]", "_", part, flags=re.ASCII) for part in parts)
