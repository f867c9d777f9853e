"""Stages: which jobs of a run wait for others, for its manager and for requests."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from sshjobs.errors import UsageError
from sshjobs.model.after import Awaited, Member, mistakes
from sshjobs.model.sent import taken
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_FREE, Outcome
from sshjobs.network.contract import KEPT_FROM
from sshjobs.running.sources import Sources
from sshjobs.scheduling.dependencies import Dependencies
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths


def check_stages(specs: Iterable[JobSpec], entries: Collection[str] = ()) -> None:
    """Check that the entries exist for which jobs wait, and that there are no circles.

    :param entries: names of further entries for which they may wait
    :raises UsageError: the first mistake
    """
    waits: dict[str, list[str]] = {}
    for spec in specs:
        if spec.after or spec.entry_name not in waits:
            waits[spec.entry_name] = list(spec.after)
    if any(waits.values()) and (found := mistakes(waits, entries)):
        raise UsageError(f"after{found[0].text}", where=found[0].entry)


def awaited_among(jobs: Iterable[Job], entries: Collection[str]) -> dict[str, Awaited]:
    """Return the entries of these names, with their jobs."""
    found: dict[str, list[Job]] = defaultdict(list)
    for job in jobs if entries else ():
        if job.spec.entry_name in entries:
            found[job.spec.entry_name].append(job)
    return {entry: Awaited(jobs[0].spec.param_names, [Member(job.name, job.spec.params, job.outcome) for job in jobs])
            for entry, jobs in found.items()}


def entries_awaited(jobs: Iterable[Job]) -> set[str]:
    """Return the names of the entries for which any of these jobs waits."""
    return {entry for job in jobs for entry in job.spec.after}


class Stages:
    """Decides which jobs may wait for a host, and which cannot run.

    :ivar sources: the jobs whose files a job gets
    :ivar given: the names of the entries whose files are inputs of other jobs
    """

    def __init__(self) -> None:
        self.sources = Sources()
        self.given = set[str]()
        self._dependencies = Dependencies()
        #: Entries whose jobs were examined for such inputs: the same for all jobs of an entry.
        self._seen = set[str]()
        #: By the name of a job whose files are inputs: the host that caches the large ones, and their bytes.
        self._left_on: dict[str, tuple[str, int]] = {}

    def begin(self, jobs: list[Job]) -> None:
        """Add the jobs of a new run."""
        self._note_given(jobs)
        self._dependencies.follow(jobs, awaited_among(jobs, entries_awaited(jobs)))

    def _note_given(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if job.spec.after and job.spec.entry_name not in self._seen:
                self._seen.add(job.spec.entry_name)
                self.given.update(one.entry for one in taken(job.spec.files))

    def resume(self, jobs: list[Job], reader: RunReader) -> None:
        """Add jobs of a resumed run, or a job that ended before this manager came."""
        known = len(self.given)
        self._note_given(jobs)
        if len(self.given) > known:
            self._left_on.update((name, (host, size)) for name, host, size in reader.left_on(self.given)
                                 if size >= KEPT_FROM)
        for job in jobs:
            # It may have to be launched again.
            job.sources = self.sources.of(job, reader.paths) if job.attempts else None
        if entries := entries_awaited(jobs):
            self._dependencies.follow(jobs, reader.awaited(entries))

    def add(self, jobs: list[Job], reader: RunReader) -> None:
        """Add further jobs, which are in the store."""
        self.sources.forget()
        self._dependencies.join(jobs)
        self.resume(jobs, reader)

    def may_run(self, job: Job) -> bool:
        """Return whether a job does not wait for others."""
        return not job.spec.after or not self._dependencies.standing(job).waits

    def cannot_run(self, job: Job) -> str | None:
        """Return why a job is to be skipped, in words; ``None`` if it is not."""
        broken = self._dependencies.standing(job).broken if job.spec.after else None
        return None if broken is None else f"{broken} did not succeed"

    def any(self) -> bool:
        """Tell whether any job waits for others, or gets their files."""
        return bool(self._dependencies or self.given)

    def ended(self, job: Job) -> tuple[list[Job], list[Job]]:
        """Note the end of a job; return the waiting jobs that may run now, and those that cannot run any more."""
        if self.given and job.attempts and job.spec.entry_name in self.given:
            newest = job.attempts[-1]
            if newest.brought is not None and newest.brought.size >= KEPT_FROM:
                self._left_on[job.name] = newest.host, newest.brought.size
        ready, broken = self._dependencies.ended(job)
        return [one for one in ready if one.state == STATE_FREE], [one for one in broken if one.state == STATE_FREE]

    def near(self, job: Job, paths: RunPaths) -> str | None:
        """Return the host that caches most of the large inputs of a job, ``None`` if there is none."""
        if not self._left_on or not job.spec.after:
            return None
        sizes = Counter[str]()
        for names in (self.sources.of(job, paths) or {}).values():
            for host, size in (self._left_on[name] for name in names if name in self._left_on):
                sizes[host] += size
        return max(sizes, key=sizes.__getitem__, default=None)

    def withdrawn(self, job: Job) -> list[Job]:
        """Note that a job was withdrawn; return the jobs that may run now."""
        self.sources.forget()
        return [one for one in self._dependencies.withdrawn(job) if one.state == STATE_FREE]

    def reopened(self, job: Job) -> list[Job]:
        """Note that a job, which still has its old outcome, is about to be tried again. Return the jobs that were
        skipped because of it and now wait for it again."""
        return [one for one in self._dependencies.reopened(job) if one.outcome is Outcome.SKIPPED]


def revived_with(jobs: Iterable[Job], reader: RunReader) -> list[Job]:
    """Return the jobs that were skipped because of any of these, directly or through other skipped jobs, and that can
    run once these succeed.

    :param jobs: the jobs that are to be tried again, as they are in the store
    """
    skipped = {job.name: job for job in reader.load_skipped() if job.spec.after}
    if not skipped:
        return []
    dependencies, todo, found = Dependencies(), list(jobs), dict[Job, None]()
    dependencies.follow(skipped.values(), reader.awaited(entries_awaited(skipped.values())))
    asked = {job.name for job in todo}
    while todo:
        for one in dependencies.reopened(todo.pop()):
            if one.name not in asked:
                asked.add(one.name)
                found[one] = None
                todo.append(one)
    return list(found)


def still_broken(jobs: Iterable[Job], together: Collection[str], reader: RunReader) -> Mapping[str, str]:
    """Return the jobs that cannot be tried again, because a job that they wait for did not succeed and is not tried
    again with them; each with the name of the first such job in the chain.

    :param together: the names of all jobs that are to be tried again
    """
    if not any(job.outcome is Outcome.SKIPPED and job.spec.after for job in jobs):
        return {}
    skipped = [job for job in reader.load_skipped() if job.spec.after]
    dependencies = Dependencies()
    dependencies.follow(skipped, reader.awaited(entries_awaited(skipped)))
    for job in reader.load(together):
        if job.outcome is not None:
            dependencies.reopened(job)
    by = {job.name: broken for job in skipped if (broken := dependencies.standing(job).broken) is not None}

    def first(name: str) -> str:
        while name in by:
            name = by[name]
        return name

    return {job.name: first(job.name) for job in jobs if job.name in by}
