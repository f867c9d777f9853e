"""How long jobs are going to take, by the durations of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sshjobs.model.spec import Job, JobSpec
from sshjobs.planning.earlier import DONE, Earlier
from sshjobs.planning.identity import awaited_by_entry, in_order
from sshjobs.scheduling.durations import Durations


class Estimate(NamedTuple):
    """How long jobs are likely to take.

    :ivar work: seconds of all jobs together
    :ivar seconds: seconds until the last job has ended; ``None`` where it is not known how many run at a time
    :ivar known: for how many jobs earlier runs tell a duration; the others are taken to be as long as these
    """

    work: float
    seconds: float | None
    known: int


def estimate(jobs: Iterable[Job], runs: Sequence[Earlier], slots: int | None) -> Estimate | None:
    """Return how long jobs are likely to take; ``None`` where no earlier run tells anything.

    :param runs: the newest first; what a newer run tells counts more
    :param slots: how many jobs run at a time
    """
    durations, learnt_from = _learnt(runs)
    found: list[tuple[Job, float | None]] = []
    for job in jobs:
        earlier = learnt_from.get(job.spec.entry_name)
        found.append((job, None if earlier is None else _usual(job.spec, earlier, durations)))
    known = [seconds for _, seconds in found if seconds is not None]
    if not known:
        return None
    usual = sum(known) / len(known)
    work = sum(usual if seconds is None else seconds for _, seconds in found)
    if not slots:
        return Estimate(work, None, len(known))
    longest = _longest_chain([(job, usual if seconds is None else seconds) for job, seconds in found])
    return Estimate(work, max(work / min(slots, len(found)), longest), len(known))


def _usual(spec: JobSpec, earlier: JobSpec, durations: Durations) -> float | None:
    """Return the seconds that a job is likely to take: as the jobs with the same value of the parameter that explains
    durations, or as all jobs of its entry where no parameter does.

    :param earlier: the spec of an earlier job of the same entry
    """
    params = spec.params if spec.values else {}
    refined = durations.kind_with(earlier.kind, [params.get(name) for name in earlier.param_names])
    seconds = durations.of_kind(refined)
    return durations.of_kind(earlier.kind) if seconds is None else seconds


def _learnt(runs: Sequence[Earlier]) -> tuple[Durations, dict[str, JobSpec]]:
    """Return the durations of jobs of earlier runs, and for each entry the spec of one of its jobs."""
    durations, learnt_from = Durations(), dict[str, JobSpec]()
    keep: list[JobSpec] = []
    for run in reversed(runs):
        for row in run.reader.works():
            if run.rank(row) == DONE and row.started is not None and row.ended is not None and row.host is not None:
                durations.note(row.spec, row.host, max(0.0, row.ended - row.started))
                before = learnt_from.get(row.spec.entry_name)
                if before is None or before.kind != row.spec.kind:
                    # A kind is keyed by the identity of an object, which therefore has to stay alive.
                    learnt_from[row.spec.entry_name] = row.spec
                    keep.append(row.spec)
    return durations, learnt_from


def _longest_chain(jobs: Sequence[tuple[Job, float]]) -> float:
    """Return the seconds of the longest chain of jobs that wait for each other, by their entries."""
    longest: dict[str, float] = {}
    for job, seconds in jobs:
        longest[job.spec.entry_name] = max(longest.get(job.spec.entry_name, 0.0), seconds)
    awaits = awaited_by_entry(job.spec for job, _ in jobs)
    ends = dict(longest)
    for entry in in_order(awaits):
        before = max((ends.get(awaited, 0.0) for awaited in awaits.get(entry, ())), default=0.0)
        ends[entry] = longest.get(entry, 0.0) + before
    return max(ends.values(), default=0.0)
