"""Who holds what of hosts, and has used them: asked of the hosts themselves, each over a connection of its own.

What a host answers is hostile until it is checked here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.oneshot import ask_hosts, told_by
from sshjobs.network.protocol.fields import COUNT, NAME, SENTENCE, SIZE, TIME, Maybe, Real, Record, Several

#: Hosts at a time: a stock sshd, or a jump host, turns more logins at once away.
AT_ONCE = 8
#: Seconds for one host to answer; runs that one may tell of.
PATIENCE, _MOST = 30.0, 1000
_AMOUNT = Real(0, 1e15)


class Held(NamedTuple):
    """What one run of one person holds of a host.

    :ivar uid: of the person there; ``user`` is the name that goes with it, ``None`` where the host does not know it
    :ivar jobs: for how many jobs; ``slots``, how many of these they take; ``memory``, bytes that they may need
    :ivar units: UUIDs of the GPUs
    :ivar since: since when the first of it is held, seconds since the epoch
    """

    uid: int
    user: str | None
    run: str
    jobs: int
    slots: int
    memory: int
    units: list[str]
    since: float


class Waits(NamedTuple):
    """Somebody waits for something of a host: so many slots, since then."""

    uid: int
    user: str | None
    slots: int
    since: float


class Shares(NamedTuple):
    """What a host tells of who holds what there. ``why`` says why it knows nothing."""

    holders: list[Held]
    waits: list[Waits]
    why: str | None


class Used(NamedTuple):
    """What one run of one person has used of a host.

    :ivar jobs: how many began
    :ivar slots: seconds of one slot; ``memory``, seconds of one GiB; ``units``, seconds of one GPU
    """

    uid: int
    user: str | None
    run: str
    jobs: int
    slots: float
    memory: float
    units: float


class Usage(NamedTuple):
    """What was used of a host, as far back as it knows: ``first``, seconds since the epoch."""

    used: list[Used]
    first: float


_PERSON: dict[str, Any] = {"uid": COUNT, "user": Maybe(NAME)}
_HELD = Record({**_PERSON, "run": NAME, "jobs": COUNT, "slots": COUNT, "memory": SIZE, "units": Several(NAME, 1000),
                "since": TIME})
_WAITS = Record({**_PERSON, "slots": COUNT, "since": TIME})
_SHARES = Record({"holders": Several(_HELD, _MOST), "waits": Several(_WAITS, _MOST), "why": Maybe(SENTENCE)})
_USED = Record({**_PERSON, "run": NAME, "jobs": COUNT, "slots": _AMOUNT, "memory": _AMOUNT, "units": _AMOUNT})
_USAGE = Record({"used": Several(_USED, _MOST), "first": TIME})

_T = TypeVar("_T")


def who(hosts: Sequence[Host], *, transport: str | None = None, ssh_config: str | None = None,
        accept_new_host_keys: bool = False) -> list[Shares | HostError]:
    """Ask hosts who holds what there, all runs of all persons, and return their answers in order.

    Changes nothing there. Blocks until all have answered or their time is over.

    :param transport: as for :class:`sshjobs.network.Network`, and so are the next two
    """
    return _ask(hosts, {"verb": "who"}, _shares, transport, ssh_config, accept_new_host_keys)


def usage(hosts: Sequence[Host], seconds: float, *, transport: str | None = None, ssh_config: str | None = None,
          accept_new_host_keys: bool = False) -> list[Usage | HostError]:
    """Ask hosts what was used of them in the last so many seconds, as :func:`who` does."""
    return _ask(hosts, {"verb": "usage", "seconds": seconds}, _usage, transport, ssh_config, accept_new_host_keys)


def _ask(hosts: Sequence[Host], request: Mapping[str, Any], taken: Callable[[Any], _T], transport: str | None,
         ssh_config: str | None, accept: bool) -> list[_T | HostError]:
    told = asyncio.run(ask_hosts(hosts, lambda host: request, transport=transport, ssh_config=ssh_config,
                                 accept_new_host_keys=accept, at_once=AT_ONCE, patience=PATIENCE))
    return [told_by(host, result, taken, "who holds what") for host, result in zip(hosts, told, strict=True)]


def _shares(answer: Any) -> Shares:
    told = _SHARES.take(answer)
    return Shares([Held(**one) for one in told["holders"]], [Waits(**one) for one in told["waits"]], told["why"])


def _usage(answer: Any) -> Usage:
    told = _USAGE.take(answer)
    return Usage([Used(**one) for one in told["used"]], told["first"])
