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
from sshjobs.views.wording import clock

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


class Wait(NamedTuple):
    """What a job waits for, and that in words."""

    what: WaitsFor
    words: str


def why_it_waits(row: JobRow, spec: JobSpec, reader: RunReader, index: JobIndex) -> Wait | None:
    """Return what a job waits for; ``None`` for one that does not wait.

    :param index: of the run; empty where :func:`wants_index` says that it is not needed
    """
    if row.state != STATE_FREE:
        return None
    summary = reader.summary()
    return (_what_is_asked_of_it(row, summary) or _awaited(spec, index) or _hosts(row, spec, reader, summary, index)
            or _slots(spec, summary, index))


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


def _hosts(row: JobRow, spec: JobSpec, reader: RunReader, summary: Summary, index: JobIndex) -> Wait | None:
    hosts = [host for host in reader.hosts() if not host.host.removed
             and (row.only_host is None or host.host.name == row.only_host)
             and host.host.matches(spec.hosts)]
    if not hosts:
        return Wait(WaitsFor.HOST, "the run has no host that it may run on")
    usable = [host for host in hosts if host.state == "up" and not host.host.drained]
    # By their manners: closed, or open for less time than jobs that wait are likely to take.
    closed = {host.host.name: host.reason for host in hosts if host.state in ("up", "closed") and host.reason}
    if len(closed) == len(hosts):
        more = f"; and {len(closed) - NAMED:,} more hosts" if len(closed) > NAMED else ""
        told = [str(reason) if str(reason).startswith(name) else f"{name}: {reason}"
                for name, reason in list(closed.items())[:NAMED]]
        return Wait(WaitsFor.HOST, "; ".join(told) + more)
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
            WaitsFor.NEEDS, f"what it needs ({needs}) is not free: the GPUs have other jobs, or are being looked at")
    told = "; ".join(f"{name} has {' and '.join(map(_left, missing[name]))} left" for name in able[:NAMED])
    more = f"; and {len(able) - NAMED:,} more hosts" if len(able) > NAMED else ""
    return Wait(WaitsFor.NEEDS, f"what it needs ({needs}) is not free: {told}{more}")


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
