"""Which jobs wait for which others (``after``). Pure: no clock, no disk, no process."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sshjobs.model.after import After, Awaited, Member, When, Which, afters_of
from sshjobs.model.params import value_key
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome


class Standing(NamedTuple):
    """How a job stands towards those that it waits for.

    :ivar waits: some of them have not ended
    :ivar broken: the name of one that did not succeed, so that the job cannot run; ``None``: there is none
    """

    waits: bool
    broken: str | None


class Moved(NamedTuple):
    """What follows from the end of a job.

    :ivar ready: jobs that wait for no other any more; some may have ended meanwhile
    :ivar broken: jobs that cannot run, because that one did not succeed
    """

    ready: Sequence[Job]
    broken: Sequence[Job]


def matched_names(spec: JobSpec, after: After) -> tuple[str, ...]:
    """Return the parameters of a job by which it chooses those that it waits for, as far as these have them."""
    return tuple(spec.param_names) if after.jobs is Which.MATCHING else ()


def group_key(names: Iterable[str], params: Mapping[str, str]) -> Hashable:
    """Return what is equal for jobs whose parameters of these names have equal values."""
    return tuple(value_key(params[name]) if name in params else None for name in names)


class _Group:
    """Jobs of one entry that are waited for together, and those that wait for them."""

    __slots__ = ("broken", "followers", "left")

    def __init__(self) -> None:
        #: How many of them have not come to what is waited for: those that ended otherwise too, by their names.
        self.left = 0
        self.broken: dict[str, None] | None = None
        self.followers: list[Job] = []

    def note(self, name: str, *, broken: bool) -> None:
        if broken and self.broken is None:
            self.broken = {name: None}
        elif broken and self.broken is not None:
            self.broken[name] = None
        elif self.broken is not None:
            self.broken.pop(name, None)


class _View:
    """The jobs of one entry, grouped by the values of some of their parameters."""

    __slots__ = ("_groups", "_names", "met_before", "when")

    def __init__(self, names: tuple[str, ...], when: When):
        self._names, self.when = names, when
        #: Jobs whose end was what was waited for, and that run again: nobody waits for them any more.
        self.met_before = set[str]()
        self._groups: dict[Hashable, _Group] = {}

    def group(self, params: Mapping[str, str]) -> _Group:
        """Return the group of jobs whose values are equal to these; a value that is missing equals another such."""
        key = group_key(self._names, params)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = _Group()
        return found

    def is_met(self, outcome: Outcome | None) -> bool:
        """Tell whether that is what is waited for."""
        return outcome is Outcome.SUCCEEDED or (outcome is not None and self.when is When.ENDED)

    def count(self, member: Member) -> None:
        """Take in a job of the entry."""
        if not self.is_met(member.outcome):
            group = self.group(member.params)
            group.left += 1
            group.note(member.name, broken=member.outcome is not None)


class Dependencies:
    """Knows which jobs wait for others, and tells which of them may run when one ends.

    What a job waits for is a group of jobs of another entry: those whose shared parameters have equal values, or all of
    them. Every operation is O(1) in jobs, but for the jobs that it is given and returns. It decides nothing about jobs
    that have ended: its caller knows their states.
    """

    def __init__(self) -> None:
        #: By entry, then by the parameters of those that wait for it.
        self._views: dict[str, dict[tuple[tuple[str, ...], When], _View]] = {}

    def join(self, jobs: Iterable[Job]) -> None:
        """Take in further jobs: those that wait for their entries already wait for them too."""
        for job in jobs:
            for view in self._views_of(job):
                view.count(Member(job.name, job.spec.params, job.outcome))

    def follow(self, jobs: Iterable[Job], awaited: Mapping[str, Awaited]) -> None:
        """Take in jobs as those that wait.

        :param awaited: the entries that they wait for, with all jobs that joined; an entry without jobs may be missing
        """
        for job in jobs:
            for after in afters_of(job.spec.after):
                self._view(job.spec, after, awaited).group(job.spec.params).followers.append(job)

    def standing(self, job: Job) -> Standing:
        """Tell whether a job may run that :meth:`follow` was given."""
        groups = [self._view(job.spec, after, {}).group(job.spec.params) for after in afters_of(job.spec.after)]
        broken = next((next(iter(group.broken)) for group in groups if group.broken), None)
        return Standing(any(group.left for group in groups), broken)

    def ended(self, job: Job) -> Moved:
        """Take in that a job has ended, as its outcome says."""
        ready, broken = dict[Job, None](), dict[Job, None]()
        for view in self._views_of(job):
            if job.name in view.met_before:
                view.met_before.discard(job.name)
                continue
            group = view.group(job.spec.params)
            if view.is_met(job.outcome):
                ready.update(dict.fromkeys(self._one_less(group)))
            else:
                group.note(job.name, broken=True)
                broken.update(dict.fromkeys(group.followers))
        return Moved(list(ready), list(broken))

    def withdrawn(self, job: Job) -> list[Job]:
        """Take in that a job which had not ended is no more; return those that may run now."""
        return list(dict.fromkeys(one for view in self._views_of(job)
                                  for one in self._one_less(view.group(job.spec.params))))

    def reopened(self, job: Job) -> list[Job]:
        """Take in that a job is to be tried again after it ended as its outcome says; return those that could not run
        because of it, and may once it succeeds. Where its end was all that was waited for, it is waited for no more."""
        revived = dict[Job, None]()
        for view in self._views_of(job):
            if view.is_met(job.outcome):
                view.met_before.add(job.name)
            else:
                group = view.group(job.spec.params)
                group.note(job.name, broken=False)
                revived.update((one, None) for one in group.followers if self.standing(one).broken is None)
        return list(revived)

    def _one_less(self, group: _Group) -> list[Job]:
        group.left -= 1
        return [] if group.left else [one for one in group.followers if not self.standing(one).waits]

    def _views_of(self, job: Job) -> list[_View]:
        return list(self._views.get(job.spec.entry_name, {}).values()) if self._views else []

    def _view(self, spec: JobSpec, after: After, awaited: Mapping[str, Awaited]) -> _View:
        views = self._views.setdefault(after.entry, {})
        mine = matched_names(spec, after)
        view = views.get((mine, after.when))
        if view is None:
            names, members = awaited.get(after.entry, Awaited((), ()))
            view = views[mine, after.when] = _View(tuple(name for name in mine if name in names), after.when)
            for member in members:
                view.count(member)
        return view
