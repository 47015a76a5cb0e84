"""Takes the picture of docs/mmap-tools.md: examples/webstats.py, as mmash shows it in a browser after two minutes.

::

    PYTHONPATH=tests .venv-test/bin/python scripts/graph_picture.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from support.browser import Browser

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1:5002"
LABELS = [f"web.stats.{name}" for name in ("status.2XX", "status.4XX", "status.5XX", "timers.page")]
SECONDS = 125


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "MMSTATS_PATH": folder}
        mmash = Path(sys.executable).with_name("mmash")
        commands = [[sys.executable, ROOT / "examples/webstats.py"], [mmash, f"--address={ADDRESS}"]]
        programs = [subprocess.Popen(command, env=environ) for command in commands]
        try:
            with Browser() as browser:
                time.sleep(3)
                browser.driver.set_window_size(1000, 720)
                browser.open(f"http://{ADDRESS}/graph/?{urlencode([('label', label) for label in LABELS])}")
                time.sleep(SECONDS)
                browser.driver.save_screenshot(str(ROOT / "docs/mmap-graph.png"))
        finally:
            for program in programs:
                program.terminate()
                program.wait()


if __name__ == "__main__":
    main()
