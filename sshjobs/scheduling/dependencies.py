"""Which jobs wait for which others (``after``). Pure: no clock, no disk, no process."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sshjobs.model.after import After, Awaited, Member, When, Which, afters_of
from sshjobs.model.params import value_key
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome


class Standing(NamedTuple):
    """Whether a job may run, as far as the jobs that it waits for go.

    :ivar waits: some of them have not ended
    :ivar broken: the name of one that did not succeed, so that the job cannot run; ``None`` if there is none
    """

    waits: bool
    broken: str | None


class Moved(NamedTuple):
    """What follows from the end of a job.

    :ivar ready: jobs that do not wait for any other now; some of them may have ended already
    :ivar broken: jobs that cannot run because this one did not succeed
    """

    ready: Sequence[Job]
    broken: Sequence[Job]


def matched_names(spec: JobSpec, after: After) -> tuple[str, ...]:
    """Return the parameters of a job that select the jobs which it waits for."""
    return tuple(spec.param_names) if after.jobs is Which.MATCHING else ()


def group_key(names: Iterable[str], params: Mapping[str, str]) -> Hashable:
    """Return a key that is equal for jobs with equal values of these parameters."""
    return tuple(value_key(params[name]) if name in params else None for name in names)


class _Group:
    """Jobs of one entry that are waited for together, and those that wait for them."""

    __slots__ = ("broken", "followers", "left")

    def __init__(self) -> None:
        #: How many of them still have to end as required; the names of those that ended otherwise.
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
        #: Jobs that ended as required and now run again: nobody waits for them any more.
        self.met_before = set[str]()
        self._groups: dict[Hashable, _Group] = {}

    def group(self, params: Mapping[str, str]) -> _Group:
        """Return the group of jobs with these values. Two missing values are equal."""
        key = group_key(self._names, params)
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = _Group()
        return found

    def is_met(self, outcome: Outcome | None) -> bool:
        """Return whether an outcome is the one that is waited for."""
        return outcome is Outcome.SUCCEEDED or (outcome is not None and self.when is When.ENDED)

    def count(self, member: Member) -> None:
        """Add a job of the entry."""
        if not self.is_met(member.outcome):
            group = self.group(member.params)
            group.left += 1
            group.note(member.name, broken=member.outcome is not None)


class Dependencies:
    """Knows which jobs wait for others, and tells which of them may run when one ends.

    A job waits for a group of jobs of another entry: those whose shared parameters have equal values, or all of them.
    Every operation is O(1) in jobs, apart from the jobs that it is given and returns. States of jobs are the caller's
    business: jobs that have ended may be among those that are returned.
    """

    def __init__(self) -> None:
        #: By entry, then by the parameters that select its jobs, and by what has to become of them.
        self._views: dict[str, dict[tuple[tuple[str, ...], When], _View]] = {}

    def __bool__(self) -> bool:
        """Tell whether any job waits for any other."""
        return bool(self._views)

    def join(self, jobs: Iterable[Job]) -> None:
        """Add jobs that may be waited for. Jobs that wait for their entries already now wait for them, too."""
        for job in jobs:
            for view in self._views_of(job):
                view.count(Member(job.name, job.spec.params, job.outcome))

    def follow(self, jobs: Iterable[Job], awaited: Mapping[str, Awaited]) -> None:
        """Add jobs that wait.

        :param awaited: the entries that they wait for, with all jobs of :meth:`join`; an entry without jobs may be
            missing
        """
        for job in jobs:
            for after in afters_of(job.spec.after):
                self._view(job.spec, after, awaited).group(job.spec.params).followers.append(job)

    def standing(self, job: Job) -> Standing:
        """Return whether a job of :meth:`follow` may run."""
        groups = [self._view(job.spec, after, {}).group(job.spec.params) for after in afters_of(job.spec.after)]
        broken = next((next(iter(group.broken)) for group in groups if group.broken), None)
        return Standing(any(group.left for group in groups), broken)

    def ended(self, job: Job) -> Moved:
        """Note the end of a job, by its outcome; return what follows."""
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
        """Note that an unfinished job was withdrawn; return the jobs that may run now."""
        return list(dict.fromkeys(one for view in self._views_of(job)
                                  for one in self._one_less(view.group(job.spec.params))))

    def reopened(self, job: Job) -> list[Job]:
        """Note that a job that had ended is to be tried again. Return the jobs that could not run because of its end,
        and now wait for it again. Jobs that waited for any end of it do not wait again."""
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
