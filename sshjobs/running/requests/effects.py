"""What requests do to a manager, where more than one does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sshjobs.model.host import Host
from sshjobs.model.spec import Job
from sshjobs.running.manager import Manager


def ask_back(manager: Manager, jobs: Iterable[Job]) -> None:
    """Have jobs back from their hosts that have not started there."""
    for job in manager.placement.ask_back(jobs):
        manager.network.fence(job)


def drain(manager: Manager, host: Host) -> None:
    """Launch nothing more on a host, and have back what has not started there."""
    manager.network.hosts[host.name] = host
    manager.schedule.drain(host.name, True)
    ask_back(manager, manager.placement.unstarted(host.name))


def tell_hosts(manager: Manager, change: str, names: Sequence[str], slots: int | None = None) -> None:
    """Tell whoever listens what was changed about hosts."""
    manager.handle_act({"event": "hosts", "change": change, "hosts": list(names), "slots": slots})
