"""Requests to a run whatever its state: its manager carries them out or, where it has none, the next one will.

Without a manager a request changes the run's store, which is taken over for that moment. So whoever asks need not know
whether the run is attended, and any number may ask at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from sshjobs.errors import RunBusyError, UsageError
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec, start_over
from sshjobs.model.states import FINAL_STATES
from sshjobs.running.control import ask
from sshjobs.running.operations import (
    Request,
    check_new,
    check_slots,
    dispatch,
    host_from,
    known_hosts,
    leaving_hosts,
    new_jobs,
    specs_from,
    to_try_again,
)
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.rundir import RunPaths

T = TypeVar("T")

#: Seconds that a manager which begins or leaves, or somebody else who changes the store, is waited for.
PATIENCE = 45.0
#: The longest pause between two tries, in seconds.
PAUSE = 0.1


class Answer(NamedTuple):
    """What came of a request. ``live``: a manager carried it out; else it is in the store for the next one."""

    answer: Request
    live: bool


def carry_out(paths: RunPaths, request: Request) -> Answer:
    """Have a request carried out, whole or not at all. What it changes is durable when this returns.

    :raises SshjobsError: it cannot be done
    :raises RunBusyError: a manager has the run that takes no requests, for :data:`PATIENCE` seconds
    """
    with RunReader.open(paths) as reader:
        uid = reader.summary().uid

    def act() -> Answer:
        answer = ask(uid, request)
        return Answer(change(paths, request), False) if answer is None else Answer(answer, True)

    return patiently(act)


def patiently(act: Callable[[], T]) -> T:
    """Do something that somebody else's work on the run may stand in the way of, as soon as it does not.

    :raises RunBusyError: it still does after :data:`PATIENCE` seconds, or is done on another machine
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except RunBusyError as error:
            # A manager begins and does not listen yet, or leaves and listens no more, or it is somebody like us.
            if error.elsewhere or time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(PAUSE / 5, PAUSE))


def change(paths: RunPaths, request: Request) -> Request:
    """Carry out a request on the store of a run that nobody manages.

    :raises SshjobsError: it cannot be done; nothing of it was
    :raises RunBusyError: somebody has the run
    """
    store = RunStore.open(paths)
    try:
        store.take_over(ManagerIdentity.this_process())
    except BaseException:
        store.close()
        raise
    try:
        with RunReader.open(paths) as reader:
            answer = _Changes(paths, store, reader).handle(request)
        store.commit()
    finally:
        store.close(time.time())
    return answer


class _Changes:
    """Carries out requests on a store that was taken over."""

    def __init__(self, paths: RunPaths, store: RunStore, reader: RunReader):
        self._paths, self._store, self._reader = paths, store, reader
        self._hosts = [row.host for row in reader.hosts()]
        self._verbs: dict[str, Callable[[Request], Request]] = {
            "add": lambda ask: self._add(specs_from(ask["specs"])),
            "retry": lambda ask: self._retry(ask.get("jobs")),
            "pause": lambda ask: self._pause(ask.get("jobs"), True),
            "unpause": lambda ask: self._pause(ask.get("jobs"), False),
            "hosts-add": lambda ask: self._add_hosts([host_from(host) for host in ask["hosts"]]),
            "hosts-drain": lambda ask: self._redescribe(known_hosts(ask["hosts"], self._hosts), drained=True),
            "hosts-undrain": lambda ask: self._redescribe(known_hosts(ask["hosts"], self._hosts), drained=False,
                                                          removed=False),
            "hosts-lost": lambda ask: self._lose(),
            "hosts-remove": lambda ask: self._redescribe(leaving_hosts(ask["hosts"], self._hosts), drained=True,
                                                         removed=True),
            "hosts-slots": lambda ask: self._set_slots(ask["hosts"], ask["slots"]),
            "finish": lambda ask: self._finish(),
        }

    def handle(self, request: Request) -> Request:
        return dispatch(self._verbs, request)

    def _add(self, specs: Iterable[JobSpec]) -> Request:
        jobs = new_jobs(self._reader, specs, self._hosts, Schedule(host for host in self._hosts if not host.removed))
        self._store.add_jobs(jobs, state=self._reopened())
        return {"ok": True, "jobs": [job.name for job in jobs]}

    def _retry(self, names: Sequence[str] | None) -> Request:
        chosen, refused = to_try_again(self._reader, names)
        for job in chosen:
            start_over(job)
            self._store.touch(job)
        if chosen and (state := self._reopened()) is not None:
            self._store.set_run_state(state)
        return {"ok": True, "jobs": [job.name for job in chosen], "refused": refused}

    def _reopened(self) -> str | None:
        """Return the state of a run in which jobs wait from now on; ``None`` where it stays as it is."""
        return None if self._reader.summary().stored_state == "running" else "interrupted"

    def _pause(self, names: Sequence[str] | None, paused: bool) -> Request:
        if names is not None:
            raise UsageError("nobody manages the run, so none of its jobs can be paused or go on",
                             where=self._paths.name, hint=f"first: sshjobs resume {self._paths.name}")
        self._store.set_options(paused=paused)
        return {"ok": True, "jobs": None}

    def _add_hosts(self, hosts: Sequence[Host]) -> Request:
        check_new(hosts, [host for host in self._hosts if not host.removed])
        self._store.add_hosts(hosts)
        return {"ok": True}

    def _set_slots(self, names: Sequence[str], slots: int) -> Request:
        check_slots(slots)
        return self._redescribe(known_hosts(names, self._hosts), slots=slots)

    def _lose(self) -> Request:
        # Whether a host is really away only a manager can see.
        raise UsageError("nobody manages the run, so nobody has missed the host", where=self._paths.name,
                         hint=f"first: sshjobs resume {self._paths.name} --detach")

    def _redescribe(self, hosts: Sequence[Host], **changes: bool | int) -> Request:
        self._store.add_hosts([replace(host, **changes) for host in hosts])  # type: ignore[arg-type]
        return {"ok": True}

    def _finish(self) -> Request:
        self._store.set_options(stays_open=False)
        summary = self._reader.summary()
        if not any(number for state, number in summary.counts.items() if state not in FINAL_STATES):
            self._store.set_run_state(summary.ending)
        return {"ok": True}
