"""``python -m statspout``."""

import sys

from statspout.cmd.entry import main

sys.exit(main())
