"""An ASGI application that uvicorn serves, from its start to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from support.influxdb import free_port
from support.web import Client


@contextmanager
def serving(app: Any) -> Iterator[Client]:
    """Serve it at a free port of this machine; gives who asks there."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield Client(port)
    finally:
        server.should_exit = True
        thread.join()
