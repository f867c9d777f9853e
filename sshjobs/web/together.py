"""Combines several runs into one, for the page of all runs together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from sshjobs.errors import SshjobsError
from sshjobs.web.models import HostInfo, Overview, RunInfo
from sshjobs.web.sources import Sources


async def overview(sources: Sources) -> Overview:
    """Return the combined state of the runs of this server, each host once. A run that cannot be read is left out."""
    names = await sources.at_work()
    found = await asyncio.gather(*(_one(sources, name) for name in names))
    return combined([one for one in found if one is not None])


async def _one(sources: Sources, name: str) -> Overview | None:
    try:
        return await (await sources.watch(name)).overview()
    except SshjobsError:
        return None


def combined(views: Sequence[Overview]) -> Overview:
    """Return several runs as one. Counts are added, also those of a host; of a host's states the newest is used."""
    runs = [view.run for view in views]
    hosts: dict[str, list[tuple[str, HostInfo]]] = {}
    for view in views:
        for host in view.hosts:
            hosts.setdefault(host.name, []).append((view.run.name, host))
    rates = [view.rate for view in views]
    return Overview(
        run=RunInfo(name="", state="running" if any(run.state == "running" for run in runs) else
                    runs[0].state if runs else "done", created=min((run.created for run in runs), default=0.0),
                    total=sum(run.total for run in runs), counts=_added(run.counts for run in runs),
                    outcomes=_added(run.outcomes for run in runs), hosts=len(hosts),
                    paused=bool(runs) and all(run.paused for run in runs), version=sum(run.version for run in runs)),
        rate=_sum(rates), seconds_left=_longest(view.seconds_left for view in views),
        seconds_left_p90=_longest(view.seconds_left_p90 for view in views),
        ready=all(view.ready for view in views), hosts=[_host(several) for several in hosts.values()])


def _host(several: list[tuple[str, HostInfo]]) -> HostInfo:
    hosts = [host for _, host in several]
    newest = max(hosts, key=lambda host: (host.state == "up", host.heard or 0.0, host.since or 0.0))
    ended = [(host.seconds_per_job, host.done + host.failed) for host in hosts if host.seconds_per_job is not None]
    jobs = sum(number for _, number in ended)
    return newest.model_copy(update={
        "slots": _sum([host.slots for host in hosts]), "busy": sum(host.busy for host in hosts),
        "done": sum(host.done for host in hosts), "failed": sum(host.failed for host in hosts),
        "cpu": round(sum(host.cpu for host in hosts), 3), "output": sum(host.output for host in hosts),
        "sent": _sum([host.sent for host in hosts]), "received": _sum([host.received for host in hosts]),
        "seconds_per_job": round(sum(each * number for each, number in ended) / jobs, 3) if jobs else None,
        "drained": all(host.drained for host in hosts), "runs": [name for name, _ in several]})


def _longest(values: Iterable[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for key, n in one.items():
            total[key] = total.get(key, 0) + n
    return total
