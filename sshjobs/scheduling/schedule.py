"""Who runs where, who is tried again, and who waits for what. Pure: no clock, no disk, no process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from sshjobs.errors import UsageError
from sshjobs.model.host import Host
from sshjobs.model.spec import Attempt, Job, JobSpec
from sshjobs.model.states import (
    HOST_OUTCOMES,
    JOB_OUTCOMES,
    STATE_BUSY,
    STATE_ERROR,
    STATE_FREE,
    STATE_UNKNOWN,
    Outcome,
)
from sshjobs.scheduling.durations import SLOW, Durations, Line
from sshjobs.scheduling.queue import Queue

#: A host holds more jobs than it has slots, so that a slot that falls free starts the next one with no round trip:
#: as many as it ends in so many seconds, on top of two round trips. Jobs held are jobs that no other host can take.
HORIZON = 0.06
#: Most jobs held for a slot.
MAX_HELD = 64
#: What a job that a person holds back says of itself.
HELD = "paused by hand"
#: What one that was launched says from then on that it is let go of, so that a later manager has its host hear of it.
GOES_ON = "goes on after a pause"
#: Reason of an attempt that was taken back from a host that held it.
TAKEN_BACK = "taken back before it started"
#: How the reason of an attempt begins that was not started because its host has no room for any.
NO_ROOM = "the host cannot take it"
#: How the reason of an attempt begins whose end was the host's fault.
BLAMED = "the host's fault"
#: State of a host whose slots are taken but which may hold more.
_FILLING = "filling"


class Schedule:
    """Assigns waiting jobs to hosts with room. Every operation is O(1) in jobs and hosts, but for the number of
    different host selections.

    Hosts stand in a :class:`Queue`: free (a slot is free), filling (it may hold more), busy (full), unknown (not
    reached, or away) and error (not usable until a person acts).

    :param hosts: all hosts of the run
    :param rng: where the choice among hosts with room comes from
    """

    def __init__(self, hosts: Iterable[Host], rng: random.Random | None = None):
        self.hosts = {host.name: host for host in hosts}
        self.host_queue: Queue[str] = Queue(
            [STATE_UNKNOWN, STATE_FREE, _FILLING, STATE_BUSY, STATE_ERROR], self.hosts)
        if rng is not None:
            self.host_queue.rng = rng
        self.slots: dict[str, int] = dict.fromkeys(self.hosts, 0)
        self.load: dict[str, int] = dict.fromkeys(self.hosts, 0)
        self._round_trip: dict[str, float] = {}
        self.durations = Durations()
        #: Slow hosts that get nothing at the end, each with the time from which on that makes no sense any more.
        self._held_back: dict[str, float] = {}
        #: Those that were held back for as long as that, until a job ends there.
        self._in_vain: set[str] = set()
        #: The slots of each usable host that is not slow, and their sum.
        self._brisk: dict[str, int] = {}
        self._brisk_slots = 0
        self._up: set[str] = set()
        self._dry: set[str] = set()
        self._drained: set[str] = set()
        #: Hosts with a free slot; with jobs that they cannot start yet; with less than half of what they may hold.
        self._idle, self._holding, self._hungry = set[str](), set[str](), set[str]()
        self._lines: dict[tuple[tuple[str, ...], str | None], Line] = {}
        self._lines_of: dict[str, list[Line]] = {name: [] for name in self.hosts}
        self._entered = 0
        self.waiting = 0
        #: Launch nothing for now.
        self.paused = False

    # -- jobs ----------------------------------------------------------------------------------------------------

    def eligible(self, spec: JobSpec, only_host: str | None = None) -> frozenset[str]:
        """Return the names of the hosts on which a job may run.

        :raises UsageError: its ``hosts`` match none
        """
        return frozenset(self._line(spec, only_host).hosts)

    def _line(self, spec: JobSpec, only_host: str | None) -> Line:
        key = (tuple(spec.hosts), only_host)
        line = self._lines.get(key)
        if line is None:
            names = (only_host,) if only_host else self.hosts
            chosen = {name for name in names if name in self.hosts and self.hosts[name].matches(spec.hosts)}
            if not chosen:
                raise UsageError(f"no host matches {', '.join(spec.hosts) or only_host}", where=spec.name,
                                 hint=f"the hosts are {', '.join(list(self.hosts)[:8])}")
            line = self._lines[key] = Line(chosen, self.durations)
            for name in chosen:
                self._lines_of[name].append(line)
        return line

    def add(self, job: Job) -> None:
        """Let a job wait for a host.

        :raises UsageError: its ``hosts`` match none
        """
        line = self._line(job.spec, job.only_host)
        line.add(job, self._entered)
        self._entered += 1
        self.waiting += 1
        for name in self._dry & line.hosts if self._dry else ():
            self._dry.discard(name)
            self._settle(name)

    def remove(self, job: Job) -> bool:
        """Take a job out of its line; tell whether it waited there."""
        if not self._line(job.spec, job.only_host).remove(job):
            return False
        self.waiting -= 1
        return True

    def next(self, now: float = 0.0) -> tuple[Job, str] | None:
        """Take the job out of its line that is to be launched now; with the host for it. ``None``: no match.

        :param now: seconds of any clock that never goes back
        """
        while self.waiting and not self.paused:
            state = STATE_FREE if self.host_queue.AnyInState(STATE_FREE) else _FILLING
            if not self.host_queue.AnyInState(state):
                if self._held_back and self._give_up_holding_back(now):
                    continue
                break
            host = self.host_queue.ChooseRandom(state)
            lines = sorted((line for line in self._lines_of[host] if line), key=Line.head)
            line = next((line for line in lines if self._too_slow(host, line) is None), None)
            if line is None:
                if lines:
                    self._held_back[host] = now + (self._too_slow(host, lines[0]) or 0.0)
                else:
                    self._dry.add(host)
                self._settle(host)
                continue
            job = line.take(host, spare=len(line.hosts) > 1 and any(
                name in self._up for name in line.hosts if name != host))
            self.waiting -= 1
            self.occupy(host)
            return job, host
        return None

    def _too_slow(self, host: str, line: Line) -> float | None:
        """Return the seconds that the next job of a line would take on a host, if others are likely to be through
        with all that waits before that; else ``None``."""
        slowness = self.durations.slowness(host)
        if slowness <= SLOW or not self._brisk_slots or host in self._in_vain:
            return None
        usual = self.durations.of_kind(line.next_kind())
        # In units of one such job elsewhere: all that waits shared out, and one more that runs already.
        if usual is None or slowness <= self.waiting / self._brisk_slots + 2.0 or line.hosts.isdisjoint(self._brisk):
            return None
        return usual * slowness

    def _give_up_holding_back(self, now: float) -> bool:
        """Let hosts have jobs again for which there is no reason to be held back any more; tell whether any was."""
        freed = []
        for host, until in self._held_back.items():
            if now >= until:
                self._in_vain.add(host)
            if any(line and self._too_slow(host, line) is None for line in self._lines_of[host]):
                freed.append(host)
        for host in freed:
            del self._held_back[host]
            self._settle(host)
        return bool(freed)

    def next_for(self, host: str) -> Job | None:
        """Take the next job out of its line that may run on a host, whether the host has room or not."""
        lines = [line for line in self._lines_of.get(host, ()) if line]
        if not lines:
            return None
        self.waiting -= 1
        self.occupy(host)
        return min(lines, key=Line.head).take(host, spare=False)

    def hopeless(self) -> list[Job]:
        """Take out and return the jobs none of whose hosts can be used any more."""
        lost: list[Job] = []
        for line in self._lines.values():
            if line and all(self.host_queue.StateOf(name) == STATE_ERROR for name in line.hosts):
                lost.extend(line.clear())
        self.waiting -= len(lost)
        return lost

    # -- hosts ---------------------------------------------------------------------------------------------------

    def occupy(self, host: str) -> None:
        """Count one attempt more on a host."""
        self.load[host] += 1
        self._settle(host)

    def vacate(self, host: str) -> None:
        """Count one attempt less on a host."""
        self.load[host] -= 1
        self._settle(host)

    def host_up(self, host: str, slots: int) -> None:
        """A host can be used, for so many jobs at a time."""
        self.slots[host] = slots
        self._up.add(host)
        self._settle(host)

    def is_up(self, host: str) -> bool:
        """Tell whether a host can be reached."""
        return host in self._up

    def host_down(self, host: str, *, lasting: bool) -> None:
        """A host cannot be used for now, or (``lasting``) until a person acts."""
        self._up.discard(host)
        self._settle(host)
        self.host_queue.SetState(host, STATE_ERROR if lasting else STATE_UNKNOWN)

    def add_host(self, host: Host) -> None:
        """Take in a further host; jobs that wait for a selection that it matches may run there."""
        self.hosts[host.name] = host
        if host.name in self.host_queue:
            self.host_queue.SetState(host.name, STATE_UNKNOWN)
        else:
            self.host_queue.Add(host.name)
        self.slots[host.name] = self.load[host.name] = 0
        self._lines_of[host.name] = []
        for (selectors, only_host), line in self._lines.items():
            if only_host == host.name or (only_host is None and host.matches(selectors)):
                line.hosts.add(host.name)
                self._lines_of[host.name].append(line)

    def held(self, host: str) -> int:
        """Return how many jobs a host may hold beyond its slots: none as long as nobody knows how long jobs take,
        and none of long ones."""
        duration = self.durations.on(host)
        if duration is None:
            return 0
        horizon = HORIZON + 2 * self._round_trip.get(host, 0.0)
        if duration > 2 * horizon:
            return 0
        each = min(MAX_HELD, int(horizon / max(duration, horizon / MAX_HELD)) + 1)
        # A few short jobs do not promise that the next ones are short.
        return min(self.slots[host] * each, self.durations.ended(host))

    def note_round_trip(self, host: str, seconds: float) -> None:
        """Take in how long a word to a host and back takes."""
        self._round_trip[host] = seconds

    def note_duration(self, spec: JobSpec, host: str, seconds: float) -> None:
        """Take in how long a job took on a host, before that is vacated."""
        self.durations.note(spec, host, seconds)
        self._in_vain.discard(host)

    def is_sated(self) -> bool:
        """Tell whether every host has enough to do for the moment, so that there is no hurry."""
        return bool(self._up) and not self._hungry

    def overfull(self) -> str | None:
        """Return the host that holds most jobs which it cannot start yet, while another has a free slot and nothing
        waits; ``None`` where nobody would gain."""
        if self.waiting or not self._idle or not self._holding:
            return None
        return max(self._holding, key=lambda host: self.load[host] / self.slots[host])

    def drain(self, host: str, drained: bool) -> None:
        """Launch nothing more on a host, or use it again."""
        (self._drained.add if drained else self._drained.discard)(host)
        self._settle(host)

    def is_drained(self, host: str) -> bool:
        """Tell whether nothing more is launched on a host."""
        return host in self._drained

    def set_slots(self, host: str, slots: int) -> None:
        """Change how many jobs a host takes at a time; what runs there is left alone."""
        self.slots[host] = slots
        self._settle(host)

    def remove_host(self, host: str) -> None:
        """Forget a host on which nothing runs. Jobs that wait for it alone become hopeless."""
        self.host_down(host, lasting=True)
        for line in self._lines_of.pop(host):
            line.hosts.discard(host)
        del self.hosts[host], self.slots[host], self.load[host]
        self.durations.forget_host(host)
        self._held_back.pop(host, None)
        self._drained.discard(host)
        self._dry.discard(host)

    def _settle(self, host: str) -> None:
        load, slots, up = self.load[host], self.slots[host], host in self._up
        held = self.held(host)
        usable = up and host not in self._drained
        brisk = slots if usable and self.durations.slowness(host) <= SLOW else 0
        if brisk != self._brisk.get(host, 0):
            self._brisk_slots += brisk - self._brisk.pop(host, 0)
            if brisk:
                self._brisk[host] = brisk
        usable = usable and host not in self._held_back
        # Spelled out: this is done twice for every job.
        (self._idle.add if usable and load < slots else self._idle.discard)(host)
        (self._holding.add if up and load > slots else self._holding.discard)(host)
        (self._hungry.add if usable and load <= slots + held // 2 else self._hungry.discard)(host)
        if up:
            state = STATE_BUSY
            if usable and host not in self._dry:
                state = STATE_FREE if load < slots else _FILLING if load < slots + held else STATE_BUSY
            if self.host_queue.StateOf(host) != state:
                self.host_queue.SetState(host, state)


def retry_wanted(job: Job, outcome: Outcome) -> bool:
    """Tell whether a job whose newest attempt ended so is to be tried again.

    Ends that are nobody's fault count against ``host_retries``, the job's own ends against ``retries``.
    """
    if job.spec.once and outcome is not Outcome.NEVER_STARTED:
        return False
    hosts_fault = [attempt for attempt in job.attempts if is_hosts_fault(attempt) and not was_given_back(attempt)]
    if is_hosts_fault(job.attempts[-1]):
        return len(hosts_fault) <= job.spec.host_retries
    if outcome not in JOB_OUTCOMES:
        return False
    own = sum(1 for attempt in job.attempts if attempt.outcome in JOB_OUTCOMES) - sum(
        1 for attempt in hosts_fault if attempt.outcome in JOB_OUTCOMES)
    return own <= job.spec.retries


def may_be_lost(job: Job) -> bool:
    """Tell whether a job whose newest attempt has not ended would be tried again if that were lost."""
    if job.spec.once:
        return False
    lost = [attempt for attempt in job.attempts[:-1] if is_hosts_fault(attempt) and not was_given_back(attempt)]
    return len(lost) < job.spec.host_retries


def is_hosts_fault(attempt: Attempt) -> bool:
    """Tell whether an attempt ended so that it is nobody's fault, or that of its host."""
    return attempt.outcome in HOST_OUTCOMES or bool(attempt.reason and attempt.reason.startswith(BLAMED))


def was_given_back(attempt: Attempt) -> bool:
    """Tell whether an attempt ended only so that its job may run elsewhere, or later: that counts against nothing."""
    return bool(attempt.reason and attempt.reason.startswith((TAKEN_BACK, NO_ROOM)))


def jobs_from(specs: Iterable[JobSpec], hosts: Iterable[Host], *, first: int = 0,
              taken: Callable[[str], bool] = lambda name: False) -> Iterable[Job]:
    """Yield the jobs that specs stand for: one each, or one on every host for ``per_host``; with unique names.

    :param first: index of the first of them
    :param taken: tells whether a name belongs to another job of the run
    :raises UsageError: the ``hosts`` of a ``per_host`` spec match none
    """
    all_hosts, names, index = list(hosts), _Names(taken), first
    for spec in specs:
        targets: list[Host | None] = [None]
        if spec.per_host:
            targets = [host for host in all_hosts if host.matches(spec.hosts)]
            if not targets:
                raise UsageError(f"no host matches {', '.join(spec.hosts)}", where=spec.name)
        for target in targets:
            base = spec.name or "job"
            job = Job(spec, index, names.unused(f"{base}@{target.name}" if target else base))
            job.only_host = target.name if target else None
            yield job
            index += 1


class _Names:
    """Gives each job a name of its own: ``x``, ``x-2``, ``x-3``."""

    def __init__(self, taken: Callable[[str], bool]):
        self._taken, self._given, self._next = taken, set[str](), dict[str, int]()

    def unused(self, name: str) -> str:
        chosen = name
        while chosen in self._given or self._taken(chosen):
            number = self._next.get(name, 2)
            self._next[name] = number + 1
            chosen = f"{name}-{number}"
        self._given.add(chosen)
        return chosen
