"""The schedule decides which job runs on which host. Pure: no clock, no disk, no process."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import partial

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
    """Assigns waiting jobs to hosts with room. Every operation is O(1) in jobs and hosts, and linear in the number of
    different host selections; for jobs with needs see :class:`Shelf` and :class:`Packing`.

    :param hosts: all hosts of the run
    :param rng: chooses among hosts with room
    :param slots: how many slots a host has where its user does not say; ``None``: as many as it has cores
    """

    def __init__(self, hosts: Iterable[Host], rng: random.Random | None = None, slots: int | None = None):
        self.durations = Durations()
        self.hosts = ScheduledHosts(hosts, self.durations, rng, slots)
        self.gpus = ScheduledGpus(self.hosts, self._look_again)
        self._lines = Lineup(self.hosts, self.durations)
        #: The line that each job with needs waits in.
        self._line_of: dict[Job, Line] = {}
        #: Lines for which a host is known that has, or may have, what their jobs need.
        self._fitting: set[Line] = set()
        #: Decides which job comes first, as soon as any job has needs.
        self._packing: Packing | None = None
        #: Lines whose jobs may have become hopeless; ``None``: all of them.
        self._doubtful: dict[Line, None] | None = {}
        #: Delayed jobs; jobs that are to be tried again on another host.
        self.delays = Delays()
        self.closings = Closings(self.hosts, self.durations)
        self._elsewhere = Elsewhere(self.hosts.may_come)
        #: Jobs that prefer the host where their files are.
        self._near = Near()
        self._entered = 0
        self.waiting = 0
        #: How many waiting jobs cannot be launched now because of their entry's ``max_parallel``.
        self._held = 0
        #: A person has paused the run: nothing is launched.
        self.paused = False
        #: Jobs that need more than any host has and wait because hosts may join, as of the last :meth:`hopeless`.
        self._patient = False
        self.stuck: list[Job] = []

    # -- jobs ----------------------------------------------------------------------------------------------------

    def eligible(self, spec: JobSpec, only_host: str | None = None) -> frozenset[str]:
        """Return the names of the hosts on which a job may run; none if all that match have left."""
        return frozenset(self._lines.selected(spec, only_host))

    def able(self, job: Job) -> list[str]:
        """Return the eligible hosts, in the user's order, that have what a job's next attempt needs, as far as
        known."""
        needs, chosen = needs_next(job), self._lines.selected(job.spec, job.only_host)
        return [name for name in self.hosts if name in chosen and not self.hosts[name].lacks(needs)]

    def nearest(self, job: Job) -> tuple[str, list[Lack]] | None:
        """If no eligible host has what a job's next attempt needs, return the one that comes nearest and what it lacks.
        ``None`` where one may have it, or none can be used."""
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
            if job.spec.lease is not None and any(self.hosts[name].host.matches(job.spec.hosts) and job.only_host in (
                    None, name) for name in self.hosts):
                raise UsageError("a scheduler that carries out each job by itself knows no lease, and no other host "
                                 "matches", where=job.name, hint="leave lease out, or name another host")
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
        """Let a job wait for a host. A job that no host matches is :meth:`hopeless`.

        :param at: launch it not before that time, in seconds of the clock of :meth:`next`
        :param near: a preferred host, used if it has a free slot when the job's turn comes
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
        """Take a job out of its line, or end its delay; return whether it waited."""
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
        """Return whether there is a host for a job beside those on which it failed."""
        hosts = self._lines.selected(job.spec, job.only_host)
        return self._elsewhere.hosts_for(job, hosts, needs_next(job)) is not None

    def _left(self, line: Line, job: Job) -> None:
        """Note that a job has left its line. A line that leaves out hosts is removed when it is empty: there may be as
        many of them as jobs."""
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
        """Let jobs run on all their hosts again if only those on which they failed can be used."""
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
        """Let hosts that had nothing to do look at a line again."""
        for name in sorted(self.hosts.dry.keys() & line.hosts) if self.hosts.dry else ():
            self.hosts.set_dry(name, False)

    def next(self, now: float = 0.0) -> tuple[Job, str] | None:
        """Take the next job out of its line and return it with the host for it; ``None`` if nothing matches.

        :param now: seconds of any clock that never goes back
        """
        hosts, self.closings.now = self.hosts, now
        for job in self.delays.take(now):
            self.add(job)
        while self.waiting and not self.paused and not self.gpus.awaited:
            state = STATE_FREE if hosts.queue.AnyInState(STATE_FREE) else FILLING
            if not hosts.queue.AnyInState(state):
                if hosts.deferred and self._end_deferrals(now):
                    continue
                break
            host = hosts.queue.ChooseRandom(state)
            place = hosts[host]
            lines = self._offers(place)
            for line in lines:
                if self._too_slow(host, line) is None:
                    break
            else:
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
                job = line.take(host, spare=partial(hosts.any_up_beside, host, line.hosts), fits=place.fits)
                host = self._nearer(job, line) or host
            self._leave_line(line, job, host)
            return job, host
        return None

    def _nearer(self, job: Job, line: Line) -> str | None:
        """Return the preferred host of a job if the job can run there at once."""
        host = self._near.host_of(job) if self._near else None
        if host is None or host not in line.hosts or not self.hosts[host].idle or not self.hosts[host].has_room(line):
            return None
        return host if self._too_slow(host, line) is None and self.closings.allows(self.hosts[host], job.spec) else None

    def _offers(self, place: Place) -> list[Line]:
        """Return the lines from which a host may get a job now, best first."""
        if self._packing is not None and (place.shelves or place.kept_for is not None):
            return self.closings.in_time(place, self._packing.offers(place))
        lines = [line for line in place.lines if line and not is_closed(line)]
        lines.sort(key=Line.rank)
        return self.closings.in_time(place, lines)

    def _leave_line(self, line: Line, job: Job, host: str) -> None:
        self.hosts.enter(host, job, line.needs)
        self._left(line, job)
        if isinstance(line, GatedLine):
            self._count_taken(line.gate, 1)
        if self._packing is not None:
            self._packing.launched(line)

    def _too_slow(self, host: str, line: Line) -> float | None:
        """Return the seconds that the next job of a line would take on a host, if the other hosts are likely to finish
        all waiting jobs before that; else ``None``."""
        slowness = self.durations.slowness(host)
        if slowness <= SLOW or not self.hosts.brisk_slots or self.hosts[host].in_vain:
            return None
        usual = self.durations.of_kind(line.next_kind())
        # In units of one such job on another host: all waiting jobs shared out, plus the one that runs there already.
        if usual is None or slowness <= self.waiting / self.hosts.brisk_slots + 2.0:
            return None
        # One that is free, but has not what the job needs, is none of the others.
        others = any(self.hosts[name].brisk and not self.hosts[name].lacks(line.needs) for name in line.hosts)
        return usual * slowness if others else None

    def _end_deferrals(self, now: float) -> bool:
        """End the deferrals that are over; return whether there were any."""
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
        """Take the next job for a host in quarantine out of its line (its canary). The host need not have a free slot
        if no job there has needs. ``None`` also where the host is drained or the run is paused."""
        place = self.hosts[host]
        if self.paused or not place.may_be_used or not place.prepared or (place.room and place.load >= place.slots):
            return None
        lines = self._offers(place)
        if not lines:
            return None
        line = lines[0]
        job = line.take(host, spare=lambda: False, fits=place.fits)
        self._leave_line(line, job, host)
        return job

    def hopeless(self, *, patient: bool = False) -> list[Job]:
        """Take out and return the jobs for which no host can be used any more, or none has what they need.

        :param patient: jobs that need more than any host has stay, because hosts may join; they are listed in
            :attr:`stuck`
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

    def doubts_gpus(self) -> bool:
        """Tell whether a job waits for GPUs that no host is known to have, and one may still tell that it has them."""
        for line in self._lines.all():
            if line and line.needs is not None and line.needs.gpus.number:
                racks = [self.hosts[name].room.gpus for name in line.hosts if not self._is_out(name)]
                if not all(rack.known for rack in racks) and not any(
                        rack.known and not rack.lacks(line.needs.gpus) for rack in racks):
                    return True
        return False

    def _is_out(self, host: str) -> bool:
        return self.hosts[host].over or self.hosts.queue.StateOf(host) == STATE_ERROR

    # -- hosts ---------------------------------------------------------------------------------------------------

    def occupy(self, host: str, job: Job) -> None:
        """Count the newest attempt of a job, launched by an earlier manager, on its host."""
        if job.spec.max_parallel is not None:
            self._count_taken(self._lines.gate(job.spec), 1)
        self.hosts.enter(host, job, needs_now(job), (job.attempts[-1].gpus if job.attempts else None) or ())

    def vacate(self, host: str, job: Job) -> None:
        """Stop counting an attempt of a job on a host."""
        if job.spec.max_parallel is not None:
            self._count_taken(self._lines.gate(job.spec), -1)
        self.hosts.leave(host, job)

    def note_duration(self, spec: JobSpec, host: str, seconds: float) -> None:
        """Note how long a job took on a host, before its slot is vacated."""
        self.durations.note(spec, host, seconds)
        self.hosts[host].in_vain = False
        if self.closings.late:
            # Other jobs of its kind may be shorter than was expected.
            self.closings.look_again()

    def overfull(self) -> str | None:
        """Return the host with most prefetched jobs if another has a free slot and no other job waits; else
        ``None``."""
        if self.waiting > self._held or not self.hosts.idle:
            return None
        return self.hosts.fullest()

    def is_wanted(self, host: str) -> bool:
        """Return whether a job waits that would run on a host after its setup."""
        if host not in self.hosts or self.paused:
            return False
        place = self.hosts[host]
        return place.may_be_used and not place.kept_away and place.is_wanted

    def usable_for(self, job: Job, but: str) -> bool:
        """Return whether a job can be launched on another host than ``but``."""
        needs = needs_next(job)
        return any(name != but and self.hosts[name].usable and not self.hosts[name].lacks(needs)
                   for name in self._lines.selected(job.spec, job.only_host))

    def host_up(self, host: str, slots: int, memory: int | None = None, disk: int | None = None) -> None:
        """Note that a host can be used, for so many jobs at a time.

        :param memory: its memory in bytes; ``disk``: its free disk in bytes; 0 and ``None``: unknown
        """
        self.hosts.up(host, slots, memory, disk)
        self._look_again(host)

    def set_slots(self, host: str, slots: int) -> None:
        """Change how many slots a host has; what runs there is left alone."""
        self.hosts.set_slots(host, slots)
        self._look_again(host)

    def _look_again(self, host: str) -> None:
        """Look again at which jobs can run, after something about a host has changed."""
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
        """Note that a host cannot be used for now, or (``lasting``) until a person acts."""
        self.hosts.down(host, lasting=lasting)
        self._look_again(host)

    def drain(self, host: str, drained: bool) -> None:
        """Drain a host for a person, or use it again."""
        self._mark(host, "drained", drained)

    def close(self, host: str, closed: bool, *, over: bool = False) -> None:
        """Launch nothing on a host because of its manners, or use it again.

        :param over: for good: jobs that can run nowhere else are hopeless
        """
        self.hosts[host].over = over
        self._mark(host, "closed", closed)

    def keep_away(self, host: str, kept_away: bool) -> None:
        """Do not offer a host in :meth:`next` because it fails its jobs, or offer it again."""
        self._mark(host, "kept_away", kept_away)

    def prepare(self, host: str, prepared: bool) -> None:
        """Note whether the setup of a host is done: nothing is launched there before."""
        self._mark(host, "prepared", prepared)

    def _mark(self, host: str, mark: str, value: bool) -> None:
        self.hosts.mark(host, mark, value)
        self._look_again(host)

    def add_host(self, host: Host) -> None:
        """Add a host; jobs that wait for a selection that it matches may run there."""
        self._lines.add_host(self.hosts.add(host))
        self._look_again(host.name)

    def remove_host(self, host: str) -> None:
        """Remove a host on which nothing runs. Jobs that match no other host become hopeless."""
        self.host_down(host, lasting=True)
        self._lines.remove_host(self.hosts.remove(host))
        self.durations.forget_host(host)
        self.closings.forget(host)
