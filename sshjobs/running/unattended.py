"""Requests to a run with or without a manager: without one, the request changes the store, for the next manager.

The store is taken over for that moment. So callers need not know whether the run has a manager, and any number of them
may call at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from sshjobs.errors import RunBusyError, UsageError
from sshjobs.running import requests
from sshjobs.running.control import ask
from sshjobs.running.requests import Data, Target
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.ownership import check_own
from sshjobs.store.rundir import RunPaths

T = TypeVar("T")

#: Seconds to wait for a manager that is starting or leaving, or for another process that changes the store.
PATIENCE = 45.0
#: The longest pause between two tries, in seconds.
PAUSE = 0.1


class Answer(NamedTuple):
    """The answer to a request. ``live``: a manager carried it out; otherwise it is in the store for the next one."""

    answer: Data
    live: bool


def carry_out(paths: RunPaths, request: Data) -> Answer:
    """Carry out a request, whole or not at all. Its changes are durable when this returns.

    :raises SshjobsError: it cannot be carried out
    :raises RunBusyError: the run has a manager that has taken no requests for :data:`PATIENCE` seconds
    """
    check_own(paths)
    with RunReader.open(paths) as reader:
        uid = reader.summary().uid

    def act() -> Answer:
        answer = ask(uid, request)
        return Answer(change(paths, request), False) if answer is None else Answer(answer, True)

    return patiently(act)


def patiently(act: Callable[[], T]) -> T:
    """Call a function as soon as no other process works on the run.

    :raises RunBusyError: one still does after :data:`PATIENCE` seconds, or it is on another machine
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except RunBusyError as error:
            # A manager is starting or leaving and takes no requests, or another process is changing the store.
            if error.elsewhere or time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(PAUSE / 5, PAUSE))


def change(paths: RunPaths, request: Data) -> Data:
    """Carry out a request on the store of a run without a manager.

    :raises SshjobsError: it cannot be carried out; nothing was changed
    :raises RunBusyError: another process has the run
    """
    store = RunStore.open(paths)
    try:
        store.take_over(ManagerIdentity.this_process())
    except BaseException:
        store.close()
        raise
    try:
        return requests.carry_out(request, Target(paths, store))
    finally:
        store.close(time.time())


def check_names(paths: RunPaths, names: Iterable[str]) -> None:
    """Check that a run has jobs of these names.

    :raises UsageError: it has not
    """
    with RunReader.open(paths) as reader:
        for name in names:
            if reader.job(name) is None:
                near = reader.near_names(name)
                raise UsageError(f"no job is called {name!r}", where=paths.name,
                                 hint=f"did you mean {' or '.join(near)}?" if near else
                                 f"see: sshjobs status {paths.name} --all")
