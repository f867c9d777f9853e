"""Processes of a host: those of jobs are data, those of ours run the shipped code, each on a greenlet of its own."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import greenlet

from sshjobs.simulation.world import Program
from tests.sim.host.disk import Directory, error
from tests.sim.host.streams import Open, Waited, sources

if TYPE_CHECKING:
    from tests.sim.host.machine import Machine

#: Calls that a process may make without ever waiting: more of them, and it spins.
_MOST_CALLS = 2_000_000
#: How often others run between two calls of a process, where things take time.
OFTEN = 0.03


class Dead(BaseException):
    """A process that is dead has made a call: what it still does is only to be taken apart."""


def now() -> Process:
    """Return the process that runs.

    :raises Dead: it does not any more
    """
    process = Process.running[0]
    assert process is not None, "the far side's code runs outside of its host"
    process.count_call()
    return process


class Process:
    """A process.

    :ivar start: when it began, in ticks since its machine's boot: no two processes of a boot share pid and start
    :ivar kind: front, agent, runner, main (of a job), stray (what a job leaves) or bystander (none of ours)
    :ivar uid: of the attempt that it is of; for a runner, that which it was given last
    :ivar status: what it exited with; ``None`` where a signal ended it or it lives
    """

    #: The process that runs at the moment, on whichever machine; in a list so that it is one for all.
    running: ClassVar[list[Process | None]] = [None]

    def __init__(self, machine: Machine, pid: int, start: int, kind: str, parent: Process | None):
        self.machine, self.pid, self.start, self.kind, self.parent = machine, pid, start, kind, parent
        self.children: dict[int, Process] = {}
        self.session: int = pid if parent is None else parent.session
        self.files: dict[int, Open] = {}
        self.environ: dict[bytes, bytes] = {}
        self.cwd: Directory = machine.disk.root
        self.uid = ""
        self.alive = True
        self.status: int | None = None
        self.signal: int | None = None
        #: Orphans below it become its children.
        self.adopts = False
        #: Descriptor into which a byte is written when a child ends.
        self.wake_fd = -1
        self.calls = 0
        self._greenlet: Any = None
        self._hub: Any = None
        self._turn = 0
        self._waits = False
        # -- of jobs
        self.program: Program | None = None
        self.stubborn = False
        #: It was sent TERM while it stood still, and hears of that when it goes on.
        self.asked_to_end = False
        #: How much longer it runs, while it is stopped.
        self.left: float | None = None
        #: What it will write when it goes on: to which file, and what.
        self.held: list[tuple[int, bytes]] = []
        self.ends_at = 0.0
        self.run = 0

    def __repr__(self) -> str:
        return f"<{self.kind} {self.pid} of {self.machine.name}>"

    @property
    def leads(self) -> bool:
        """Whether it leads its session."""
        return self.session == self.pid

    # -- descriptors ---------------------------------------------------------------------------------------------

    def add(self, file: Open) -> int:
        """Give an open file the lowest free descriptor."""
        number = 0
        while number in self.files:
            number += 1
        self.files[number] = file.hold()
        return number

    def close(self, number: int) -> bool:
        """Close a descriptor; False where there is none."""
        file = self.files.pop(number, None)
        if file is not None:
            file.release()
        return file is not None

    def file(self, number: int) -> Open:
        """Return what a descriptor stands for.

        :raises OSError: nothing
        """
        file = self.files.get(number)
        if file is None:
            raise error(errno.EBADF)
        return file

    def patiently(self, file: Open, call: Callable[[], Any], *, blocking: bool | None = None,
                  patience: float | None = None) -> Any:
        """Do what can be done with an open file, as soon as that is so: call what returns ``None`` until then.

        :param blocking: ``None``: as the file is set
        :param patience: seconds that it may take
        :raises OSError: it would have to wait and is not to, or waited for too long
        """
        deadline = None if patience is None else self.machine.world.now + patience
        while (found := call()) is None:
            if not (file.blocking if blocking is None else blocking):
                raise error(errno.EAGAIN)
            left = None if deadline is None else deadline - self.machine.world.now
            if left is not None and left <= 0:
                raise TimeoutError("timed out")
            self.wait(sources(file), left)
            self.count_call()
        return found

    # -- running code --------------------------------------------------------------------------------------------

    def begin(self, main: Callable[[], object]) -> None:
        """Run a function in it, soon."""
        self._greenlet = greenlet.greenlet(partial(self._main, main))
        self._turn += 1
        self._waits = True
        self.machine.world.at(self.machine.delay(), partial(self._resume, self._turn))

    def _main(self, main: Callable[[], object]) -> None:
        status = 1
        try:
            found = main()
            status = found if isinstance(found, int) else 0
        except (Dead, greenlet.GreenletExit):
            return
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 (nothing of ours catches it: Python says so, and ends)
            self.machine.watcher.on_failure(self.machine, self, error)
        self.machine.end(self, status)

    def wake(self, turn: int) -> None:
        """What it waits for has happened: it runs soon."""
        if self._waits and turn == self._turn:
            self.machine.world.at(self.machine.delay(), partial(self._resume, turn))

    def _resume(self, turn: int) -> None:
        if not self.alive or not self._waits or turn != self._turn:
            return
        self._waits = False
        self.calls = 0
        self._hub = greenlet.getcurrent()
        before, self.running[0] = self.running[0], self
        # It comes back to where it was let run from, also when it ends.
        self._greenlet.parent = self._hub
        try:
            self._greenlet.switch()
        finally:
            self.running[0] = before
        if not self.alive:
            self.bury()

    def wait(self, files: list[Waited], seconds: float | None) -> None:
        """Return when something has happened to one of them, or after so many seconds. Called in this very process."""
        self._turn += 1
        self._waits = True
        for file in files:
            file.waiters[self] = self._turn
        if seconds is not None:
            self.machine.world.at(max(seconds, 1e-6), partial(self._resume, self._turn))
        self._hub.switch()
        for file in files:
            file.waiters.pop(self, None)

    def vanish(self) -> None:
        """Never come back: it is dead. Called in this very process."""
        while True:
            self._hub.switch()

    def count_call(self) -> None:
        """See that it makes no calls without end."""
        if not self.alive:
            raise Dead
        self.calls += 1
        if self.calls > _MOST_CALLS:
            raise AssertionError(f"F: {self!r} spins")

    def enter(self, name: str) -> None:
        """Make a call: others may run before it, and something may happen to us.

        :raises OSError: it fails
        """
        machine = self.machine
        if machine.world.slow and machine.world.rng.random() < OFTEN:
            self.wait([], machine.delay())
            self.count_call()
        if machine.traps:
            machine.spring(self, name, after=False)

    def bury(self) -> None:
        """Take apart what it was about to do."""
        self.alive = False
        green, self._greenlet = self._greenlet, None
        if green is not None and not green.dead and green is not greenlet.getcurrent():
            before, self.running[0] = self.running[0], self
            green.parent = greenlet.getcurrent()
            try:
                green.throw(greenlet.GreenletExit)
            finally:
                self.running[0] = before
