"""What a job waits for that was not launched yet, as far as the run's store knows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from sshjobs.model.after import When, Which, afters_of
from sshjobs.model.needs import Lack, Needs, no_host_has
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_DONE, STATE_FREE, STATE_UNKNOWN, STATES
from sshjobs.scheduling.retries import needs_next, needs_now
from sshjobs.scheduling.room import Free, Room
from sshjobs.store import JobRow, RunReader, Summary
from sshjobs.store.index import MOST_CHECKED, JobIndex
from sshjobs.store.rows import HostRow
from sshjobs.views.wording import clock, count, of_host

#: Jobs that are named as awaited; hosts whose reasons are told.
NAMED = 3
#: Jobs on a host whose needs are counted.
MOST_ON_A_HOST = 10_000


class WaitsFor(str, Enum):
    """What a job may wait for."""

    PERSON = "person"
    TIME = "time"
    MANAGER = "manager"
    JOBS = "jobs"
    HOST = "host"
    NEEDS = "needs"
    SETUP = "setup"
    MAX_PARALLEL = "max_parallel"
    SLOT = "slot"
    LAUNCH = "launch"

    def __str__(self) -> str:
        return self.value


class HostTold(NamedTuple):
    """A host that a job may run on and that does not simply take it: ``state`` and ``reason`` as the run's store has
    them; ``drained``: a person wants nothing more to start there."""

    host: str
    state: str
    reason: str | None
    drained: bool = False


class Wait(NamedTuple):
    """What a job waits for, and that in words.

    :ivar hosts: those that it may run on and that are closed, drained, away, or wait for what others hold there
    """

    what: WaitsFor
    words: str
    hosts: tuple[HostTold, ...] = ()


def why_it_waits(row: JobRow, spec: JobSpec, reader: RunReader, index: JobIndex) -> Wait | None:
    """Return what a job waits for; ``None`` for one that does not wait.

    :param index: of the run; empty where :func:`wants_index` says that it is not needed
    """
    if row.state == STATE_BUSY:
        return _not_started(row, reader)
    if row.state != STATE_FREE:
        return None
    summary = reader.summary()
    found = _what_is_asked_of_it(row, summary) or _awaited(spec, index)
    if found is not None:
        return found
    hosts = [host for host in reader.hosts() if not host.host.removed
             and (row.only_host is None or host.host.name == row.only_host)
             and host.host.matches(spec.hosts)]
    # Where it can run on none of them, that is told of each already.
    told = [one for one in map(_told, hosts) if one is not None]
    found = _hosts(row, spec, hosts, reader, summary, index)
    if found is None or found.what is WaitsFor.NEEDS:
        found = found or _slots(spec, summary, index)
        found = found._replace(words=found.words + "".join(f"; {_with_reason(one)}" for one in told[:NAMED])
                               + _more(len(told)))
    return found._replace(hosts=tuple(told))


def _not_started(row: JobRow, reader: RunReader) -> Wait | None:
    """Return what a job waits for that was launched and that its host has not started yet."""
    attempts = reader.attempts_of([row.number])[row.number]
    if not attempts or attempts[-1].started is not None:
        return None
    told = next((_told(host) for host in reader.hosts() if host.host.name == row.host), None)
    sent = f"it was sent to {row.host} and has not started there"
    if row.paused:
        return Wait(WaitsFor.PERSON, f"{sent}: it is paused by a person")
    if told is None:
        return Wait(WaitsFor.SLOT, f"{sent}: it is the next for a slot that falls free")
    return Wait(WaitsFor.HOST, f"{sent}: {_with_reason(told)}", (told,))


def _told(host: HostRow) -> HostTold | None:
    """Return a host that is not simply there to be used; ``None`` for one that is."""
    if host.state == "up" and not host.reason and not host.host.drained:
        return None
    return HostTold(host.host.name, host.state or "connecting", host.reason, host.host.drained)


def _with_reason(one: HostTold) -> str:
    """Return a host with why, as one phrase."""
    if one.drained:
        return f"{one.host} is drained"
    if one.reason is None:
        return f"{one.host} is not heard of yet"
    return of_host(one.host, one.reason)


def _more(number: int) -> str:
    return f"; and {count(number - NAMED, 'more host')}" if number > NAMED else ""


def wants_index(spec: JobSpec) -> bool:
    """Tell whether other jobs have to be looked at to say what a job waits for."""
    return bool(spec.after or spec.max_parallel is not None or spec.needs or spec.gpus or spec.memory or spec.scratch
                or (spec.cpus or 1) > 1)


def _what_is_asked_of_it(row: JobRow, summary: Summary) -> Wait | None:
    if row.paused:
        return Wait(WaitsFor.PERSON, "it is paused by a person")
    if row.not_before is not None and row.not_before > time.time():
        return Wait(WaitsFor.TIME, f"it is tried again at {clock(row.not_before)}")
    if summary.options.get("paused"):
        return Wait(WaitsFor.PERSON, "the run is paused by a person")
    if summary.state not in ("running", "unattended"):
        return Wait(WaitsFor.MANAGER, f"the run has no manager; to go on: sshjobs resume {summary.run}")
    return None


def _awaited(spec: JobSpec, index: JobIndex) -> Wait | None:
    if not index.complete:
        return None
    for after in afters_of(spec.after):
        left = [state for state in STATES if state not in (
            (STATE_DONE,) if after.when is When.SUCCEEDED else FINAL_STATES)]
        params = spec.params if after.jobs is Which.MATCHING else {}
        names = [job.name for job in index.of_entry(after.entry, left, params, NAMED + 1)]
        if names:
            named = ", ".join(names[:NAMED]) + (" and more" if len(names) > NAMED else "")
            end = "succeeded" if after.when is When.SUCCEEDED else "ended"
            return Wait(WaitsFor.JOBS,
                        f"it runs after {named}, which {'has' if len(names) == 1 else 'have'} not {end}")
    return None


def _hosts(row: JobRow, spec: JobSpec, hosts: Sequence[HostRow], reader: RunReader, summary: Summary,
           index: JobIndex) -> Wait | None:
    if not hosts:
        return Wait(WaitsFor.HOST, "the run has no host that it may run on")
    usable = [host for host in hosts if host.state == "up" and not host.host.drained]
    # By their manners: closed, or open for less time than jobs that wait are likely to take.
    closed = [HostTold(host.host.name, host.state, host.reason) for host in hosts
              if host.state in ("up", "closed") and host.reason]
    if len(closed) == len(hosts):
        return Wait(WaitsFor.HOST, "; ".join(map(_with_reason, closed[:NAMED])) + _more(len(closed)))
    if not usable:
        return Wait(WaitsFor.HOST,
                    "all hosts that it may run on are drained" if all(host.host.drained for host in hosts) else
                    "no host that it may run on can be used at present: "
                    + "; ".join(sorted({_trouble(host) for host in hosts})[:NAMED]))
    if (lacking := _needs(row, spec, usable, reader, summary, index)) is not None:
        return lacking
    newest = {setup.host: setup.attempt.state for setup in reader.setups()}
    if all(newest.get(host.host.name, STATE_DONE) not in FINAL_STATES for host in usable):
        return Wait(WaitsFor.SETUP, "the hosts that it may run on are being prepared by the run's setup")
    return None


def _trouble(host: HostRow) -> str:
    if host.host.drained:
        return f"{host.host.name} is drained"
    return f"{host.host.name}: {host.reason}" if host.state == "closed" else host.reason or "not heard of yet"


# -- needs -------------------------------------------------------------------------------------------------------------

def _needs(row: JobRow, spec: JobSpec, usable: Sequence[HostRow], reader: RunReader, summary: Summary,
           index: JobIndex) -> Wait | None:
    """Say what a job needs that no host has, or that others hold at present."""
    job = next(iter(reader.load([row.name])), None) if wants_index(spec) else None
    needs = None if job is None else needs_next(job)
    if needs is None:
        return None
    slots = {host.host.name: _slots_of(host, summary) for host in usable}
    rooms = {host.host.name: _room(host) for host in usable}
    lacks = {name: room.lacks(needs, slots[name]) for name, room in rooms.items()}
    if all(lacks.values()):
        nearest = min(lacks, key=lambda name: (len(lacks[name]), max(lack.ratio for lack in lacks[name])))
        return Wait(WaitsFor.NEEDS, no_host_has(needs, nearest, lacks[nearest]))
    if needs.gpus.number and row.reason:
        return Wait(WaitsFor.NEEDS, row.reason)
    if not index.complete:
        return None
    able = [name for name in rooms if not lacks[name]]
    missing = {name: _missing(needs, _free(name, rooms[name], slots[name], reader, index)) for name in able}
    if not all(missing.values()):
        return None if not needs.gpus.number else Wait(
            WaitsFor.NEEDS, f"what it needs ({needs}) is not free: {_gpus_of(able, reader, index)}")
    told = "; ".join(f"{name} has {' and '.join(map(_left, missing[name]))} left" for name in able[:NAMED])
    return Wait(WaitsFor.NEEDS, f"what it needs ({needs}) is not free: {told}{_more(len(able))}")


def _gpus_of(hosts: Sequence[str], reader: RunReader, index: JobIndex) -> str:
    """Return which jobs of the run have the GPUs of some hosts."""
    told = []
    for name in hosts:
        there = index.select(states=[STATE_BUSY, STATE_UNKNOWN], host=name, limit=MOST_ON_A_HOST)[2]
        having = [index.name(number) for number, attempts in reader.attempts_of(there).items()
                  if attempts and attempts[-1].gpus]
        if having:
            more = f" and {len(having) - NAMED:,} more" if len(having) > NAMED else ""
            told.append(f"on {name} {', '.join(having[:NAMED])}{more} {'has' if len(having) == 1 else 'have'} GPUs")
    return "; ".join(told[:NAMED]) + _more(len(told)) if told else "the GPUs are being looked at"


def _slots_of(host: HostRow, summary: Summary) -> int:
    """Return how many slots a host has; 0 where nobody knows."""
    said = host.host.slots or summary.options.get("slots") or (host.facts or {}).get("cores") or 0
    return int(said) if isinstance(said, int | float) else 0


def _room(host: HostRow) -> Room:
    """Return what a host has, as far as is known, with nothing of it held."""
    room, facts = Room(host.host), host.facts or {}
    disk = (host.pulse or {}).get("disk", facts.get("disk"))
    room.learn(host.host, _whole(facts.get("memory")), _whole(disk))
    return room


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _free(name: str, room: Room, slots: int, reader: RunReader, index: JobIndex) -> Free:
    """Return what is free on a host beside the jobs that are there."""
    numbers = index.select(states=[STATE_BUSY, STATE_UNKNOWN], host=name, limit=MOST_ON_A_HOST)[2]
    taken = 0
    for job in reader.load(index.name(number) for number in numbers):
        held = needs_now(job)
        taken += 1 if held is None else held.cpus
        if held is not None:
            room.hold(job, held)
    # Where nobody knows how many slots there are, none is missing.
    return room.left(slots - taken if slots else MOST_ON_A_HOST)


def _missing(needs: Needs, free: Free) -> list[Lack]:
    """Return of what there is not enough free."""
    asked = [("cpus", needs.cpus, free.cpus), ("memory", needs.memory, free.memory),
             ("scratch", needs.scratch, free.scratch),
             *((name, number, free.counters.get(name, 0)) for name, number in needs.counters)]
    return [Lack(what, number, int(there)) for what, number, there in asked if number > there]


def _left(lack: Lack) -> str:
    return str(lack._replace(has=max(0, lack.has)))


# -- slots -------------------------------------------------------------------------------------------------------------

def _slots(spec: JobSpec, summary: Summary, index: JobIndex) -> Wait:
    most = spec.max_parallel
    if most is not None and most <= MOST_CHECKED and index.complete and len(
            index.of_entry(spec.entry_name, [STATE_BUSY], {}, most)) == most:
        return Wait(WaitsFor.MAX_PARALLEL, f"{most} jobs of {spec.entry_name} run, and max_parallel allows no more")
    if summary.counts[STATE_BUSY]:
        return Wait(WaitsFor.SLOT, "all slots that it may use are taken, or others are before it")
    return Wait(WaitsFor.LAUNCH, "it is about to be launched")
