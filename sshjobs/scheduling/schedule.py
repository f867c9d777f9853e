"""Who runs where, who is tried again, and who waits for what. Pure: no clock, no disk, no process."""

from __future__ import annotations

import random
from collections.abc import Iterable

from sshjobs.errors import UsageError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_ERROR, STATE_FREE
from sshjobs.scheduling.delays import Delays
from sshjobs.scheduling.durations import SLOW, Durations
from sshjobs.scheduling.elsewhere import Elsewhere
from sshjobs.scheduling.hosts import FILLING, ScheduledHosts
from sshjobs.scheduling.lines import Gate, GatedLine, Line, LineKey, is_closed, key_of
from sshjobs.scheduling.near import Near


class Schedule:
    """Assigns waiting jobs to hosts with room. Every operation is O(1) in jobs and hosts, but for the number of
    different host selections.

    :param hosts: all hosts of the run
    :param rng: where the choice among hosts with room comes from
    """

    def __init__(self, hosts: Iterable[Host], rng: random.Random | None = None):
        self.durations = Durations()
        self.hosts = ScheduledHosts(hosts, self.durations, rng)
        self._lines: dict[LineKey, Line] = {}
        #: Jobs that wait for a time; jobs that are to be tried again on another host.
        self.delays = Delays()
        self._elsewhere = Elsewhere(self.hosts.may_come)
        #: Jobs that had better run where their files are.
        self._near = Near()
        #: By the name of the entry whose jobs have to wait for each other.
        self._gates: dict[str, Gate] = {}
        self._entered = 0
        self.waiting = 0
        #: How many of those that wait can have no host for now, because as many of their entry run as may.
        self._held = 0
        #: Launch nothing for now: a person wants that.
        self.paused = False

    # -- jobs ----------------------------------------------------------------------------------------------------

    def eligible(self, spec: JobSpec, only_host: str | None = None) -> frozenset[str]:
        """Return the names of the hosts on which a job may run; none where those that it was made for have left."""
        return frozenset(self._line(spec, only_host).hosts)

    def check(self, job: Job) -> None:
        """:raises UsageError: no host of the run matches the ``hosts`` of a new job"""
        if not self._line(job.spec, job.only_host).hosts:
            raise UsageError(f"no host matches {', '.join(job.spec.hosts) or job.only_host}", where=job.name,
                             hint=f"the hosts are {', '.join(self.hosts.names[:8])}")

    def _line(self, spec: JobSpec, only_host: str | None, left: frozenset[str] | None = None) -> Line:
        key = key_of(spec, only_host, left)
        line = self._lines.get(key)
        if line is None:
            names = (only_host,) if only_host else self.hosts
            chosen = set(left) if left is not None else {
                name for name in names if name in self.hosts and self.hosts[name].host.matches(spec.hosts)}
            if spec.max_parallel is None:
                line = Line(chosen, self.durations, spec.priority)
            else:
                gate = self._gates.setdefault(spec.entry_name, Gate(spec.max_parallel))
                line = GatedLine(chosen, self.durations, spec.priority, gate)
            self._lines[key] = line
            for name in chosen:
                self.hosts[name].lines.append(line)
        return line

    def add(self, job: Job, at: float | None = None, near: str | None = None) -> None:
        """Let a job wait for a host. One that no host matches is :meth:`hopeless`.

        :param at: not before that time, in seconds of the clock of :meth:`next`
        :param near: a host that it had better run on, where that has a free slot when its turn comes
        """
        if near is not None:
            self._near.add(job, near)
        if at is not None:
            self.delays.add(job, at)
            return
        line = self._line(job.spec, job.only_host)
        left = None if job.spec.retry_on == "any" else self._elsewhere.hosts_for(job, line.hosts)
        if left is not None:
            line = self._line(job.spec, job.only_host, left)
            self._elsewhere.enter(job, line)
        line.add(job, self._entered)
        self._entered += 1
        self._count_waiting(line, 1)
        self._moisten(line)

    def remove(self, job: Job) -> bool:
        """Take a job out of its line, or let it wait for its time no more; tell whether it waited."""
        if self._near:
            self._near.forget(job)
        if self.delays.discard(job):
            return True
        line = self._elsewhere.line_of(job) or self._line(job.spec, job.only_host)
        if not line.remove(job):
            return False
        self._count_waiting(line, -1)
        self._leave_elsewhere(job)
        return True

    def has_another_host(self, job: Job) -> bool:
        """Tell whether there is a host for a job beside those that it failed on."""
        return self._elsewhere.hosts_for(job, self._line(job.spec, job.only_host).hosts) is not None

    def _leave_elsewhere(self, job: Job) -> None:
        """Note that a job has left its line. A line that leaves hosts out goes when nobody waits in it any more: there
        may be as many of them as jobs."""
        if self._near:
            self._near.forget(job)
        line = self._elsewhere.leave(job) if self._elsewhere else None
        if line is None or line:
            return
        self._lines = {key: one for key, one in self._lines.items() if one is not line}
        for name in line.hosts:
            self.hosts[name].lines.remove(line)
        if isinstance(line, GatedLine):
            line.gate.lines.remove(line)

    def _unstrand(self) -> None:
        """Let jobs run on any host again where no other than those that they failed on can be used any more."""
        for job in self._elsewhere.stranded() if self._elsewhere else ():
            self.remove(job)
            self.add(job)

    def _count_waiting(self, line: Line, more: int) -> None:
        self.waiting += more
        if isinstance(line, GatedLine):
            line.gate.waiting += more
            self._held += more if line.gate.closed else 0

    def _count_taken(self, line: Line, more: int) -> None:
        """Count jobs of a line that are on hosts."""
        if not isinstance(line, GatedLine):
            return
        gate, before = line.gate, line.gate.closed
        gate.taken += more
        if gate.closed is not before:
            self._held += gate.waiting if gate.closed else -gate.waiting
            for one in () if gate.closed else gate.lines:
                self._moisten(one)

    def _moisten(self, line: Line) -> None:
        """Have hosts that had nothing to do look at a line again."""
        for name in sorted(self.hosts.dry.keys() & line.hosts) if self.hosts.dry else ():
            self.hosts.set_dry(name, False)

    def next(self, now: float = 0.0) -> tuple[Job, str] | None:
        """Take the job out of its line that is to be launched now; with the host for it. ``None``: no match.

        :param now: seconds of any clock that never goes back
        """
        hosts = self.hosts
        for job in self.delays.take(now):
            self.add(job)
        while self.waiting and not self.paused:
            state = STATE_FREE if hosts.queue.AnyInState(STATE_FREE) else FILLING
            if not hosts.queue.AnyInState(state):
                if hosts.deferred and self._end_deferrals(now):
                    continue
                break
            host = hosts.queue.ChooseRandom(state)
            place = hosts[host]
            lines = sorted((line for line in place.lines if line and not is_closed(line)), key=Line.rank)
            line = next((line for line in lines if self._too_slow(host, line) is None), None)
            if line is None:
                if lines:
                    hosts.defer(host, now + (self._too_slow(host, lines[0]) or 0.0))
                else:
                    hosts.set_dry(host, True)
                continue
            if self._near and (near := self._near.first(host, line)) is not None:
                job = near
                line.remove(job)
            else:
                job = line.take(host, spare=len(line.hosts) > 1 and any(
                    self.hosts[name].up for name in line.hosts if name != host))
                host = self._nearer(job, line) or host
            self._leave_line(line, job, host)
            return job, host
        return None

    def _nearer(self, job: Job, line: Line) -> str | None:
        """Return the host that a job had better run on, where it can run there at once."""
        host = self._near.host_of(job) if self._near else None
        if host is None or host not in line.hosts or not self.hosts[host].idle:
            return None
        return host if self._too_slow(host, line) is None else None

    def _leave_line(self, line: Line, job: Job, host: str) -> None:
        self._count_waiting(line, -1)
        self._leave_elsewhere(job)
        self._count_taken(line, 1)
        self.hosts.count(host, 1)

    def _too_slow(self, host: str, line: Line) -> float | None:
        """Return the seconds that the next job of a line would take on a host, if others are likely to be through
        with all that waits before that; else ``None``."""
        slowness = self.durations.slowness(host)
        if slowness <= SLOW or not self.hosts.brisk_slots or self.hosts[host].in_vain:
            return None
        usual = self.durations.of_kind(line.next_kind())
        # In units of one such job elsewhere: all that waits shared out, and one more that runs already.
        if usual is None or slowness <= self.waiting / self.hosts.brisk_slots + 2.0:
            return None
        return usual * slowness if any(self.hosts[name].brisk for name in line.hosts) else None

    def _end_deferrals(self, now: float) -> bool:
        """Let hosts have jobs again that need not be deferred any more; tell whether any was."""
        freed = []
        for host in self.hosts.deferred:
            place = self.hosts[host]
            if place.deferred_until is not None and now >= place.deferred_until:
                place.in_vain = True
            if any(line and self._too_slow(host, line) is None for line in place.lines):
                freed.append(host)
        for host in freed:
            self.hosts.end_deferral(host)
        return bool(freed)

    def next_for(self, host: str) -> Job | None:
        """Take the next job out of its line that may run on a host which jobs are kept away from, whether it has room
        or not. ``None`` also where a person wants nothing launched there, or at all."""
        place = self.hosts[host]
        lines = [line for line in place.lines if line and not is_closed(line)]
        if not lines or self.paused or not place.may_be_used or not place.prepared:
            return None
        line = min(lines, key=Line.rank)
        job = line.take(host, spare=False)
        self._leave_line(line, job, host)
        return job

    def hopeless(self) -> list[Job]:
        """Take out and return the jobs none of whose hosts can be used any more."""
        lost: list[Job] = []
        for line in list(self._lines.values()):
            if line and all(self.hosts.queue.StateOf(name) == STATE_ERROR for name in line.hosts):
                jobs = line.clear()
                self._count_waiting(line, -len(jobs))
                for job in jobs:
                    self._leave_elsewhere(job)
                lost.extend(jobs)
        return lost

    # -- hosts ---------------------------------------------------------------------------------------------------

    def occupy(self, host: str, job: Job) -> None:
        """Count an attempt of a job on a host."""
        self._count_taken(self._line(job.spec, job.only_host), 1)
        self.hosts.count(host, 1)

    def vacate(self, host: str, job: Job) -> None:
        """Count an attempt of a job on a host no more."""
        if self._gates:
            self._count_taken(self._line(job.spec, job.only_host), -1)
        self.hosts.count(host, -1)

    def note_duration(self, spec: JobSpec, host: str, seconds: float) -> None:
        """Note how long a job took on a host, before its slot is vacated."""
        self.durations.note(spec, host, seconds)
        self.hosts[host].in_vain = False

    def overfull(self) -> str | None:
        """Return the host with most prefetched jobs, while another has a free slot and nothing
        waits; ``None`` where nobody would gain."""
        if self.waiting > self._held or not self.hosts.idle:
            return None
        return self.hosts.fullest()

    def is_wanted(self, host: str) -> bool:
        """Tell whether a job waits that would run on a host, were that prepared."""
        if host not in self.hosts or self.paused:
            return False
        place = self.hosts[host]
        return place.may_be_used and not place.kept_away and place.is_wanted

    def usable_for(self, job: Job, but: str) -> bool:
        """Tell whether there is any host but one on which a job may be launched."""
        return any(name != but and self.hosts[name].usable for name in self._line(job.spec, job.only_host).hosts)

    def host_down(self, host: str, *, lasting: bool) -> None:
        """A host cannot be used for now, or (``lasting``) until a person acts."""
        self.hosts.down(host, lasting=lasting)
        self._unstrand()

    def drain(self, host: str, drained: bool) -> None:
        """Launch nothing more on a host because a person wants that, or use it again."""
        self._mark(host, "drained", drained)

    def keep_away(self, host: str, kept_away: bool) -> None:
        """Launch nothing on a host by :meth:`next` because jobs go wrong there, or use it again."""
        self._mark(host, "kept_away", kept_away)

    def prepare(self, host: str, prepared: bool) -> None:
        """Launch nothing on a host before it is prepared, or launch there because it is."""
        self._mark(host, "prepared", prepared)

    def _mark(self, host: str, mark: str, value: bool) -> None:
        self.hosts.mark(host, mark, value)
        self._unstrand()

    def add_host(self, host: Host) -> None:
        """Add a host; jobs that wait for a selection that it matches may run there."""
        place = self.hosts.add(host)
        for (selectors, only_host, _, _, left), line in self._lines.items():
            if left is not None:
                continue
            if only_host == host.name or (only_host is None and host.matches(selectors)):
                line.hosts.add(host.name)
                place.lines.append(line)

    def remove_host(self, host: str) -> None:
        """Forget a host on which nothing runs. Jobs that wait for it alone become hopeless."""
        self.host_down(host, lasting=True)
        for line in self.hosts.remove(host).lines:
            line.hosts.discard(host)
        self.durations.forget_host(host)
