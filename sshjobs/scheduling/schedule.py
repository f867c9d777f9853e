"""Who runs where, who is tried again, and who waits for what. Pure: no clock, no disk, no process."""

from __future__ import annotations

import random
from collections.abc import Iterable

from sshjobs.errors import UsageError
from sshjobs.model.host import Host
from sshjobs.model.needs import Lack, no_host_has
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_ERROR, STATE_FREE
from sshjobs.scheduling.closing import Closings
from sshjobs.scheduling.delays import Delays
from sshjobs.scheduling.durations import SLOW, Durations
from sshjobs.scheduling.elsewhere import Elsewhere
from sshjobs.scheduling.gpus import ScheduledGpus
from sshjobs.scheduling.hosts import FILLING, ScheduledHosts
from sshjobs.scheduling.lines import Gate, GatedLine, Line, is_closed
from sshjobs.scheduling.lineup import Lineup
from sshjobs.scheduling.near import Near
from sshjobs.scheduling.packing import Packing
from sshjobs.scheduling.place import Place
from sshjobs.scheduling.retries import needs_next, needs_now


class Schedule:
    """Assigns waiting jobs to hosts with room. Every operation is O(1) in jobs and hosts, but for the number of
    different host selections; with needs see :class:`Shelf` and :class:`Packing`.

    :param hosts: all hosts of the run
    :param rng: where the choice among hosts with room comes from
    :param slots: how many slots hosts have whose user says nothing about it; ``None``: as many as they have cores
    """

    def __init__(self, hosts: Iterable[Host], rng: random.Random | None = None, slots: int | None = None):
        self.durations = Durations()
        self.hosts = ScheduledHosts(hosts, self.durations, rng, slots)
        self.gpus = ScheduledGpus(self.hosts, self._look_again)
        self._lines = Lineup(self.hosts, self.durations)
        #: The line that each job with needs waits in.
        self._line_of: dict[Job, Line] = {}
        #: Lines for whose jobs a host was found that has, or may have, what they need.
        self._fitting: set[Line] = set()
        #: Who goes first, as soon as a job has needs.
        self._packing: Packing | None = None
        #: Lines whose jobs may have become hopeless; ``None``: any.
        self._doubtful: dict[Line, None] | None = {}
        #: Jobs that wait for a time; jobs that are to be tried again on another host.
        self.delays = Delays()
        self.closings = Closings(self.hosts, self.durations)
        self._elsewhere = Elsewhere(self.hosts.may_come)
        #: Jobs that had better run where their files are.
        self._near = Near()
        self._entered = 0
        self.waiting = 0
        #: How many of those that wait can have no host for now, because as many of their entry run as may.
        self._held = 0
        #: Launch nothing for now: a person wants that.
        self.paused = False
        #: Jobs that need what no host has were to wait because hosts may join; those found by the last look.
        self._patient = False
        self.stuck: list[Job] = []

    # -- jobs ----------------------------------------------------------------------------------------------------

    def eligible(self, spec: JobSpec, only_host: str | None = None) -> frozenset[str]:
        """Return the names of the hosts on which a job may run; none where those that it was made for have left."""
        return frozenset(self._lines.selected(spec, only_host))

    def able(self, job: Job) -> list[str]:
        """Return those of them, in the user's order, that have what a job needs next, as far as is known."""
        needs, chosen = needs_next(job), self._lines.selected(job.spec, job.only_host)
        return [name for name in self.hosts if name in chosen and not self.hosts[name].lacks(needs)]

    def nearest(self, job: Job) -> tuple[str, list[Lack]] | None:
        """Return which host comes nearest to what a job needs next, and what it lacks, where none has it; ``None``
        where one may have it, or none may be used."""
        needs = needs_next(job)
        if needs is None:
            return None
        chosen = self._lines.selected(job.spec, job.only_host)
        lacks = {name: self.hosts[name].lacks(needs) for name in self.hosts
                 if name in chosen and not self._is_out(name)}
        if not lacks or not all(lacks.values()):
            return None
        host = min(lacks, key=lambda name: (len(lacks[name]), max(lack.ratio for lack in lacks[name])))
        return host, lacks[host]

    def check(self, job: Job, *, patient: bool = False) -> None:
        """Refuse a new job that can never run.

        :param patient: hosts that have what it needs may join
        :raises UsageError: no host of the run matches its ``hosts``, or has what it needs
        """
        if not self._lines.selected(job.spec, job.only_host):
            raise UsageError(f"no host matches {', '.join(job.spec.hosts) or job.only_host}", where=job.name,
                             hint=f"the hosts are {', '.join(self.hosts.names[:8])}")
        needs = None if patient else needs_next(job)
        if needs is None or (line := self._lines.line(job.spec, job.only_host, None, needs)) in self._fitting:
            return
        if (nearest := self.nearest(job)) is not None:
            raise UsageError(no_host_has(needs, *nearest), where=job.name,
                             hint="lower its needs, or name a host that has more")
        self._fitting.add(line)

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
        needs = needs_next(job)
        if needs is not None and needs.gpus.number:
            self.gpus.wanted = True
        line = self._lines.line(job.spec, job.only_host, None, needs)
        left = None if job.spec.retry_on == "any" else self._elsewhere.hosts_for(job, line.hosts, needs)
        if left is not None:
            line = self._lines.line(job.spec, job.only_host, left, needs)
            self._elsewhere.enter(job, line)
        line.add(job, self._entered)
        self._entered += 1
        if needs is not None:
            self._line_of[job] = line
            self._lines.shelf_of[line].put(line)
            if self._packing is None:
                self._packing = Packing(self.hosts)
                for one in self._lines.all():
                    if one:
                        self._packing.waits(one)
        if self._packing is not None:
            self._packing.waits(line)
        if self._doubtful is not None:
            self._doubtful[line] = None
        self._count_waiting(line, 1)
        self._moisten(line)

    def remove(self, job: Job) -> bool:
        """Take a job out of its line, or let it wait for its time no more; tell whether it waited."""
        if self._near:
            self._near.forget(job)
        if self.delays.discard(job):
            return True
        line = self._elsewhere.line_of(job) or self._line_of.get(job) or self._lines.line(job.spec, job.only_host)
        if not line.remove(job):
            return False
        self._left(line, job)
        return True

    def has_another_host(self, job: Job) -> bool:
        """Tell whether there is a host for a job beside those that it failed on."""
        hosts = self._lines.selected(job.spec, job.only_host)
        return self._elsewhere.hosts_for(job, hosts, needs_next(job)) is not None

    def _left(self, line: Line, job: Job) -> None:
        """Note that a job has left its line. A line that leaves hosts out goes when nobody waits in it any more: there
        may be as many of them as jobs."""
        self._count_waiting(line, -1)
        if self._near:
            self._near.forget(job)
        if self._packing is not None:
            self._line_of.pop(job, None)
            if not line:
                self._packing.emptied(line)
                if line.needs is not None:
                    self._lines.shelf_of[line].drop(line)
        if self._elsewhere and self._elsewhere.leave(job) is not None and not line:
            self._lines.forget(line)

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

    def _count_taken(self, gate: Gate, more: int) -> None:
        """Count jobs of an entry that are on hosts."""
        before = gate.closed
        gate.taken += more
        if gate.closed is not before:
            self._held += gate.waiting if gate.closed else -gate.waiting
            for one in gate.lines:
                if not gate.closed:
                    self._moisten(one)
                if self._packing is not None and one:
                    (self._packing.emptied if gate.closed else self._packing.waits)(one)

    def _moisten(self, line: Line) -> None:
        """Have hosts that had nothing to do look at a line again."""
        for name in sorted(self.hosts.dry.keys() & line.hosts) if self.hosts.dry else ():
            self.hosts.set_dry(name, False)

    def next(self, now: float = 0.0) -> tuple[Job, str] | None:
        """Take the job out of its line that is to be launched now; with the host for it. ``None``: no match.

        :param now: seconds of any clock that never goes back
        """
        hosts, self.closings.now = self.hosts, now
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
            lines = self._offers(place)
            line = next((line for line in lines if self._too_slow(host, line) is None), None)
            if line is None:
                if lines:
                    self._lose(host)
                    hosts.defer(host, now + (self._too_slow(host, lines[0]) or 0.0))
                else:
                    hosts.set_dry(host, True)
                continue
            if self._near and (near := self._near.first(host, line)) is not None and self.closings.allows(
                    place, near.spec):
                job = near
                line.remove(job)
            else:
                job = line.take(host, spare=len(line.hosts) > 1 and any(
                    self.hosts[name].up for name in line.hosts if name != host), fits=place.fits)
                host = self._nearer(job, line) or host
            self._leave_line(line, job, host)
            return job, host
        return None

    def _nearer(self, job: Job, line: Line) -> str | None:
        """Return the host that a job had better run on, where it can run there at once."""
        host = self._near.host_of(job) if self._near else None
        if host is None or host not in line.hosts or not self.hosts[host].idle or not self.hosts[host].has_room(line):
            return None
        return host if self._too_slow(host, line) is None and self.closings.allows(self.hosts[host], job.spec) else None

    def _offers(self, place: Place) -> list[Line]:
        """Return the lines that a host may be given a job of now, the first of them first."""
        if self._packing is not None and (place.shelves or place.kept_for is not None):
            return self.closings.in_time(place, self._packing.offers(place))
        lines = sorted((line for line in place.lines if line and not is_closed(line)), key=Line.rank)
        return self.closings.in_time(place, lines)

    def _leave_line(self, line: Line, job: Job, host: str) -> None:
        self.hosts.enter(host, job, line.needs)
        self._left(line, job)
        if isinstance(line, GatedLine):
            self._count_taken(line.gate, 1)
        if self._packing is not None:
            self._packing.launched(line)

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
            if any(self._too_slow(host, line) is None for line in self._offers(place)):
                freed.append(host)
        for host in freed:
            self.hosts.end_deferral(host)
        return bool(freed)

    def next_for(self, host: str) -> Job | None:
        """Take the next job out of its line that may run on a host which jobs are kept away from, whether it has a free
        slot or not, where nothing there has needs. ``None`` also where a person wants nothing launched there, or at
        all."""
        place = self.hosts[host]
        if self.paused or not place.may_be_used or not place.prepared or (place.room and place.load >= place.slots):
            return None
        lines = self._offers(place)
        if not lines:
            return None
        line = lines[0]
        job = line.take(host, spare=False, fits=place.fits)
        self._leave_line(line, job, host)
        return job

    def hopeless(self, *, patient: bool = False) -> list[Job]:
        """Take out and return the jobs none of whose hosts can be used any more, or has what they need.

        :param patient: what needs more than any host has waits for hosts that may join, and is put into :attr:`stuck`
            once it was found
        """
        if patient is not self._patient:
            self._doubtful = None
        self._patient, self.stuck = patient, []
        if self._doubtful is not None and not self._doubtful:
            return []
        doubtful, self._doubtful = self._lines.all() if self._doubtful is None else self._doubtful, {}
        lost: list[Job] = []
        for line in [line for line in doubtful if line and self._is_hopeless(line)]:
            if patient and not all(self._is_out(name) for name in line.hosts):
                self.stuck += line.jobs()
                continue
            jobs = line.clear()
            for job in jobs:
                self._left(line, job)
            lost.extend(jobs)
        return lost

    def _is_hopeless(self, line: Line) -> bool:
        return all(self._is_out(name) or self.hosts[name].lacks(line.needs) for name in line.hosts)

    def _is_out(self, host: str) -> bool:
        return self.hosts[host].over or self.hosts.queue.StateOf(host) == STATE_ERROR

    # -- hosts ---------------------------------------------------------------------------------------------------

    def occupy(self, host: str, job: Job) -> None:
        """Count the newest attempt of a job, which an earlier manager has launched, on its host."""
        if job.spec.max_parallel is not None:
            self._count_taken(self._lines.gate(job.spec), 1)
        self.hosts.enter(host, job, needs_now(job), (job.attempts[-1].gpus if job.attempts else None) or ())

    def vacate(self, host: str, job: Job) -> None:
        """Count an attempt of a job on a host no more."""
        if job.spec.max_parallel is not None:
            self._count_taken(self._lines.gate(job.spec), -1)
        self.hosts.leave(host, job)

    def note_duration(self, spec: JobSpec, host: str, seconds: float) -> None:
        """Note how long a job took on a host, before its slot is vacated."""
        self.durations.note(spec, host, seconds)
        self.hosts[host].in_vain = False
        if self.closings.late:
            # Others of its kind may take less time than was thought.
            self.closings.look_again()

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
        needs = needs_next(job)
        return any(name != but and self.hosts[name].usable and not self.hosts[name].lacks(needs)
                   for name in self._lines.selected(job.spec, job.only_host))

    def host_up(self, host: str, slots: int, memory: int | None = None, disk: int | None = None) -> None:
        """A host can be used, for so many jobs at a time.

        :param memory: bytes that it has; ``disk``: bytes that are free there; 0 and ``None``: it did not tell
        """
        self.hosts.up(host, slots, memory, disk)
        self._look_again(host)

    def set_slots(self, host: str, slots: int) -> None:
        """Change how many slots a host has; what runs there is left alone."""
        self.hosts.set_slots(host, slots)
        self._look_again(host)

    def _look_again(self, host: str) -> None:
        """Find out what follows for jobs from what became known about a host."""
        self._doubtful = None
        self._fitting.clear()
        place = self.hosts[host]
        if not place.usable or (kept := place.kept_for) is not None and (
                place.lacks(kept.needs) or not place.may_have(kept.needs)):
            self._lose(host)
        self._unstrand()

    def _lose(self, host: str) -> None:
        """Keep a host for no line any more."""
        if self._packing is not None:
            self._packing.lost(host)

    def host_down(self, host: str, *, lasting: bool) -> None:
        """A host cannot be used for now, or (``lasting``) until a person acts."""
        self.hosts.down(host, lasting=lasting)
        self._look_again(host)

    def drain(self, host: str, drained: bool) -> None:
        """Launch nothing more on a host because a person wants that, or use it again."""
        self._mark(host, "drained", drained)

    def close(self, host: str, closed: bool, *, over: bool = False) -> None:
        """Launch nothing on a host because of its manners, or use it again.

        :param over: it is not going to be used again: jobs that may run nowhere else are hopeless
        """
        self.hosts[host].over = over
        self._mark(host, "closed", closed)

    def keep_away(self, host: str, kept_away: bool) -> None:
        """Launch nothing on a host by :meth:`next` because jobs go wrong there, or use it again."""
        self._mark(host, "kept_away", kept_away)

    def prepare(self, host: str, prepared: bool) -> None:
        """Launch nothing on a host before it is prepared, or launch there because it is."""
        self._mark(host, "prepared", prepared)

    def _mark(self, host: str, mark: str, value: bool) -> None:
        self.hosts.mark(host, mark, value)
        self._look_again(host)

    def add_host(self, host: Host) -> None:
        """Add a host; jobs that wait for a selection that it matches may run there."""
        self._lines.add_host(self.hosts.add(host))
        self._look_again(host.name)

    def remove_host(self, host: str) -> None:
        """Forget a host on which nothing runs. Jobs that wait for it alone become hopeless."""
        self.host_down(host, lasting=True)
        self._lines.remove_host(self.hosts.remove(host))
        self.durations.forget_host(host)
        self.closings.forget(host)
