"""Requests to a run whatever its state: its manager carries them out or, where it has none, the next one will.

Without a manager a request changes the run's store, which is taken over for that moment. So those who ask need not know
whether the run is attended, and any number may ask at once.
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

#: Seconds that a manager which begins or leaves, or somebody else who changes the store, is waited for.
PATIENCE = 45.0
#: The longest pause between two tries, in seconds.
PAUSE = 0.1


class Answer(NamedTuple):
    """What came of a request. ``live``: a manager carried it out; else it is in the store for the next one."""

    answer: Data
    live: bool


def carry_out(paths: RunPaths, request: Data) -> Answer:
    """Have a request carried out, whole or not at all. What it changes is durable when this returns.

    :raises SshjobsError: it cannot be done
    :raises RunBusyError: a manager has the run that takes no requests, for :data:`PATIENCE` seconds
    """
    check_own(paths)
    with RunReader.open(paths) as reader:
        uid = reader.summary().uid

    def act() -> Answer:
        answer = ask(uid, request)
        return Answer(change(paths, request), False) if answer is None else Answer(answer, True)

    return patiently(act)


def patiently(act: Callable[[], T]) -> T:
    """Do something as soon as no other process works on the run.

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


def change(paths: RunPaths, request: Data) -> Data:
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
        return requests.carry_out(request, Target(paths, store))
    finally:
        store.close(time.time())


def check_names(paths: RunPaths, names: Iterable[str]) -> None:
    """Make sure that a run has jobs of these names.

    :raises UsageError: it has not
    """
    with RunReader.open(paths) as reader:
        for name in names:
            if reader.job(name) is None:
                near = reader.near_names(name)
                raise UsageError(f"no job is called {name!r}", where=paths.name,
                                 hint=f"did you mean {' or '.join(near)}?" if near else
                                 f"see: sshjobs status {paths.name} --all")
