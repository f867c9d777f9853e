"""Functions that run within a dask worker and tell about it. They travel by value: workers need not have sshjobs."""

from __future__ import annotations

from typing import Any


def facts_of(dask_worker: Any) -> dict[str, Any]:
    """Return the facts of a worker (see :class:`sshjobs.pools.facts.WorkerFacts`)."""
    import os
    import platform
    import socket

    import psutil

    spent = sum(seconds for key, seconds in dask_worker.digests_total.items()
                if isinstance(key, tuple) and key[0] == "execute" and key[-1] == "seconds")
    return {"worker": dask_worker.address, "host": socket.getfqdn(), "pid": os.getpid(), "name": str(dask_worker.name),
            "requests": dask_worker.state.executed_count, "elapsed": spent,
            "started": psutil.Process().create_time(), "python": ".".join(platform.python_version_tuple()[:2])}


def leave_soon(status: int) -> dict[str, Any]:
    """End the worker with an exit status, once it has answered."""
    import os
    import threading

    threading.Timer(0.3, os._exit, [status]).start()
    return {}
