"""A program of your own: the shipped repositories and yours, with every flag, variable and command of statspout.

python examples/custom_main.py --repository=shout,rest --shout.above=50 --interval=1
"""

import sys
from collections.abc import Sequence

from statspout import ContainerSample, Repository, Sample, main, option


class Shout(Repository):
    """Say on standard output who uses more CPU than that."""

    name = "shout"
    above: float = option(default=80.0, help="Percent of a core from which on it is said.", minimum=0)

    def push(self, batch: Sequence[Sample]) -> None:
        for sample in batch:
            if isinstance(sample, ContainerSample) and (sample.cpu_percent or 0) > self.above:
                print(f"{sample.container.name} USES {sample.cpu_percent:.0f} %!", flush=True)


if __name__ == "__main__":
    sys.exit(main(repositories=[Shout]))
