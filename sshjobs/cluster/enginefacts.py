"""Functions that run within an engine of ipyparallel. They are sent as source: engines need not have sshjobs."""

from __future__ import annotations

from typing import Any

from ipyparallel import interactive


@interactive  # type: ignore[untyped-decorator]
def of_engine() -> dict[str, Any]:
    """Return the facts of an engine; the elapsed time is its processor time."""
    import os
    import platform
    import socket
    import time

    import psutil

    return {"host": socket.getfqdn(), "pid": os.getpid(), "name": os.environ.get("SSHJOBS_JOB"),
            "elapsed": time.process_time(), "started": psutil.Process().create_time(),
            "python": ".".join(platform.python_version_tuple()[:2])}


@interactive  # type: ignore[untyped-decorator]
def leave_soon(status: int) -> None:
    """End the engine with an exit status, once it has answered."""
    import os
    import threading

    threading.Timer(0.3, os._exit, [status]).start()
