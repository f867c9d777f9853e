"""Finds the jobs whose files are inputs of a job: those that its ``after`` selects."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from sshjobs.model.after import afters_of
from sshjobs.model.sent import taken
from sshjobs.model.spec import Job
from sshjobs.scheduling.dependencies import group_key, matched_names
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths


class _Members(NamedTuple):
    """The names of the jobs of an entry.

    :ivar shared: the parameters by which they are selected
    :ivar groups: the names by the values of these
    """

    shared: Sequence[str]
    groups: Mapping[Hashable, Sequence[str]]


class Sources:
    """The names of jobs whose files other jobs get. Reads those of an entry only once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[str, ...]], _Members] = {}

    def forget(self) -> None:
        """Forget all names, because jobs were added or withdrawn."""
        self._known.clear()

    def of(self, job: Job, paths: RunPaths) -> Mapping[str, Sequence[str]] | None:
        """Return the names of the jobs whose files a job gets, by entry; ``None`` if it gets none."""
        entries = {one.entry for one in taken(job.spec.files)} if job.spec.files else None
        if not entries:
            return None
        found: dict[str, Sequence[str]] = {}
        for after in afters_of(job.spec.after):
            if after.entry in entries:
                names = matched_names(job.spec, after)
                members = self._known.get((after.entry, names))
                if members is None:
                    members = self._known[after.entry, names] = _read(paths, after.entry, names)
                found[after.entry] = members.groups.get(group_key(members.shared, job.spec.params), ())
        return found


def _read(paths: RunPaths, entry: str, names: Sequence[str]) -> _Members:
    with RunReader.open(paths) as reader:
        awaited = reader.awaited([entry]).get(entry)
    groups: dict[Hashable, list[str]] = {}
    shared = [] if awaited is None else [name for name in names if name in awaited.names]
    for member in () if awaited is None else awaited.members:
        groups.setdefault(group_key(shared, member.params), []).append(member.name)
    return _Members(shared, groups)
