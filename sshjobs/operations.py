"""What people ask of a run that is alive: more jobs, other hosts, a pause, another try.

Everything here happens in the manager's thread, between two events. A request is a plain dict, as it comes over the
control socket; so is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.host import Host
from sshjobs.manager import Manager
from sshjobs.schedule import jobs_from
from sshjobs.spec import Job, JobSpec
from sshjobs.states import FINAL_STATES, STATE_ERROR, STATE_FREE
from sshjobs.store import RunReader

Request = dict[str, Any]

#: What a job that a person holds back says of itself.
PAUSED = "paused by hand"


class Operations:
    """Carries out requests on a manager."""

    def __init__(self, manager: Manager):
        self._manager = manager
        #: Jobs that a person holds back, waiting or running.
        self._paused: set[Job] = set()
        self._verbs: dict[str, Callable[[Request], Request]] = {
            "add": lambda ask: self.add([JobSpec.from_dict(spec) for spec in ask["specs"]]),
            "cancel": lambda ask: self.cancel(ask.get("jobs")),
            "retry": lambda ask: self.retry(ask.get("jobs")),
            "pause": lambda ask: self.pause(ask.get("jobs"), True),
            "unpause": lambda ask: self.pause(ask.get("jobs"), False),
            "hosts-add": lambda ask: self.add_hosts([host_from(host) for host in ask["hosts"]]),
            "hosts-drain": lambda ask: self.drain(ask["hosts"], True),
            "hosts-undrain": lambda ask: self.drain(ask["hosts"], False),
            "hosts-remove": lambda ask: self.remove_hosts(ask["hosts"]),
            "hosts-slots": lambda ask: self.set_slots(ask["hosts"], ask["slots"]),
            "finish": lambda ask: self.finish(),
        }

    def handle(self, request: Request) -> Request:
        """Carry out one request.

        :raises SshjobsError: it cannot be done; nothing of it was
        """
        verb = self._verbs.get(str(request.get("do")))
        if verb is None:
            raise UsageError(f"the manager does not know how to {request.get('do')!r}",
                             hint="it may be of an older version: end it and resume the run with this one")
        try:
            return verb(request)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"the request to {request['do']} cannot be understood", why=str(error)) from error

    # -- jobs ----------------------------------------------------------------------------------------------------

    def add(self, specs: Iterable[JobSpec]) -> Request:
        """Add jobs at the end of the line. They are in the store when this returns.

        :raises UsageError: their ``hosts`` match no host
        """
        manager = self._manager
        manager.commit()
        jobs = add_to_store(manager, specs)
        for job in jobs:
            manager.take_in(job)
        return {"ok": True, "jobs": [job.name for job in jobs]}

    def cancel(self, names: Sequence[str] | None) -> Request:
        """End jobs; ``None`` ends all of them and then the run."""
        chosen = self._unfinished(names)
        if names is None:
            self._manager.stop()
        for job in chosen & self._paused:
            # Stopped processes do not die of TERM.
            self._manager.network.pause(job, False)
        self._paused -= chosen
        self._manager.cancel(chosen)
        return {"ok": True}

    def retry(self, names: Sequence[str] | None) -> Request:
        """Let jobs that ended without success wait for a host again; ``None``: all of them."""
        manager = self._manager
        manager.commit()
        with RunReader.open(manager.paths) as reader:
            if names is None:
                names = [row.name for row in reader.jobs([STATE_ERROR])]
            here = {job.name: job for job in manager.jobs.objects if job.state in FINAL_STATES}
            stored = {job.name: job for job in reader.load(name for name in names if name not in here)}
        retried = []
        for name in names:
            job = here.get(name) or stored.get(name)
            if job is not None and job.state == STATE_ERROR:
                manager.try_again(job)
                retried.append(name)
        return {"ok": True, "jobs": retried}

    def pause(self, names: Sequence[str] | None, paused: bool) -> Request:
        """Launch nothing, or (with names) stop these jobs where they are; or let them go on."""
        manager = self._manager
        if names is None:
            manager.schedule.paused = paused
            return {"ok": True}
        for job in self._unfinished(names):
            if paused and job not in self._paused:
                self._paused.add(job)
                if not manager.schedule.remove(job):
                    manager.network.pause(job, True)
                manager.note(job, PAUSED)
            elif not paused and job in self._paused:
                self._paused.discard(job)
                manager.note(job, None)
                if job.state == STATE_FREE:
                    manager.schedule.add(job)
                else:
                    manager.network.pause(job, False)
        return {"ok": True}

    def _unfinished(self, names: Collection[str] | None) -> set[Job]:
        wanted = None if names is None else set(names)
        return {job for job in self._manager.unfinished() if wanted is None or job.name in wanted}

    # -- hosts ---------------------------------------------------------------------------------------------------

    def add_hosts(self, hosts: Sequence[Host]) -> Request:
        """Take in further hosts.

        :raises UsageError: one is there already
        """
        manager = self._manager
        for host in hosts:
            if host.name in manager.network.hosts:
                raise UsageError("the host is in the run already", where=host.name,
                                 hint="to use it again after a drain: sshjobs hosts undrain")
        manager.store.add_hosts(hosts)
        for host in hosts:
            manager.network.add_host(host)
            manager.watch.add(host.name)
            manager.schedule.add_host(host)
        return {"ok": True}

    def drain(self, names: Sequence[str], drained: bool) -> Request:
        """Launch nothing more on hosts, or use them again."""
        for host in self._known(names):
            self._redescribe(replace(host, drained=drained))
            self._manager.schedule.drain(host.name, drained)
        return {"ok": True}

    def remove_hosts(self, names: Sequence[str]) -> Request:
        """Take hosts out of the run as soon as what runs there has ended.

        :raises UsageError: it would leave the run without a host
        """
        known = self._known(names)
        if len(known) == len(self._manager.network.hosts):
            raise UsageError("a run needs a host", hint="add another one first, or cancel the run")
        self.drain(names, True)
        for host in known:
            self._redescribe(replace(host, drained=True, removed=True))
            self._manager.leaving.add(host.name)
        return {"ok": True}

    def set_slots(self, names: Sequence[str], slots: int) -> Request:
        """Change how many jobs hosts take at a time; what runs there is left alone."""
        if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= 4096:
            raise UsageError(f"slots cannot be {slots!r}", hint="use 1 to 4096")
        for host in self._known(names):
            self._redescribe(replace(host, slots=slots))
            self._manager.network.set_slots(host.name, slots)
            self._manager.schedule.set_slots(host.name, slots)
        return {"ok": True}

    def finish(self) -> Request:
        """Let a run that stays open end with the last of its jobs."""
        self._manager.stays_open = False
        return {"ok": True}

    def _known(self, names: Sequence[str]) -> list[Host]:
        hosts = self._manager.network.hosts
        for name in names:
            if name not in hosts:
                raise UsageError(f"no host of the run is called {name!r}", hint=f"they are {', '.join(hosts)}")
        return [hosts[name] for name in names]

    def _redescribe(self, host: Host) -> None:
        self._manager.network.hosts[host.name] = host
        self._manager.schedule.hosts[host.name] = host
        self._manager.store.add_hosts([host])


def add_to_store(manager: Manager, specs: Iterable[JobSpec]) -> list[Job]:
    """Add jobs to a run's store, with names and numbers that follow those that are there.

    :raises UsageError: their ``hosts`` match no host; nothing was added
    """
    with RunReader.open(manager.paths) as reader:
        jobs = list(jobs_from(specs, manager.network.hosts.values(), first=reader.last_number(),
                              taken=lambda name: reader.job(name) is not None))
    for job in jobs:
        manager.schedule.eligible(job.spec, job.only_host)
    manager.store.add_jobs(jobs)
    return jobs


def host_from(data: dict[str, Any]) -> Host:
    """Return the host that :func:`host_data` described."""
    return Host(**{**data, "tags": tuple(data["tags"])})


def host_data(host: Host) -> dict[str, Any]:
    """Return a host as plain data."""
    return asdict(host)

