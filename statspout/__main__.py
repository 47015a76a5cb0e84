"""``python -m statspout``."""

import sys

from statspout.cmd.main import main

sys.exit(main())
