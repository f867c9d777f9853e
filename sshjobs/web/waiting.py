"""Why a job was not launched yet, as far as the run's store knows."""

from __future__ import annotations

import time

from sshjobs.model.spec import JobSpec
from sshjobs.model.states import STATE_BUSY, STATE_FREE
from sshjobs.store import JobRow, RunReader
from sshjobs.views.wording import clock


def why_it_waits(row: JobRow, spec: JobSpec, reader: RunReader) -> str | None:
    """Return the reason in words; ``None`` for a job that does not wait."""
    if row.state != STATE_FREE:
        return None
    summary = reader.summary()
    if row.paused:
        return "it is paused by a person"
    if row.not_before is not None and row.not_before > time.time():
        return f"it is tried again at {clock(row.not_before)}"
    if summary.options.get("paused"):
        return "the run is paused by a person"
    if summary.state not in ("running", "unattended"):
        return f"the run has no manager; to go on: sshjobs resume {summary.run}"
    hosts = [host for host in reader.hosts() if not host.host.removed
             and (row.only_host is None or host.host.name == row.only_host)
             and host.host.matches(spec.hosts)]
    if not hosts:
        return "the run has no host that it may run on"
    usable = [host for host in hosts if host.state == "up" and not host.host.drained]
    if not usable:
        return ("all hosts that it may run on are drained" if all(host.host.drained for host in hosts) else
                "no host that it may run on can be used at present: "
                + "; ".join(sorted({host.reason or "not heard of yet" for host in hosts})[:3]))
    if summary.counts[STATE_BUSY]:
        return "all slots that it may use are taken, or others are before it"
    return "it is about to be launched"
