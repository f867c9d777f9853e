"""What people ask of a run that is alive: more jobs, other hosts, a pause, another try.

Everything here happens in the manager's thread, between two events. A request is a plain dict, as it comes over the
control socket; so is the answer. What holds beyond this manager goes into the run's store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sshjobs.errors import LocalError, UsageError
from sshjobs.model.given import MAX_SLOTS
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec, may_start_over
from sshjobs.model.states import FINAL_STATES, STATE_ERROR, STATE_FREE
from sshjobs.running.manager import Manager
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import RunReader
from sshjobs.store.rundir import job_directory_name

Request = dict[str, Any]



class Operations:
    """Carries out requests on a manager."""

    def __init__(self, manager: Manager):
        self._manager = manager
        self._verbs: dict[str, Callable[[Request], Request]] = {
            "add": lambda ask: self.add(specs_from(ask["specs"])),
            "cancel": lambda ask: self.cancel(ask.get("jobs")),
            "retry": lambda ask: self.retry(ask.get("jobs")),
            "pause": lambda ask: self.pause(ask.get("jobs"), True),
            "unpause": lambda ask: self.pause(ask.get("jobs"), False),
            "hosts-add": lambda ask: self.add_hosts([host_from(host) for host in ask["hosts"]]),
            "hosts-drain": lambda ask: self.drain(ask["hosts"], True),
            "hosts-undrain": lambda ask: self.drain(ask["hosts"], False),
            "hosts-lost": lambda ask: self.lose_hosts(ask["hosts"]),
            "hosts-remove": lambda ask: self.remove_hosts(ask["hosts"]),
            "hosts-slots": lambda ask: self.set_slots(ask["hosts"], ask["slots"]),
            "finish": lambda ask: self.finish(),
        }

    def handle(self, request: Request) -> Request:
        """Carry out one request. What it changes is on the disk when this returns: whoever asked counts on it from then
        on, whatever becomes of this manager.

        :raises SshjobsError: it cannot be done; nothing of it was
        :raises LocalError: this machine can write nothing down at present; nothing of it was done
        """
        trouble = self._manager.trouble
        if trouble is not None:
            raise LocalError("the manager waits and can note nothing", where=self._manager.paths.name,
                             why=str(trouble), hint="nothing was done; ask again when that is over")
        answer = dispatch(self._verbs, request)
        self._manager.commit()
        return answer

    # -- jobs ----------------------------------------------------------------------------------------------------

    def add(self, specs: Iterable[JobSpec]) -> Request:
        """Add jobs at the end of the line. They are in the store when this returns.

        :raises UsageError: their ``hosts`` match no host; nothing was added
        """
        manager = self._manager
        manager.commit()
        with RunReader.open(manager.paths) as reader:
            jobs = new_jobs(reader, specs, manager.network.hosts.values(), manager.schedule)
        manager.store.add_jobs(jobs)
        for job in jobs:
            manager.take_in(job)
        if jobs:
            manager.handle_act({"event": "added", "jobs": len(jobs), "first": jobs[0].name, "last": jobs[-1].name})
        return {"ok": True, "jobs": [job.name for job in jobs]}

    def cancel(self, names: Sequence[str] | None) -> Request:
        """End jobs; ``None`` ends all of them and then the run."""
        manager = self._manager
        chosen = self._unfinished(names)
        if names is None:
            manager.stop()
            self.finish()
        for job in [job for job in chosen if job.paused]:
            # Stopped processes do not die of TERM.
            manager.network.pause(job, False)
            job.paused = False
        manager.cancel(chosen)
        return {"ok": True}

    def retry(self, names: Sequence[str] | None) -> Request:
        """Let jobs that ended without success wait for a host again; ``None``: all of them."""
        manager = self._manager
        manager.commit()
        here = {job.name: job for job in manager.jobs.objects if job.state in FINAL_STATES}
        with RunReader.open(manager.paths) as reader:
            chosen, refused = to_try_again(reader, names)
        for job in chosen:
            manager.try_again(here.get(job.name, job))
        if chosen:
            manager.handle_act({"event": "again", "jobs": [job.name for job in chosen]})
        return {"ok": True, "jobs": [job.name for job in chosen], "refused": refused}

    def pause(self, names: Sequence[str] | None, paused: bool) -> Request:
        """Launch nothing, or (with names) stop these jobs where they are; or let them go on."""
        manager = self._manager
        if names is None:
            manager.schedule.paused = paused
            manager.store.set_options(paused=paused)
            for host in manager.network.hosts if paused else ():
                self._ask_back(manager.placement.unstarted(host))
            changed = None
        else:
            jobs = [job for job in self._unfinished(names) if bool(job.paused) != paused]
            (self._hold if paused else self._let_go)(jobs)
            changed = [job.name for job in jobs]
        if changed != []:
            manager.handle_act({"event": "pause", "paused": paused, "jobs": changed})
        return {"ok": True, "jobs": changed}

    def _hold(self, jobs: Sequence[Job]) -> None:
        manager = self._manager
        launched = [job for job in jobs if not manager.schedule.remove(job)]
        for job in jobs:
            job.paused = True
            manager.store.touch(job)
        # What stands still has to be known to the next manager.
        manager.commit()
        self._ask_back(job for job in launched if job.attempts[-1].started is None)
        for job in launched:
            manager.network.pause(job, True)

    def _let_go(self, jobs: Sequence[Job]) -> None:
        manager = self._manager
        for job in jobs:
            manager.store.touch(job)
            if job.state == STATE_FREE:
                job.paused = None
                manager.schedule.add(job)
            else:
                job.paused = False
                manager.network.pause(job, False)

    def _ask_back(self, jobs: Iterable[Job]) -> None:
        for job in self._manager.placement.ask_back(jobs):
            self._manager.network.fence(job)

    def _unfinished(self, names: Collection[str] | None) -> set[Job]:
        wanted = None if names is None else set(names)
        return {job for job in self._manager.unfinished() if wanted is None or job.name in wanted}

    # -- hosts ---------------------------------------------------------------------------------------------------

    def add_hosts(self, hosts: Sequence[Host]) -> Request:
        """Take in further hosts.

        :raises UsageError: one is there already
        """
        manager = self._manager
        check_new(hosts, manager.network.hosts.values())
        manager.store.add_hosts(hosts)
        for host in hosts:
            manager.network.add_host(host)
            manager.watch.add(host.name)
            manager.quarantine.add(host.name)
            manager.schedule.add_host(host)
        self._tell("added", [host.name for host in hosts])
        return {"ok": True}

    def drain(self, names: Sequence[str], drained: bool) -> Request:
        """Launch nothing more on hosts, or use them again, also such as were to leave."""
        for host in known_hosts(names, self._manager.network.hosts.values()):
            if drained:
                self._empty(replace(host, drained=True))
            else:
                self._redescribe(replace(host, drained=False, removed=False))
                self._manager.schedule.drain(host.name, False)
                self._manager.quarantine.trust(host.name)
                self._manager.leaving.discard(host.name)
        self._tell("drained" if drained else "undrained", names)
        return {"ok": True}

    def lose_hosts(self, names: Sequence[str]) -> Request:
        """Take what was launched on hosts for lost, because a person says that they will not come back.

        :raises UsageError: a host answers; it can be asked
        """
        manager = self._manager
        hosts = known_hosts(names, manager.network.hosts.values())
        for host in hosts:
            if manager.schedule.is_up(host.name):
                raise UsageError("the host answers", where=host.name, hint="drain or remove it, or cancel its jobs")
        gone = [job for host in hosts for job in manager.placement.on(host.name)]
        for job in gone:
            manager.give_up(job, "its host was declared lost by hand")
        self._tell("lost", names)
        return {"ok": True, "jobs": [job.name for job in gone]}

    def _empty(self, host: Host) -> None:
        self._redescribe(host)
        self._manager.schedule.drain(host.name, True)
        self._ask_back(self._manager.placement.unstarted(host.name))

    def remove_hosts(self, names: Sequence[str]) -> Request:
        """Take hosts out of the run as soon as what runs there has ended.

        :raises UsageError: it would leave the run without a host
        """
        for host in leaving_hosts(names, self._manager.network.hosts.values()):
            self._empty(replace(host, drained=True, removed=True))
            self._manager.leaving.add(host.name)
        self._tell("leaving", names)
        return {"ok": True}

    def set_slots(self, names: Sequence[str], slots: int) -> Request:
        """Change how many jobs hosts take at a time; what runs there is left alone."""
        check_slots(slots)
        for host in known_hosts(names, self._manager.network.hosts.values()):
            self._redescribe(replace(host, slots=slots))
            self._manager.network.set_slots(host.name, slots)
            self._manager.schedule.set_slots(host.name, slots)
        self._tell("slots", names, slots)
        return {"ok": True}

    def finish(self) -> Request:
        """Let a run that stays open end with the last of its jobs."""
        self._manager.stays_open = False
        self._manager.store.set_options(stays_open=False)
        return {"ok": True}

    def _tell(self, change: str, names: Sequence[str], slots: int | None = None) -> None:
        self._manager.handle_act({"event": "hosts", "change": change, "hosts": list(names), "slots": slots})

    def _redescribe(self, host: Host) -> None:
        self._manager.network.hosts[host.name] = host
        self._manager.store.add_hosts([host])


# -- what a run with a manager and one without have in common ----------------------------------------------------


def dispatch(verbs: dict[str, Callable[[Request], Request]], request: Request) -> Request:
    """Carry out a request by its verb.

    :raises SshjobsError: it cannot be done; nothing of it was
    """
    verb = verbs.get(str(request.get("do")))
    if verb is None:
        raise UsageError(f"the manager does not know how to {request.get('do')!r}",
                         hint="it may be of an older version: end it and resume the run with this one")
    try:
        return verb(request)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the request to {request['do']} cannot be understood", why=str(error)) from error


def new_jobs(reader: RunReader, specs: Iterable[JobSpec], hosts: Iterable[Host], schedule: Schedule) -> list[Job]:
    """Return the jobs that specs stand for, with names and numbers that follow those of the run.

    :raises UsageError: their ``hosts`` match no host, or one cannot be called so
    """
    jobs = list(jobs_from(specs, (host for host in hosts if not host.removed), first=reader.last_number(),
                          taken=lambda name: reader.job(name) is not None))
    for job in jobs:
        job_directory_name(job.name)
        schedule.check(job)
    return jobs


def to_try_again(reader: RunReader, names: Sequence[str] | None) -> tuple[list[Job], list[str]]:
    """Return the jobs that ended without success, of these names or all, and the names of those among them that may
    not be started again."""
    if names is None:
        names = [row.name for row in reader.jobs([STATE_ERROR])]
    ended = [job for job in reader.load(dict.fromkeys(names)) if job.state == STATE_ERROR]
    chosen = [job for job in ended if may_start_over(job)]
    return chosen, [job.name for job in ended if not may_start_over(job)]


def specs_from(data: Iterable[dict[str, Any]]) -> list[JobSpec]:
    """Return the specs that :meth:`JobSpec.as_dict` described."""
    return [JobSpec.from_dict(spec) for spec in data]


def known_hosts(names: Iterable[str], hosts: Iterable[Host]) -> list[Host]:
    """Return the hosts of these names.

    :raises UsageError: the run has no such host
    """
    known = {host.name: host for host in hosts}
    for name in names:
        if name not in known:
            raise UsageError(f"no host of the run is called '{name}'", hint=f"they are {', '.join(list(known)[:8])}")
    return [known[name] for name in names]


def leaving_hosts(names: Sequence[str], hosts: Collection[Host]) -> list[Host]:
    """Return the hosts of these names, which are to leave.

    :raises UsageError: the run has no such host, or would have none left
    """
    leaving = known_hosts(names, hosts)
    if all(host.removed or host.name in names for host in hosts):
        raise UsageError("a run needs a host", hint="add another one first, or cancel the run")
    return leaving


def check_new(hosts: Iterable[Host], known: Iterable[Host]) -> None:
    """:raises UsageError: a host is in the run already"""
    there = {host.name: host for host in known}
    for host in hosts:
        if host.name in there:
            hint = "to use it again after a drain: sshjobs hosts undrain"
            what = "is leaving the run" if there[host.name].removed else "is in the run already"
            raise UsageError(f"the host {what}", where=host.name, hint=hint)


def check_slots(slots: object) -> None:
    """:raises UsageError: no host can have so many"""
    if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= MAX_SLOTS:
        raise UsageError(f"slots cannot be {slots!r}", hint=f"use 1 to {MAX_SLOTS}")


def host_from(data: dict[str, Any]) -> Host:
    """Return the host that :func:`host_data` described."""
    return Host(**{**data, "tags": tuple(data["tags"])})


def host_data(host: Host) -> dict[str, Any]:
    """Return a host as plain data."""
    return asdict(host)
