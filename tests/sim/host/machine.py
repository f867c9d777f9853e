"""One host: its processes with their pids, its disk, its boots, whether the network reaches it; no decisions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sshjobs.gjob.agent import front
from sshjobs.simulation.pipe import Connection
from sshjobs.simulation.site import Site
from sshjobs.simulation.world import Program, World
from tests.sim.host.cards import Cards
from tests.sim.host.disk import Directory, Disk, File, error
from tests.sim.host.process import Process
from tests.sim.host.streams import PIPE_SIZE, Buffer, Listener, Null, Open, PipeEnd
from tests.sim.host.watcher import Watcher

KILL, TERM, CHILD, CONTINUE, STOP = 9, 15, 17, 18, 19
#: Processes that are none of ours live with such pids and above; pids below are used again soon.
_PIDS = 12
#: Who we are on hosts, and where our home is.
USER, HOME = 1000, "/home/me"


class Trap:
    """Something that happens to a process when it makes a call.

    :param kind: of process; the next of that kind that makes the call is meant
    :param name: of the call; ``None`` for any
    :param count: for the how many-th time
    :param act: what happens: it may kill the process or its machine; returns the number of an error that the call is to
        fail with, or ``None``
    :param after: when the call has done what it does, not before
    """

    def __init__(self, kind: str, name: str | None, count: int, act: Callable[[Process], int | None], *,
                 after: bool = False):
        self.kind, self.name, self.count, self.act, self.after = kind, name, count, act, after


class Machine(Site):
    """See the module.

    :param cores: what it says of itself
    :param watcher: sees what really happens on it
    """

    def __init__(self, world: World, name: str, cores: int = 4, watcher: Watcher | None = None):
        super().__init__(world, name, cores)
        self.watcher = watcher or Watcher()
        self.disk = Disk(lambda: world.now)
        self.processes: dict[int, Process] = {}
        self.traps: list[Trap] = []
        #: What every job does here, whatever it is to do elsewhere, while something is broken.
        self.spoils: Program | None = None
        #: Its GPUs, where it has any.
        self.cards: Cards | None = None
        self._ticks = 0
        self._next_pid = 2
        self._began = world.now - 1000.0
        for path in ("/home", HOME, "/tmp", "/var", "/var/tmp", "/dev", "/bin", "/etc", "/proc", "/proc/sys",
                     "/proc/sys/kernel", "/proc/sys/kernel/random", "/proc/self", "/proc/self/ns"):
            self.disk.mkdir(path, 0o1777 if path.endswith("tmp") else 0o755, USER if path == HOME else 0)
        for path in ("/dev/null", "/bin/bash", "/bin/true", "/bin/x", "/proc/self/ns/pid",
                     "/proc/sys/kernel/random/boot_id"):
            self.make_file(path, 0o755)
        self.disk.settle()
        self._boot()

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether all that is said over its connection comes through, and an agent is there to hear it."""
        link = self.connection
        return (self.reachable and link is not None and link.up.limit is None and link.down.limit is None
                and bool(self.of_kind("agent")))

    def monotonic(self) -> float:
        """Seconds since it was booted."""
        return self.world.now - self._began

    def delay(self) -> float:
        """How long it takes until a process that could run runs."""
        return self.world.rng.choice((0.0, 0.0, 0.00002, 0.0007)) if self.world.slow else 0.0

    def make_file(self, path: str, mode: int, data: bytes = b"") -> None:
        """Make a file that was always there."""
        node = self.disk.add(path, None, lambda parent, ino, now: File(ino, mode, 0, now))
        assert isinstance(node, File)
        node.data[:] = data

    def keep_input(self, sha: str, data: bytes) -> None:
        """Have a file in the cache of inputs, as an earlier run has left it."""
        path = HOME
        for name in (".sshjobs", "cache", self.boot):
            path += "/" + name
            self.disk.mkdir(path, 0o700, USER)
        self.make_file(f"{path}/{sha}", 0o400, data)
        self.disk.settle()

    def _boot(self) -> None:
        # As the kernel counts them: from its boot, so that pid and start of before may come again.
        self._next_pid, self._ticks = 2, 0
        self._began = self.world.now - 1.0
        self.init = self.processes[1] = Process(self, 1, self._tick(), "init", None)
        self.init.adopts = True
        boot = self.disk.find("/proc/sys/kernel/random/boot_id")
        assert isinstance(boot, File)
        boot.data[:] = self.boot.encode()
        temporary = self.disk.find("/tmp")
        assert isinstance(temporary, Directory)
        temporary.entries.clear()

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks

    # -- processes -----------------------------------------------------------------------------------------------

    def spawn(self, kind: str, parent: Process | None = None) -> Process:
        """Make a process. Its pid may have been another's."""
        start = self._tick()
        # Never twice a start: a pid is only used again in a later tick.
        size = max(_PIDS, 2 * len(self.processes))
        while self._next_pid in self.processes:
            self._next_pid = self._next_pid % size + 1
        parent = parent or self.init
        process = Process(self, self._next_pid, start, kind, parent)
        self._next_pid = self._next_pid % size + 1
        self.processes[process.pid] = parent.children[process.pid] = process
        process.environ, process.cwd, process.uid = parent.environ, parent.cwd, parent.uid
        return process

    def of_kind(self, kind: str) -> list[Process]:
        """Return the living processes of a kind."""
        return [process for process in list(self.processes.values()) if process.kind == kind and process.alive]

    def end(self, process: Process, status: int | None, signal: int | None = None) -> None:
        """A process ends; its parent hears of it."""
        if not process.alive or process is self.init:
            return
        process.alive = False
        process.status, process.signal = status, signal
        if process.kind == "main":
            self.watcher.on_exit(self, process)
        elif process.kind in ("agent", "runner", "front"):
            self.watcher.on_death(self, process)
        for number in sorted(process.files):
            process.close(number)
        heir = process.parent
        while heir is not None and not (heir.alive and heir.adopts):
            heir = heir.parent
        for child in list(process.children.values()):
            self._give(child, heir or self.init)
        process.children.clear()
        assert process.parent is not None
        if process.parent is self.init or not process.parent.alive:
            self.reap(process)
        else:
            self._tell(process.parent)
        if process is not Process.running[0]:
            process.bury()

    def _give(self, child: Process, heir: Process) -> None:
        child.parent = heir
        heir.children[child.pid] = child
        if not child.alive:
            if heir is self.init:
                self.reap(child)
            else:
                self._tell(heir)

    def _tell(self, parent: Process) -> None:
        """A child of a process has ended."""
        file = parent.files.get(parent.wake_fd)
        if file is not None:
            try:
                file.write(bytes([CHILD]))
            except OSError:
                return

    def reap(self, process: Process) -> None:
        """Forget a process that has ended and was waited for."""
        self.processes.pop(process.pid, None)
        if process.parent is not None:
            process.parent.children.pop(process.pid, None)

    def kill(self, process: Process, signal: int, by: Process | None) -> None:
        """Send a signal to a process."""
        if not process.alive or signal == 0:
            return
        if signal == STOP:
            self._stop(process)
            return
        if signal == CONTINUE:
            self._go_on(process)
            return
        if signal == TERM and process.stubborn:
            return
        if by is not None:
            self.watcher.on_kill(self, process, by)
        if signal == TERM and process.left is not None:
            process.asked_to_end = True
            return
        self.end(process, None, signal)

    def _stop(self, process: Process) -> None:
        if process.program is not None and process.left is None:
            process.left = max(0.0, process.ends_at - self.world.now)
            process.run += 1

    def _go_on(self, process: Process) -> None:
        if process.program is not None and process.left is not None:
            left, process.left = process.left, None
            if process.asked_to_end:
                self.end(process, None, TERM)
                return
            self._let_run(process, process.program, left)
            held, process.held = process.held, []
            for number, data in held:
                self._write(process, number, data)

    # -- jobs ----------------------------------------------------------------------------------------------------

    def start_job(self, runner: Process, environ: dict[bytes, bytes], files: Iterable[Open]) -> Process:
        """Start the main process of an attempt and let it do what it does."""
        process = self.spawn("main", runner)
        process.session = process.pid
        process.environ = environ
        process.uid = next((name for name, node in self._work_of(runner) if node is runner.cwd), "")
        for file in files:
            process.add(file)
        launch = {"id": process.uid, "job": environ.get(b"SSHJOBS_JOB", b"").decode()}
        program = self.spoils or self.world.program_of(launch)
        process.program, process.stubborn = program, program.stubborn
        self.watcher.on_start(self, process)
        self._let_run(process, program, program.seconds)
        for number, data in ((1, program.out), (2, program.err)):
            for delay, piece in _spread(data, program):
                self.world.at(delay, partial(self._write, process, number, piece))
        return process

    @staticmethod
    def _work_of(runner: Process) -> Iterable[tuple[str, Any]]:
        return runner.cwd.parent.entries.items()

    def _let_run(self, process: Process, program: Program, seconds: float) -> None:
        process.run += 1
        process.ends_at = self.world.now + seconds
        self.world.at(seconds, partial(self._over, process, process.run))

    def _over(self, process: Process, run: int) -> None:
        program = process.program
        if not process.alive or process.run != run or program is None:
            return
        for path, data in program.files:
            with contextlib.suppress(OSError):
                self._leave_file(process, path, data)
        if program.stray:
            stray = self.spawn("stray", process)
            stray.stubborn = program.stubborn
            if program.daemon:
                stray.session = stray.pid
        self.end(process, program.status, program.signal)

    def _leave_file(self, process: Process, path: str, data: bytes) -> None:
        """Have a job make a file in its directory."""
        above = ""
        for name in path.split("/")[:-1]:
            above = f"{above}{name}/"
            with contextlib.suppress(FileExistsError):
                self.disk.mkdir(above[:-1], 0o755, USER, process.cwd)
        node = self.disk.add(path, process.cwd, lambda parent, ino, now: File(ino, 0o644, USER, now))
        assert isinstance(node, File)
        node.write(0, data, self.world.now)

    def _write(self, process: Process, number: int, data: bytes) -> None:
        if not process.alive:
            return
        if process.left is not None:
            process.held.append((number, data))
            return
        try:
            count = process.files[number].write(data)
        except OSError:
            # As most programs do when they cannot write.
            self.end(process, 1)
            return
        self.watcher.on_write(self, process.uid, number, data[:count])

    # -- connections ---------------------------------------------------------------------------------------------

    def answer(self, connection: Connection, nonce: str, hurry: str) -> None:
        """Be the sshd of a connection: start the front, and carry bytes between the connection and its pipes."""
        self.connection = connection
        there, back = Buffer(1 << 30), Buffer(PIPE_SIZE)
        mouth, ear = PipeEnd(None, there).hold(), PipeEnd(back, None).hold()
        process = self.spawn("front")
        process.session = process.pid
        process.environ = {b"HOME": HOME.encode(), b"PATH": b"/bin"}
        for file in (PipeEnd(there, None), PipeEnd(None, back), Null()):
            process.add(file)
        pump = _Pump(connection, back)
        closed: list[bool] = []
        begun: list[bool] = []

        def close() -> None:
            if not closed:
                closed.append(True)
                pump.stopped = True
                mouth.release()
                ear.release()
                if not begun:
                    self.end(process, 1)
        connection.far_closed = close

        def come(data: bytes) -> None:
            if not begun:
                begun.append(True)
                hello, newline, data = data.partition(b"\n")
                process.begin(partial(front.main, nonce, (hello + newline).decode("ascii"), hurry))
            if data and not closed:
                try:
                    mouth.write(data)
                except OSError:
                    connection.close_far()
        connection.on_up = come

    # -- what befalls it -----------------------------------------------------------------------------------------

    def reboot(self, *, power: bool) -> None:
        """Go down at once and come up again as another boot.

        :param power: without a word, so that what was written lately may be gone from the disk
        """
        self.watcher.on_reboot(self, power=power)
        self.cut(0, 0, heard=False)
        running = Process.running[0]
        for process in list(self.processes.values()):
            if process.alive:
                process.alive = False
                if process.kind == "main":
                    self.watcher.on_exit(self, process)
                # Nobody is told of anything. But a socket that is still on the disk leads to nobody.
                for file in process.files.values():
                    if isinstance(file, Listener):
                        file.close()
                if process is not running:
                    process.bury()
        self.processes.clear()
        if power:
            self.disk.lose_power(self.world.rng)
        self._boots += 1
        self._boot()
        for _ in range(self.world.rng.randint(0, 5)):
            self.spawn("bystander")

    def bury(self) -> None:
        """Take apart all processes, when nothing is looked at any more."""
        for process in list(self.processes.values()):
            process.bury()

    def spring(self, process: Process, name: str, *, after: bool) -> None:
        """See whether something happens to a process at this call.

        :raises OSError: the call fails
        """
        for trap in self.traps:
            if trap.kind == process.kind and trap.after == after and trap.name in (None, name):
                trap.count -= 1
                if trap.count <= 0:
                    self.traps.remove(trap)
                    number = trap.act(process)
                    if not process.alive:
                        process.vanish()
                    if number is not None:
                        self.disk.refused = self.world.now
                        raise error(number, f"{name} of {process.kind}")
                    return


class _Pump:
    """Carries what the far side writes into its connection."""

    def __init__(self, connection: Connection, back: Buffer):
        self._connection, self._back = connection, back
        self.stopped = False
        back.hook = self._carry

    def _carry(self) -> None:
        """Something has happened to the pipe."""
        if self.stopped:
            return
        if self._back.data:
            data = bytes(self._back.data)
            self._back.data.clear()
            self._connection.down.write(data)
            self._back.notify()
        elif not self._back.writers:
            self.stopped = True
            self._connection.close_far()


def _spread(data: bytes, program: Program) -> Iterable[tuple[float, bytes]]:
    """Yield the pieces of an output with the time at which each is written."""
    if not data:
        return
    size = -(-len(data) // program.pieces)
    for number, at in enumerate(range(0, len(data), size)):
        yield number * program.seconds / program.pieces, data[at:at + size]

