"""Requests of people to a run: more jobs, other hosts, a pause, another try. One file a request.

Requests and answers are plain dicts, as they pass over the control socket. The same code serves with and without a
manager: a request is checked, then written to the store in one transaction, and then takes effect in the manager, if
there is one. So it is carried out whole or not at all, and is on the disk before the answer.
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

#: All requests by verb.
REQUESTS: dict[str, type[Request]] = {
    request.verb: request
    for request in (Add, AddHosts, Cancel, DrainHosts, Fetched, Finish, Leave, LoseHosts, Pause, RemoveHosts, Retry,
                    SetSlots, Stop, UndrainHosts, Unpause, Withdraw)}

__all__ = ["REQUESTS", "Data", "Target", "carry_out", "host_data", "understand"]


def understand(data: Data) -> Request:
    """Return the request for such a dict.

    :raises UsageError: the verb is unknown, or its keys are wrong
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
    """Carry a request out. Its changes are on the disk when this returns, or the answer says why they are not yet
    (``unwritten``): an urgent request takes effect in a manager even then, and is written later.

    :raises SshjobsError: it cannot be carried out; nothing was changed
    :raises LocalError: this machine cannot write to the store now; nothing was changed
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
            target.store.note_cancelled(change.cancel)
            for job in request.chosen:
                target.store.touch(job)
        # Consequences in the manager, such as the ends of waiting jobs, are written now if possible.
        with contextlib.suppress(StoreError):
            target.store.commit()
    return answer
