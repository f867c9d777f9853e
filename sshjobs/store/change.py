"""What a request of a person changes in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sshjobs.model.host import Host
from sshjobs.model.spec import Job


class Change(NamedTuple):
    """Written in one transaction, or not at all (:meth:`RunStore.apply`).

    :ivar add: new jobs, behind those that are there
    :ivar jobs: jobs that are there, as they stand from then on
    :ivar brought: jobs of which files were fetched since; only that is written of them
    :ivar cancel: jobs on hosts that are to be ended, which is known until they have (:meth:`RunStore.forget_cancelled`)
    :ivar withdraw: jobs that are in the run no more; none of them is on a host
    :ivar hosts: new hosts, and hosts that are there as they are described from then on
    :ivar options: those of the run that change
    :ivar state: the state of the run; ``None`` leaves it
    """

    add: Sequence[Job] = ()
    jobs: Sequence[Job] = ()
    brought: Sequence[Job] = ()
    cancel: Sequence[Job] = ()
    withdraw: Sequence[Job] = ()
    hosts: Sequence[Host] = ()
    options: Mapping[str, Any] = {}
    state: str | None = None
