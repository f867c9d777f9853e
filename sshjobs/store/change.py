"""The changes of the store that a request of a person makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sshjobs.model.host import Host
from sshjobs.model.spec import Job


class Change(NamedTuple):
    """Changes that are written in one transaction, or not at all (:meth:`RunStore.apply`).

    :ivar add: new jobs, added after all others
    :ivar jobs: jobs of the run in their new state
    :ivar brought: jobs of which files were fetched; only that is written
    :ivar cancel: jobs on hosts that are to be ended; kept until they have (:meth:`RunStore.forget_cancelled`)
    :ivar withdraw: jobs to be removed from the run; none of them is on a host
    :ivar hosts: new hosts, and hosts of the run with their new description
    :ivar options: options of the run that change
    :ivar state: the new state of the run; ``None``: unchanged
    """

    add: Sequence[Job] = ()
    jobs: Sequence[Job] = ()
    brought: Sequence[Job] = ()
    cancel: Sequence[Job] = ()
    withdraw: Sequence[Job] = ()
    hosts: Sequence[Host] = ()
    options: Mapping[str, Any] = {}
    state: str | None = None
