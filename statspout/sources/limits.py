"""How many files this process may have open at once: sockets, and what the kernel tells of containers."""

from __future__ import annotations

import contextlib
import resource


def open_files() -> int:
    """The limit, raised as far as it may be. What is unlimited is more than there could be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2**31 if limit == resource.RLIM_INFINITY else limit
