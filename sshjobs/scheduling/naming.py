"""Makes the jobs of specs, each with a unique name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy

from sshjobs.errors import UsageError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec


def jobs_from(specs: Iterable[JobSpec], hosts: Iterable[Host], *, first: int = 0,
              taken: Callable[[str], bool] = lambda name: False) -> Iterable[Job]:
    """Yield the jobs of specs: one for each, or for ``per_host`` one for each host; with unique names.

    :param first: index of the first of them
    :param taken: tells whether a name belongs to another job of the run
    :raises UsageError: the ``hosts`` of a ``per_host`` spec match none
    """
    all_hosts, names, index = list(hosts), _Names(taken), first
    for spec in specs:
        targets: list[Host | None] = [None]
        if spec.per_host:
            targets = [host for host in all_hosts if host.matches(spec.hosts)]
            if not targets:
                raise UsageError(f"no host matches {', '.join(spec.hosts)}", where=spec.name)
        for target in targets:
            base = spec.name or "job"
            name = names.unused(f"{base}@{target.name}" if target else base)
            job = Job(spec if name == spec.name else _of_entry(spec), index, name)
            job.only_host = target.name if target else None
            yield job
            index += 1


def _of_entry(spec: JobSpec) -> JobSpec:
    """Return a spec that holds the name of its entry, for a job whose own name does not tell."""
    if spec.entry is None:
        spec = copy(spec)
        spec.entry = spec.entry_name
    return spec


class _Names:
    """Gives each job a unique name: ``x``, ``x-2``, ``x-3``."""

    def __init__(self, taken: Callable[[str], bool]):
        self._taken, self._given, self._next = taken, set[str](), dict[str, int]()

    def unused(self, name: str) -> str:
        chosen = name
        while chosen in self._given or self._taken(chosen):
            number = self._next.get(name, 2)
            self._next[name] = number + 1
            chosen = f"{name}-{number}"
        self._given.add(chosen)
        return chosen
