"""Ends an agent's own child processes, before the agent reports that the run has left nothing on this host."""

from .. import procs, system
from ..light import signal

MYPY = False
if MYPY:
    from typing import Callable

#: Seconds that they have to exit when the run is over.
WITHIN = 1.0


def dismiss(staff: "set[int]", hang_up: "Callable[[], None]") -> int:
    """End idle runners and helpers with their descendants; return how many other descendants this process has.

    :param staff: their pids
    :param hang_up: closes the connections to them, upon which they exit
    """
    found = _staff_alone(staff)
    if found is None:
        found = procs.table()
    # An idle runner can only have its fork server below it, which ends with it.
    mine = staff.union(proc.pid for proc in procs.descendants(found, staff))
    left = [proc for proc in procs.descendants(found, [system.getpid()]) if proc.pid not in mine and not proc.dead]
    hang_up()
    deadline, pause = system.monotonic() + WITHIN, 0.0005
    while system.monotonic() < deadline and any(map(procs.runs, mine)):
        system.sleep(pause)
        pause = min(2 * pause, 0.005)
    for pid in filter(procs.runs, mine):
        if pid in found:  # it is idle, so nothing is lost
            procs.send(found[pid], signal.SIGKILL)
    return len(left)


def _staff_alone(staff: "set[int]") -> "dict[int, procs.Proc] | None":
    """Return the staff by pid where this process has no other descendants, ``None`` where it may have some.

    That spares a look at every process of the host. Runners are asked first: what one leaves behind becomes our child.
    """
    try:
        if any(map(system.children_of, staff)) or not staff.issuperset(system.children_of(system.getpid())):
            return None
    except OSError:  # one has ended, or this kernel does not tell
        return None
    return {proc.pid: proc for proc in map(procs.look, staff) if proc is not None}
