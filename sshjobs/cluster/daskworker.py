"""dask's worker for supervisors, which start a worker again when it fails: it fails when it has lost its scheduler."""

from __future__ import annotations

import os
from typing import Any

from distributed import Worker
from distributed.core import Status

#: Exit status of a worker that has lost its scheduler.
LOST_STATUS = 1


class SupervisedWorker(Worker):  # type: ignore[misc]
    """A worker that ends with 0 only when it was told to.

    dask's own worker and its nanny end with 0 as soon as the connection to the scheduler breaks, so a network that was
    cut for half a minute would end all workers for good.
    """

    async def handle_scheduler(self, comm: Any) -> None:
        """Follow the scheduler until it ends this worker, or is lost."""
        try:
            await self.handle_stream(comm)
        finally:
            if self.status in (Status.running, Status.paused):
                # Its nanny or its supervisor starts another one; nobody waits any more for what this one computes.
                os._exit(LOST_STATUS)
            await self.close(reason="the scheduler has ended it")
