"""One host: its processes with their pids, its disk, its boots, whether the network reaches it; no decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from sshjobs.gjob.lease import NEVER
from sshjobs.simulation.disk import Disk
from sshjobs.simulation.pipe import Connection
from sshjobs.simulation.world import Program, World

TERM, KILL = 15, 9
#: Processes that are none of ours live with such pids and above; pids below are used again soon.
_PIDS = 12


class Parent(Protocol):
    """Who is told of the end of a child."""

    def child_ended(self, process: Process) -> None:
        """A child has ended, and is waited for."""


class Process:
    """A process.

    :ivar start: when it began, in ticks of its machine: no two processes share pid and start
    :ivar kind: agent, runner, main (of a job), stray (what a job leaves) or bystander (none of ours)
    :ivar token: the attempt's, in its environment
    """

    def __init__(self, pid: int, start: int, kind: str, uid: str = "", token: str = "", stubborn: bool = False):
        self.pid, self.start, self.kind, self.uid, self.token, self.stubborn = pid, start, kind, uid, token, stubborn
        self.alive = True
        self.parent: Parent | None = None
        #: The agent or the runner that this is.
        self.owner: Any = None
        self.status: int | None = None
        self.signal: int | None = None
        self.program: Program | None = None
        #: Whether it leads a session: a main process does as long as it lives.
        self.leads = kind == "main"
        #: How much longer it runs, while it is stopped.
        self.left: float | None = None
        self.ends_at = 0.0
        self._turn = 0


class Machine:
    """See the module.

    :param cores: what it says of itself
    """

    def __init__(self, world: World, name: str, cores: int = 4):
        self.world, self.name, self.cores = world, name, cores
        self.disk = Disk(world.slow)
        self.processes: dict[int, Process] = {}
        self.up = True
        #: Whether new connections come through.
        self.reachable = True
        self.latency = world.latency
        #: What every job does here, whatever it is to do elsewhere, while something is broken.
        self.spoils: Program | None = None
        #: How far its wall clock is off.
        self.clock_error = 0.0
        #: Whoever answers at its door; set by the far side.
        self.agent: Any = None
        #: Who answers instead of an agent, given the connection and the nonce of its marker.
        self.door: Callable[[Connection, str], None] | None = None
        #: When a manager was last heard of, for what has a lease.
        self.heard = NEVER
        self.connection: Connection | None = None
        self._boots = 1
        self._ticks = 0
        self._next_pid = 1

    @property
    def boot(self) -> str:
        """The boot id."""
        return f"{self.name}-boot-{self._boots}"

    def clock(self) -> float:
        """The time since the epoch, as this machine has it."""
        return self.world.now + 1.7e9 + self.clock_error

    def facts(self) -> dict[str, Any]:
        """Return what its agent says of it in a welcome."""
        return {"boot": self.boot, "pidns": 1, "machine": self.name, "hostname": self.name, "python": "3.11",
                "cores": self.cores, "memory": 1 << 33, "gpus": [], "clock": self.clock(), "disk": 1 << 40,
                "root": "/sim", "home": "/sim"}

    # -- processes -----------------------------------------------------------------------------------------------

    def spawn(self, kind: str, uid: str = "", token: str = "", stubborn: bool = False) -> Process:
        """Make a process. Its pid may have been another's."""
        self._ticks += 1
        # Never twice a start: a pid is only used again in a later tick.
        size = max(_PIDS, 2 * len(self.processes))
        while self._next_pid in self.processes:
            self._next_pid = self._next_pid % size + 1
        process = Process(self._next_pid, self._ticks, kind, uid, token, stubborn)
        self._next_pid = self._next_pid % size + 1
        self.processes[process.pid] = process
        return process

    def lives(self, pid: int, start: int) -> bool:
        """Tell whether a process is alive."""
        process = self.processes.get(pid)
        return process is not None and process.start == start

    def holders(self, token: str) -> list[Process]:
        """Return the living processes with a token in their environment."""
        return [process for process in self.processes.values() if token and process.token == token]

    def end(self, process: Process, status: int | None, signal: int | None = None) -> None:
        """A process ends; its parent hears of it."""
        if not process.alive:
            return
        process.alive = False
        process.status, process.signal = status, signal
        del self.processes[process.pid]
        if process.kind == "main":
            self.world.watcher.on_exit(self, process)
        if process.parent is not None:
            process.parent.child_ended(process)

    def kill(self, process: Process, signal: int, why: str) -> None:
        """Send a signal to a process, for an attempt."""
        if not process.alive or (signal == TERM and process.stubborn) or (signal == TERM and process.left is not None):
            return
        self.world.watcher.on_kill(self, process, why)
        self.end(process, None, signal)

    def adopt_orphans(self, of: Parent, by: Parent | None) -> None:
        """A process has died: its children are another's now, or nobody's."""
        for process in self.processes.values():
            if process.parent is of:
                process.parent = by

    # -- jobs ----------------------------------------------------------------------------------------------------

    def start_job(self, parent: Parent, launch: dict[str, Any]) -> Process:
        """Start the main process of an attempt and let it do what it does."""
        program = self.spoils or self.world.program_of(launch)
        process = self.spawn("main", launch["id"], launch["token"], program.stubborn)
        process.parent, process.program = parent, program
        self.world.watcher.on_start(self, process)
        self._let_run(process, program, program.seconds)
        for stream, data in ((1, program.out), (2, program.err)):
            for delay, piece in _spread(data, program):
                self._write_at(process, stream, piece, delay)
        return process

    def _let_run(self, process: Process, program: Program, seconds: float) -> None:
        process._turn += 1
        turn = process._turn
        process.ends_at = self.world.now + seconds

        def over() -> None:
            if process.alive and process._turn == turn:
                if program.stray:
                    stray = self.spawn("stray", process.uid, process.token, program.stubborn)
                    stray.parent, stray.leads = process.parent, program.daemon
                self.end(process, program.status, program.signal)
        self.world.at(seconds, over)

    def _write_at(self, process: Process, stream: int, data: bytes, delay: float) -> None:
        def write() -> None:
            if not process.alive:
                return
            if self.disk.full:
                # As most programs do when they cannot write.
                self.end(process, 1)
                return
            self.disk.append(process.uid, stream, data, self.world.now)
            self.world.watcher.on_write(self, process.uid, stream, data)
            if self.agent is not None:
                self.agent.output_grew(process.uid)
        self.world.at(delay, write)

    def stop(self, processes: Iterable[Process]) -> None:
        """Stop processes where they are."""
        for process in processes:
            if process.kind == "main" and process.left is None:
                process.left = max(0.0, process.ends_at - self.world.now)
                process._turn += 1

    def go_on(self, processes: Iterable[Process]) -> None:
        """Let stopped processes go on."""
        for process in processes:
            if process.kind == "main" and process.left is not None:
                left, process.left = process.left, None
                assert process.program is not None
                self._let_run(process, process.program, left)

    # -- what befalls it -----------------------------------------------------------------------------------------

    def reboot(self, *, power: bool) -> None:
        """Go down at once and come up again as another boot.

        :param power: without a word, so that what was written lately may be gone from the disk
        """
        self.cut(0, 0, heard=False)
        for process in self.processes.values():
            process.alive = False
            if process.kind == "main":
                self.world.watcher.on_exit(self, process)
        self.processes.clear()
        if self.agent is not None:
            self.agent.vanish()
        if power:
            self.disk.lose_power(self.world.now, self.world.rng)
        self._boots += 1
        self.heard = NEVER
        self._next_pid = 1
        for _ in range(self.world.rng.randint(0, 5)):
            self.spawn("bystander")

    def cut(self, up: int, down: int, *, heard: bool) -> None:
        """Cut the connection that there is, after so many bytes more in each direction."""
        if self.connection is not None:
            self.connection.cut(up, down, heard=heard)


def _spread(data: bytes, program: Program) -> Iterable[tuple[float, bytes]]:
    """Yield the pieces of an output with the time at which each is written."""
    if not data:
        return
    size = -(-len(data) // program.pieces)
    for number, at in enumerate(range(0, len(data), size)):
        yield number * program.seconds / program.pieces, data[at:at + size]
