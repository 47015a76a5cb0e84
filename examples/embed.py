"""statspout inside an application: it collects in the application's own event loop, beside the application's work.

python examples/embed.py [SOCKET]
"""

import asyncio
import sys
from collections.abc import Sequence

from statspout import ContainerSample, Repository, Sample, serve


class Busiest(Repository):
    """Keep the latest CPU percentage of each container for the application."""

    name = "busiest"
    flush_interval = 0

    def __post_init__(self) -> None:
        self.cpu: dict[str, float] = {}

    async def push(self, batch: Sequence[Sample]) -> None:
        for sample in batch:
            if isinstance(sample, ContainerSample) and sample.cpu_percent is not None:
                self.cpu[sample.container.name] = sample.cpu_percent


async def application(busiest: Busiest, stop: asyncio.Event) -> None:
    await asyncio.sleep(3)  # the application's own work
    cpu = busiest.cpu
    print("\n".join(f"{name} {cpu[name]:.0f} %" for name in sorted(cpu, key=lambda name: -cpu[name])))
    stop.set()


async def main(socket: str) -> None:
    busiest, stop = Busiest(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve([busiest], stop=stop, interval=1, socket_path=socket))
        tasks.create_task(application(busiest, stop))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "/var/run/docker.sock"))
