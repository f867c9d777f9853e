"""The end of an agent's own processes: nothing of them is there any more once the end was told."""

from .. import procs, system
from ..light import signal

MYPY = False
if MYPY:
    from typing import Callable

#: Seconds that they have to exit when the run is over.
WITHIN = 1.0


def dismiss(staff: "set[int]", hang_up: "Callable[[], None]") -> int:
    """End these processes, which have nothing to do, and what is below them; return how many others there are below us.

    :param hang_up: tells them
    """
    found = procs.table()
    # What is below a runner that has nothing is its fork server, which goes with it.
    mine = staff.union(proc.pid for proc in procs.descendants(found, staff))
    left = [proc for proc in procs.descendants(found, [system.getpid()]) if proc.pid not in mine and not proc.dead]
    hang_up()
    deadline, pause = system.monotonic() + WITHIN, 0.0005
    while system.monotonic() < deadline and any(map(procs.runs, mine)):
        system.sleep(pause)
        pause = min(2 * pause, 0.005)
    for pid in filter(procs.runs, mine):
        if pid in found:  # it has nothing, and is not to be there after the end was told
            procs.send(found[pid], signal.SIGKILL)
    return len(left)
