"""SimulatedNetwork: the contract of a network on hosts that are data, in a world with a clock of its own.

The manager, the schedule, the store, the link and all that is decided about a host are the real ones; the far side
keeps the far side's rules (see :mod:`sshjobs.simulation`). Waiting costs no time.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sshjobs.model.host import Host
from sshjobs.model.spec import Attempt, Job
from sshjobs.model.states import FINAL_STATES, STATE_FREE
from sshjobs.network.contract import NetworkContract, News, RunIdentity
from sshjobs.network.network import CANCEL_GRACE
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.records import Records
from sshjobs.network.session.session import BYE_TIMEOUT
from sshjobs.simulation.files import VirtualFiles
from sshjobs.simulation.session import SimSession
from sshjobs.simulation.world import World
from sshjobs.store.rundir import RunPaths

#: Seconds that it takes to put outputs on the disk.
SYNC_TIME = 0.01


class SimulatedNetwork(NetworkContract):
    """One manager's network; a world outlives it.

    :param world: where the hosts are, by name; a host that has no machine there is not reachable
    :param files: where output lands; outlives the network as well
    :ivar linger: what happens within so many seconds is taken in together: fewer turns of the manager, for questions
        about time alone
    """

    linger = 0.0

    def __init__(self, results_dir: str, hosts: Iterable[Host], world: World, files: VirtualFiles):
        self.results_dir = results_dir
        self.hosts = {host.name: host for host in hosts}
        self.world = self.clock = world
        self.files = files
        self._records = Records(files)
        self._sessions: dict[str, SimSession] = {}
        self._events: deque[Any] = deque()
        self._outbox: list[tuple[str, LiveAttempt]] = []
        self._adopted_jobs: list[Job] = []
        self._boots: dict[str, str] = {}
        self._to_release: list[tuple[str, str]] = []
        self._releasing = False
        self._closed = False

    # -- the seed's verbs ----------------------------------------------------------------------------------------

    def GetHosts(self) -> list[str]:
        return list(self.hosts)

    def LaunchJob(self, job: Job, host: str) -> str:
        attempt = job.attempt
        if attempt is None or attempt.state in FINAL_STATES or attempt.host != host:
            attempt = job.new_attempt(host, secrets.token_hex(16))
        self._outbox.append((host, self._records.launched(job, host, attempt, self.paths)))
        return f"{host}/{attempt.uid}"

    def GetJobStatus(self, jobs: Sequence[Job]) -> list[str]:
        return [job.attempt.state if job.attempt is not None else STATE_FREE for job in jobs]

    def GetStdout(self, job: Job) -> str:
        return self.files.read(self.paths.stdout(job.name)).decode("utf-8", "surrogateescape")

    def GetStderr(self, job: Job) -> str:
        return self.files.read(self.paths.stderr(job.name)).decode("utf-8", "surrogateescape")

    # -- what a manager needs ------------------------------------------------------------------------------------

    def open(self, run: RunIdentity, paths: RunPaths) -> None:
        self.run, self.paths = run, paths
        for host in self.hosts.values():
            self._sessions[host.name] = self._new_session(host)
        for job in self._adopted_jobs:
            for name, attempt in self._records.adopt(job, paths):
                self._sessions[name].book.adopt(attempt, self._boots.get(name))
        self._adopted_jobs = []
        for session in self._sessions.values():
            session.start()

    def _new_session(self, host: Host) -> SimSession:
        return SimSession(self.world, host, self.run, self.files, self._events.append, host.slots)

    def adopt(self, jobs: Iterable[Job], boots: Mapping[str, str]) -> None:
        self._adopted_jobs.extend(jobs)
        self._boots = dict(boots)

    def hold(self) -> None:
        """Launches are always held back until :meth:`flush`."""

    def flush(self) -> None:
        self._records.make_way()
        outbox, self._outbox = self._outbox, []
        for host, attempt in outbox:
            self._sessions[host].book.launch(attempt)

    def wait(self, timeout: float, linger: float = 0.0) -> News:
        world, news, changed = self.world, News(), dict[Job, None]()
        # A wait too short to make a difference to the clock would be repeated for ever.
        world.run(world.now + max(timeout, 1e-6), lambda: bool(self._events))
        linger = max(linger, self.linger)
        if linger and self._events:
            world.run(world.now + linger)
        while self._events:
            event = self._events.popleft()
            if event is not None:
                self._records.apply(event, news, changed)
        news.jobs = list(changed)
        return news

    def cancel(self, job: Job) -> None:
        attempt = job.attempt
        if attempt is not None and attempt.state not in FINAL_STATES:
            self._sessions[attempt.host].book.cancel(attempt.uid, CANCEL_GRACE)

    def condemn(self, job: Job, reason: str) -> None:
        attempt = job.attempts[-1]
        self._sessions[attempt.host].book.condemn(attempt.uid)
        self._records.condemn(job, attempt, reason)

    def fence(self, job: Job) -> None:
        attempt = job.attempt
        if attempt is not None and attempt.state not in FINAL_STATES:
            self._sessions[attempt.host].book.fence(attempt.uid)

    def pause(self, job: Job, paused: bool) -> None:
        attempt = job.attempt
        if attempt is not None and attempt.state not in FINAL_STATES:
            self._sessions[attempt.host].book.pause(attempt.uid, paused)

    def add_host(self, host: Host) -> None:
        self.hosts[host.name] = host
        session = self._sessions[host.name] = self._new_session(host)
        session.start()

    def remove_host(self, host: str) -> None:
        self.hosts.pop(host)
        self._records.forget_host(host)
        session = self._sessions[host]
        if not session.bye():
            session.leave()
        # Its agent hangs up behind its last word; that must not look like a broken connection.
        self.world.at(BYE_TIMEOUT, session.leave)

    def set_slots(self, host: str, slots: int) -> None:
        self.hosts[host] = replace(self.hosts[host], slots=slots)
        self._sessions[host].dialog.set_slots(slots)

    def release(self, attempts: Sequence[Attempt]) -> None:
        self._to_release += [(attempt.host, attempt.uid) for attempt in attempts]
        if self._to_release and not self._releasing:
            self._releasing = True
            self._sync_some()

    def _sync_some(self) -> None:
        """Sync what has come, then let the hosts forget it; what came meanwhile is for the next time."""
        chosen, self._to_release = self._to_release, []
        self.files.sync()
        self.world.at(SYNC_TIME, lambda: self._give_up(chosen))

    def _give_up(self, chosen: list[tuple[str, str]]) -> None:
        if self._closed:
            return
        by_host: dict[str, list[str]] = {}
        for host, uid in chosen:
            by_host.setdefault(host, []).append(uid)
        for host, uids in by_host.items():
            self._sessions[host].book.release(uids)
        if self._to_release:
            self._sync_some()
        else:
            self._releasing = False

    def wake(self) -> None:
        self._events.append(None)

    def close(self, *, finished: bool) -> list[str]:
        lines: list[str] = []
        if finished:
            self.world.run(self.world.now + BYE_TIMEOUT, lambda: not self._releasing)
            asked = [session for session in self._sessions.values() if session.bye()]

            def all_gone() -> bool:
                # Asked after every event: each session is looked at until it is gone, and not again.
                while asked and asked[-1].gone:
                    asked.pop()
                return not asked
            self.world.run(self.world.now + BYE_TIMEOUT, all_gone)
            lines = [f"{session.host.name}: not reachable at the end; files of the run stay there"
                     for session in self._sessions.values() if session.gone is None]
        self.vanish()
        return lines

    def vanish(self) -> None:
        """Let go of everything, as the death of the manager's process does."""
        self._closed = True
        for session in self._sessions.values():
            session.leave()


