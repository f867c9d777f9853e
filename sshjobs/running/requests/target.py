"""The target of a request: a run with its store and hosts, and its manager if there is one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sshjobs.errors import UsageError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import RunReader, RunStore, Summary
from sshjobs.store.rundir import RunPaths

if TYPE_CHECKING:
    from sshjobs.running.manager import Manager


class Target:
    """The run that a request is about.

    :param store: taken over by this process, or by the manager
    :param manager: ``None`` if the run has none
    :ivar blocked: the store cannot be written now, and may be out of date
    """

    blocked = False

    def __init__(self, paths: RunPaths, store: RunStore, manager: Manager | None = None):
        self.paths, self.store, self.manager = paths, store, manager

    @classmethod
    def of(cls, manager: Manager) -> Target:
        """Return the target for the run of a manager. It belongs to the manager's thread."""
        return cls(manager.paths, manager.store, manager)

    @contextlib.contextmanager
    def reader(self) -> Iterator[RunReader]:
        """Open the store for reading, after a commit of the manager's changes unless the store is blocked.

        :raises StoreBlockedError: the commit failed
        """
        if not self.blocked:
            self.store.commit()
        with RunReader.open(self.paths) as reader:
            yield reader

    def summary(self) -> Summary:
        """Return the summary of the run."""
        with self.reader() as reader:
            return reader.summary()

    def hosts(self) -> list[Host]:
        """Return the hosts of the run; without a manager including removed ones."""
        if self.manager is not None:
            return list(self.manager.network.hosts.values())
        with self.reader() as reader:
            return [row.host for row in reader.hosts()]

    @property
    def stays_open(self) -> bool:
        """Whether the run goes on without jobs, so that hosts may still join for jobs that wait."""
        return bool(self.summary().options.get("stays_open")) if self.manager is None else self.manager.stays_open

    def schedule(self) -> Schedule:
        """Return a schedule with the hosts on which jobs may run from now on."""
        if self.manager is not None and not self.manager.hosts.leaving:
            return self.manager.schedule
        return Schedule(host for host in self.hosts() if not host.removed)

    def unfinished(self, names: Sequence[str] | None) -> list[Job]:
        """Return the unfinished jobs, those with these names or all."""
        if self.manager is not None:
            wanted = None if names is None else set(names)
            return [job for job in self.manager.unfinished() if wanted is None or job.name in wanted]
        with self.reader() as reader:
            jobs = reader.load_unfinished() if names is None else reader.load(names)
        return [job for job in jobs if job.state not in FINAL_STATES]

    def check_jobs(self, names: Sequence[str] | None) -> None:
        """Check that the run has jobs of these names.

        :raises UsageError: it has not, with the first such name
        """
        if not names or (self.manager is not None and set(names) <= {job.name for job in self.manager.unfinished()}):
            return
        with self.reader() as reader:
            for name in names:
                if reader.job(name) is None:
                    near = reader.near_names(name)
                    raise UsageError(f"no job is called {name!r}", where=self.paths.name,
                                     hint=f"did you mean {' or '.join(near)}?" if near else
                                     f"see: sshjobs status {self.paths.name} --all")

    def reopened(self) -> str | None:
        """Return the new state of the run when jobs wait in it again; ``None`` if it does not change."""
        return None if self.manager is not None or self.summary().stored_state == "running" else "interrupted"


def known_hosts(names: Sequence[str], hosts: Sequence[Host]) -> list[Host]:
    """Return the hosts of these names.

    :raises UsageError: the run has no such host
    """
    known = {host.name: host for host in hosts}
    for name in names:
        if name not in known:
            raise UsageError(f"no host of the run is called '{name}'", hint=f"they are {', '.join(list(known)[:8])}")
    return [known[name] for name in names]
