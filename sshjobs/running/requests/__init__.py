"""What people ask of a run: more jobs, other hosts, a pause, another try. One file a request.

A request comes as a plain dict, as it passes over the control socket; so goes its answer. Each exists once, whether a
manager lives or not: it is checked, then written to the store in one transaction, and then, where there is a manager,
takes effect in it. So it is carried out whole or not at all, and what was answered is on the disk.
"""

from __future__ import annotations

import contextlib

from sshjobs.errors import LocalError, StoreError, UsageError
from sshjobs.running.requests.add import Add
from sshjobs.running.requests.base import Data, Request
from sshjobs.running.requests.cancel import Cancel
from sshjobs.running.requests.fetched import Fetched
from sshjobs.running.requests.finish import Finish
from sshjobs.running.requests.hosts_add import AddHosts, host_data
from sshjobs.running.requests.hosts_drain import DrainHosts, UndrainHosts
from sshjobs.running.requests.hosts_lost import LoseHosts
from sshjobs.running.requests.hosts_remove import RemoveHosts
from sshjobs.running.requests.hosts_slots import SetSlots
from sshjobs.running.requests.leave import Leave
from sshjobs.running.requests.pause import Pause, Unpause
from sshjobs.running.requests.retry import Retry
from sshjobs.running.requests.stop import Stop
from sshjobs.running.requests.target import Target
from sshjobs.running.requests.withdraw import Withdraw

#: Every request by its verb.
REQUESTS: dict[str, type[Request]] = {
    request.verb: request
    for request in (Add, AddHosts, Cancel, DrainHosts, Fetched, Finish, Leave, LoseHosts, Pause, RemoveHosts, Retry,
                    SetSlots, Stop, UndrainHosts, Unpause, Withdraw)}

__all__ = ["REQUESTS", "Data", "Target", "carry_out", "host_data", "understand"]


def understand(data: Data) -> Request:
    """Return the request that such a dict asks for.

    :raises UsageError: there is none, or its keys are not as they must be
    """
    verb = str(data.get("do"))
    if verb not in REQUESTS:
        raise UsageError(f"the manager does not know how to {data.get('do')!r}",
                         hint="it may be of an older version: end it and resume the run with this one")
    try:
        return REQUESTS[verb](data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the request to {verb} cannot be understood", why=str(error)) from error


def carry_out(data: Data, target: Target) -> Data:
    """Carry a request out. What it changes is on the disk when this returns, or the answer says why it is not yet
    (``unwritten``): a manager acts on what is urgent all the same, and writes it when it can.

    :raises SshjobsError: it cannot be done; nothing of it was
    :raises LocalError: this machine can write nothing down at present; nothing of it was done
    """
    request = understand(data)
    trouble = None if target.manager is None else target.manager.trouble
    if trouble is not None and not request.urgent:
        raise LocalError("the manager waits and can note nothing", where=target.paths.name, why=str(trouble),
                         hint="nothing was done; ask again when that is over")
    target.blocked = trouble is not None
    change, answer = request.check(target)
    unwritten: StoreError | None = None
    try:
        target.store.check_place()
        request.on_disk(target)
        target.store.apply(change)
    except OSError as error:
        raise LocalError.of(error, "it cannot be done on this machine's disk", where=str(target.paths.root)) from error
    except StoreError as error:
        if target.manager is None or not request.urgent:
            raise
        unwritten = error
    if target.manager is not None:
        request.take_effect(target.manager)
        if unwritten is not None:
            answer["unwritten"] = str(unwritten)
            target.store.set_options(**change.options)
            for job in request.chosen:
                target.store.touch(job)
        # What follows from it in the manager, such as the ends of jobs that waited, is written now if that can be.
        with contextlib.suppress(StoreError):
            target.store.commit()
    return answer
