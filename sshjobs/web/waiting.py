"""Why a job was not launched yet, as far as the run's store knows."""

from __future__ import annotations

import time

from sshjobs.model.after import When, Which, afters_of
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_DONE, STATE_FREE, STATES
from sshjobs.store import JobRow, RunReader, Summary
from sshjobs.store.index import MOST_CHECKED, JobIndex
from sshjobs.store.rows import HostRow
from sshjobs.views.wording import clock

#: Jobs that are named as awaited; hosts whose reasons are told.
NAMED = 3


def why_it_waits(row: JobRow, spec: JobSpec, reader: RunReader, index: JobIndex) -> str | None:
    """Return the reason in words; ``None`` for a job that does not wait."""
    if row.state != STATE_FREE:
        return None
    summary = reader.summary()
    return (_what_is_asked_of_it(row, summary) or _awaited(spec, index) or _hosts(row, spec, reader)
            or _room(spec, summary, index))


def _what_is_asked_of_it(row: JobRow, summary: Summary) -> str | None:
    if row.paused:
        return "it is paused by a person"
    if row.not_before is not None and row.not_before > time.time():
        return f"it is tried again at {clock(row.not_before)}"
    if summary.options.get("paused"):
        return "the run is paused by a person"
    if summary.state not in ("running", "unattended"):
        return f"the run has no manager; to go on: sshjobs resume {summary.run}"
    return None


def _awaited(spec: JobSpec, index: JobIndex) -> str | None:
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
            return f"it runs after {named}, which {'has' if len(names) == 1 else 'have'} not {end}"
    return None


def _hosts(row: JobRow, spec: JobSpec, reader: RunReader) -> str | None:
    hosts = [host for host in reader.hosts() if not host.host.removed
             and (row.only_host is None or host.host.name == row.only_host)
             and host.host.matches(spec.hosts)]
    if not hosts:
        return "the run has no host that it may run on"
    usable = [host for host in hosts if host.state == "up" and not host.host.drained]
    if not usable:
        return ("all hosts that it may run on are drained" if all(host.host.drained for host in hosts) else
                "no host that it may run on can be used at present: "
                + "; ".join(sorted({host.reason or "not heard of yet" for host in hosts})[:NAMED]))
    if spec.memory is not None and not any(_has_memory(host, spec.memory) for host in usable):
        return "no host that it may run on has as much memory as it needs"
    newest = {setup.host: setup.attempt.state for setup in reader.setups()}
    if all(newest.get(host.host.name, STATE_DONE) not in FINAL_STATES for host in usable):
        return "the hosts that it may run on are being prepared by the run's setup"
    return None


def _has_memory(host: HostRow, wanted: int) -> bool:
    memory = (host.facts or {}).get("memory")
    return not isinstance(memory, int | float) or memory >= wanted


def _room(spec: JobSpec, summary: Summary, index: JobIndex) -> str:
    most = spec.max_parallel
    if most is not None and most <= MOST_CHECKED and index.complete and len(
            index.of_entry(spec.entry_name, [STATE_BUSY], {}, most)) == most:
        return f"{most} jobs of {spec.entry_name} run, and max_parallel allows no more"
    if summary.counts[STATE_BUSY]:
        return ("all slots that it may use are taken, or others are before it" if spec.memory is None else
                "all slots that it may use are taken, or the memory that it needs is, or others are before it")
    return "it is about to be launched"
