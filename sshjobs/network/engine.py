"""The thread in which all sessions with hosts run: one event loop, one session a host."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sshjobs.errors import LocalError
from sshjobs.model.host import Host
from sshjobs.network.clock import SYSTEM, Clock
from sshjobs.network.contract import HERE, RunIdentity, Warned, never
from sshjobs.network.handshakes import Handshakes
from sshjobs.network.loops import LoopRunner
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.session.session import BYE_TIMEOUT, CLEANUP_S, HostSession
from sshjobs.network.session.shared import Shared
from sshjobs.network.staging.inputs import Staging
from sshjobs.network.supervise import Failed, Supervisor
from sshjobs.network.transport.base import Transport
from sshjobs.network.trouble import LocalTrouble, cannot_write

#: Seconds that hosts get to remove what is left there, and that the sessions get to end. A host has BYE_TIMEOUT to
#: greet and CLEANUP_S to remove; a process of ours is killed after two seconds.
CLOSING_S, LEAVING_S = 2 * BYE_TIMEOUT + CLEANUP_S, 10.0
#: So few attempts, with so many bytes of output or more, are synced by themselves and not with the whole file system.
FEW, LARGE = 8, 1 << 24


class Engine:
    """Runs the sessions of a network in an event loop of its own. Its methods belong to the manager's thread.

    :param runner: runs that loop
    :param files: where output lands
    :param transport_of: the transport to reach a host by
    :param slots: how many jobs a host takes at a time, ``None`` for as many as it has cores
    :param directory: what to sync before hosts give up their copies
    :param given: the names of entries whose files other jobs are given; it may grow
    :param hurry: as for :meth:`sshjobs.network.contract.NetworkContract.open`
    :param clock: of the manager
    """

    def __init__(self, runner: LoopRunner, files: OutputFiles, hosts: Iterable[Host],
                 transport_of: Callable[[Host], Transport], slots: Callable[[Host], int | None], run: RunIdentity,
                 directory: Path, given: Collection[str] = (), clock: Clock = SYSTEM, *, hurry: bool = False):
        self._runner, self._loop = runner, runner.loop
        self._directory = directory
        self._batch: list[Any] = []
        self._supervisor = Supervisor(self._loop, self._fail)
        self._outputs = files
        self._trouble = LocalTrouble(self._emit, runner.aside)
        self._to_release: list[tuple[str, str]] = []
        self._releasing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sessions: dict[str, HostSession] = {}
        #: Hosts that were removed from the run, and the tasks that end their sessions.
        self._parting: dict[str, asyncio.Task[None]] = {}
        handshakes = Handshakes(transport_of, lambda: len(self._sessions))

        shared = Shared(run, self._outputs, Staging(), self._emit, handshakes, runner.chance, self._supervisor,
                        self._trouble, given, hurry, clock)

        def session(host: Host) -> HostSession:
            return HostSession(host, transport_of(host), slots(host), shared)
        self._new_session = session
        for host in hosts:
            self._sessions[host.name] = session(host)

    def start(self, adopted: Iterable[tuple[str, LiveAttempt]], boots: Mapping[str, str]) -> None:
        """Begin to contact the hosts, first of all about the attempts that are there already.

        :raises LocalError: this machine has no room for another thread
        """
        for host, attempt in adopted:
            self._sessions[host].book.adopt(attempt, boots.get(host))
        self._runner.start(self._begin, self._fail)

    def launch(self, attempts: Sequence[tuple[str, LiveAttempt]]) -> None:
        """Have attempts started on their hosts."""
        def begin() -> None:
            for host, attempt in attempts:
                self._sessions[host].book.launch(attempt)
        self._call(begin)

    def cancel(self, host: str, uid: str, grace: float) -> None:
        """End an attempt."""
        self._call(lambda: self._sessions[host].book.cancel(uid, grace))

    def condemn(self, host: str, uid: str) -> None:
        """Forget an attempt that a person has declared lost."""
        self._call(lambda: self._sessions[host].book.condemn(uid))

    def fence(self, host: str, uid: str) -> None:
        """Take an attempt back if it has not started."""
        self._call(lambda: self._sessions[host].book.fence(uid))

    def pause(self, host: str, uid: str, paused: bool) -> None:
        """Stop the processes of an attempt where they are, or let them go on."""
        self._call(lambda: self._sessions[host].book.pause(uid, paused))

    def add_host(self, host: Host) -> None:
        """Begin to contact a further host."""
        async def converse(session: HostSession) -> None:
            if host.name in self._parting:
                # If the host was in the run before, that session has to end before a new one begins.
                await self._parting[host.name]
            await session.run()

        def begin() -> None:
            session = self._sessions[host.name] = self._new_session(host)
            self._tasks.append(self._supervisor.start(converse(session)))
        self._call(begin)

    def remove_host(self, host: str) -> None:
        """Remove a host from the run, and have it clean up."""
        async def part(session: HostSession) -> None:
            line = await session.bye()
            session.leave()
            for told in (*([line] if line is not None else []), *await self._give_back([session])):
                self._emit(Warned(host, told.partition(": ")[2]))

        def begin() -> None:
            self._parting[host] = self._supervisor.start(part(self._sessions.pop(host)))
        self._call(begin)

    def set_slots(self, host: str, slots: int) -> None:
        """Change how many jobs a host takes at a time."""
        self._call(lambda: self._sessions[host].set_slots(slots))

    def ask_gpus(self, host: str) -> None:
        """Ask a host how its GPUs are."""
        self._call(lambda: self._sessions[host].ask_gpus())

    def release(self, attempts: Sequence[tuple[str, str]]) -> None:
        """Sync what has come of these (host, uid), then let the hosts forget them."""
        def begin() -> None:
            self._to_release.extend(attempts)
            if self._releasing is None or self._releasing.done():
                self._releasing = self._supervisor.start(self._release())
        self._call(begin)

    def wake(self) -> None:
        """Wake the thread that waits for events. May be called from any thread."""
        self._runner.hand_over([])

    def next_events(self, timeout: float) -> list[Any] | None:
        """Return the next events for the manager, waiting up to ``timeout`` seconds for them.

        :return: none of them where somebody only woke us, ``None`` where nothing came
        """
        return self._runner.take(timeout)

    def close(self, *, finished: bool, hurried: Callable[[], bool] = never) -> list[str]:
        """End all sessions and the thread. What does not end in time ends with this process.

        :param finished: have the hosts remove everything of the run first
        :param hurried: see :meth:`sshjobs.network.contract.NetworkContract.close`
        :return: lines about what was left there
        """
        lines = self._part_from_all(hurried) if finished else []
        try:
            self._runner.complete(self._close(), LEAVING_S, hurried)
        except TimeoutError:
            lines.append(f"{HERE}: the sessions with hosts did not end in time; what is left there: sshjobs gc")
        self._runner.stop()
        return lines

    def _part_from_all(self, hurried: Callable[[], bool]) -> list[str]:
        """Have every host remove what is left of the run there; return what a person should know of that."""
        told: dict[str, str | None] = {}
        with contextlib.suppress(TimeoutError):
            self._runner.complete(self._bye(told), CLOSING_S, hurried)
        for name, session in self._sessions.items():
            if name not in told and session.book.boot is not None:
                told[name] = f"{name}: not waited for at the end; files of the run may stay there: sshjobs gc"
        return [line for line in told.values() if line is not None]

    # -- in the loop's thread ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._tasks = [self._supervisor.start(session.run()) for session in self._sessions.values()]

    def _fail(self, error: BaseException) -> None:
        """Tell the manager that work in the background has died. From any thread."""
        if isinstance(error, OSError):
            error = LocalError.of(error, "the run cannot go on, because the system refused what it needs",
                                  hint="see to that, then: sshjobs resume")
        self._runner.hand_over([Failed(error)])

    def _call(self, act: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(act)

    def _emit(self, event: Any) -> None:
        # Events are handed over once in a turn of the loop, however many there are.
        if not self._batch:
            self._loop.call_soon(self._hand_over)
        self._batch.append(event)

    def _hand_over(self) -> None:
        self._runner.hand_over(self._batch)
        self._batch = []

    async def _release(self) -> None:
        while self._to_release:
            now, self._to_release = self._to_release, []
            # Nothing is promised before: the hosts keep their copies until the disk takes ours.
            await self._trouble.outwait(functools.partial(self._sync, now))
            by_host: dict[str, list[str]] = {}
            for host, uid in now:
                by_host.setdefault(host, []).append(uid)
            for host, uids in by_host.items():
                if host in self._sessions:
                    self._sessions[host].book.release(uids)

    async def _sync(self, attempts: Sequence[tuple[str, str]]) -> None:
        """Return once the outputs of attempts are on the disk.

        :raises LocalError: it refused
        """
        try:
            await self._sync_outputs(attempts)
        except OSError as error:
            raise cannot_write(error, str(self._directory)) from error

    async def _sync_outputs(self, attempts: Sequence[tuple[str, str]]) -> None:
        found = [self._sessions[host].book.live.get(uid) for host, uid in attempts if host in self._sessions]
        large = [attempt for attempt in found if attempt is not None]
        if any(attempt.brought for attempt in large):
            # Files in any number of directories.
            return await self._trouble.aside(lambda: self._outputs.sync(self._directory))
        if len(large) == len(attempts) <= FEW and sum(map(sum, (attempt.have for attempt in large))) >= LARGE:
            # What others have written to the same disk meanwhile may be much as well: it is not waited for.
            with contextlib.suppress(FileNotFoundError):  # is being put aside
                places = [(attempt.directory, attempt.directory / f"attempt-{attempt.uid.partition('.')[2]}")
                          for attempt in large]
                return await self._trouble.aside(lambda: self._outputs.sync(self._directory, places))
        await self._trouble.aside(lambda: self._outputs.sync(self._directory))

    async def _bye(self, told: dict[str, str | None]) -> None:
        async def bye(name: str, session: HostSession) -> None:
            told[name] = await session.bye()

        await asyncio.gather(*self._parting.values(), return_exceptions=True)
        await asyncio.gather(*(bye(*item) for item in self._sessions.items()))
        for line in await self._give_back(self._sessions.values(), last=True):
            told[line.partition(":")[0]] = line

    async def _give_back(self, sessions: Iterable[HostSession], *, last: bool = False) -> list[str]:
        """Give back what was taken for hosts that leave."""
        hosts: dict[Transport, list[Host]] = {}
        for session in sessions:
            hosts.setdefault(session.transport, []).append(session.host)
        staying = () if last else tuple(self._sessions)
        return [line for transport, some in hosts.items() for line in await transport.give_back(some, staying)]

    async def _close(self) -> None:
        for session in self._sessions.values():
            session.leave()
        tasks = (*self._tasks, *self._parting.values(), *([self._releasing] if self._releasing else ()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._outputs.close()
