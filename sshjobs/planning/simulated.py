"""Simulates a run: how long it would take, how busy hosts would be, how long jobs would wait; also with more hosts."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sshjobs.errors import UsageError
from sshjobs.forecast.ends import Forecast
from sshjobs.forecast.kinds import Kinds
from sshjobs.forecast.lengths import Draw, Lengths, Observation
from sshjobs.forecast.plays import Play, Played, PlayHost, PlayJob
from sshjobs.inputs.traces import TraceJob
from sshjobs.model.host import Host
from sshjobs.model.needs import Needs, needs_of, no_host_has
from sshjobs.model.spec import JobSpec
from sshjobs.scheduling.room import Room
from sshjobs.store.works import WorkReader

#: Draws the jobs of one play of the simulation.
Draws = Callable[[random.Random], list[PlayJob]]


class Told(NamedTuple):
    """What plays of the simulation tell.

    :ivar use: for each host, the part of the time of its slots that was used, on average
    :ivar waits: seconds that jobs waited for a host: median, nine-in-ten, longest
    """

    end: Forecast
    use: dict[str, float]
    waits: tuple[float, float, float]


def play_all(hosts: Sequence[PlayHost], draws: Draws, seeds: Sequence[str],
             plays: Callable[[Callable[[str], Played], Sequence[str]], list[Played]]) -> Told:
    """Play jobs on hosts, once for each seed.

    :param plays: calls its function for each of the seeds
    """
    def once(seed: str) -> Played:
        rng = random.Random(seed)
        return Play(hosts, draws(rng), rng).run()

    found = plays(once, seeds)
    use = {host.name: sum(one.busy[at] / max(1e-9, host.slots * one.end) for one in found) / len(found)
           for at, host in enumerate(hosts)}
    waits = [Forecast.of(one.waits) if one.waits else Forecast(0.0, 0.0, 0.0) for one in found]
    longest = max((one.waits[-1] for one in found if one.waits), default=0.0)
    return Told(Forecast.of(one.end for one in found), use,
                (sum(one.p50 for one in waits) / len(waits), sum(one.p90 for one in waits) / len(waits), longest))


def play_host(host: Host, slots: int, slowness: float) -> PlayHost:
    """Return a host to play on.

    :param slots: how many slots it has where its line does not say
    """
    return PlayHost(host.name, host.slots or slots, slowness, host.memory, host.scratch, dict(host.counts))


def jobs_like(specs: Sequence[JobSpec], lengths: Lengths, kinds: Kinds, hosts: Sequence[Host]) -> Draws:
    """Return a function that draws the lengths of a jobfile's jobs from known lengths."""
    known = [(kind := kinds.of(spec.entry_name, spec.params if spec.values else {}), lengths.usual(kind))
             for spec in specs]
    where = [_hosts_of(spec, hosts) for spec in specs]
    needs = [needs_of(spec) for spec in specs]

    def draw(rng: random.Random) -> list[PlayJob]:
        world: Draw = lengths.draw(rng)
        return [PlayJob(world.seconds(kind), likely, 0.0, need, only)
                for (kind, likely), need, only in zip(known, needs, where, strict=True)]
    return draw


def jobs_by(specs: Sequence[JobSpec], seconds: Callable[[random.Random], float], hosts: Sequence[Host]) -> Draws:
    """Return a function that draws the lengths of jobs from a given distribution."""
    where, needs = [_hosts_of(spec, hosts) for spec in specs], [needs_of(spec) for spec in specs]
    return lambda rng: [PlayJob(seconds(rng), 0.0, 0.0, need, only) for need, only in zip(needs, where, strict=True)]


def jobs_of_trace(jobs: Sequence[TraceJob]) -> Draws:
    """Return a function that gives the jobs of a trace as they were: each takes as long, and comes when it came."""
    made = [PlayJob(job.seconds, 0.0, job.submit,
                    Needs(job.cpus, job.memory) if job.cpus > 1 or job.memory else None) for job in jobs]
    return lambda rng: made


def _hosts_of(spec: JobSpec, hosts: Sequence[Host]) -> frozenset[int] | None:
    return frozenset(at for at, host in enumerate(hosts) if host.matches(spec.hosts)) if spec.hosts else None


def learnt(jobs: Iterable[TraceJob], slowness: Mapping[Hashable, float]) -> tuple[Lengths, Kinds]:
    """Return what jobs that ran tell about the lengths of others.

    :param slowness: the slowness of hosts where the user has given it
    """
    kinds, seen = Kinds(), list(jobs)
    for job in seen:
        kinds.note(job.entry, job.params, job.seconds)
    kinds.settle()
    observed = (Observation(kinds.of(job.entry, job.params), job.host, job.seconds) for job in seen)
    return Lengths(observed, slowness), kinds


def jobs_of_run(reader: WorkReader) -> Iterable[TraceJob]:
    """Yield the jobs of an earlier run that tell how long they took."""
    for row in reader.works():
        if row.started is not None and row.ended is not None and row.host is not None:
            yield TraceJob(row.spec.entry_name, row.spec.params if row.spec.values else {},
                           max(0.0, row.ended - row.started), row.host)


def check_fits(hosts: Sequence[PlayHost], given: Sequence[Host], jobs: Sequence[PlayJob], names: Sequence[str]) -> None:
    """Make sure that every job can run somewhere.

    :raises UsageError: a job cannot run on any host
    """
    for job, name in zip(jobs, names, strict=True):
        able = [at for at in range(len(hosts)) if job.hosts is None or at in job.hosts]
        if not able:
            raise UsageError("no host matches its hosts", where=name, hint="name one of these with --hosts, too")
        needs = job.needs
        if needs is not None and all(hosts[at].lacks(needs) for at in able):
            at = able[0]
            raise UsageError(no_host_has(needs, hosts[at].name, Room(given[at]).lacks(needs, hosts[at].slots)),
                             where=name, hint="lower its needs, or name a host that has more")
