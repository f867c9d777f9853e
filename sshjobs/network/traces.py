"""What runs have left on hosts: asked of the hosts themselves, each over a connection of its own, without an agent.

What a host answers is hostile until it is checked here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.oneshot import MOST_PARTS, ask_hosts, told_by
from sshjobs.network.protocol.fields import (
    COUNT,
    NAME,
    PATH,
    PID,
    SENTENCE,
    SIGNAL,
    SIZE,
    STATUS,
    TIME,
    UID,
    Flag,
    Maybe,
    Pair,
    Record,
    Several,
    Word,
)

#: Hosts at a time: a stock sshd, or a jump host, turns more logins at once away.
AT_ONCE = 8
#: Seconds for one host to answer, and to end what is to be ended there.
PATIENCE, SWEEP_PATIENCE = 30.0, 90.0


@dataclass(frozen=True)
class AttemptTrace:
    """What a host keeps of an attempt that was not released.

    :ivar uid: ``<job number>.<attempt number>``
    :ivar state: ``running``, ``ended``, or ``reboot``: the host went down since
    :ivar why: as in ``ended`` (docs/protocol.md), ``None`` before the end or after a fence
    :ivar out: bytes in its file of stdout there; ``err`` those of stderr
    """

    uid: str
    state: str
    token: str
    why: str | None
    status: int | None
    signal: int | None
    out: int
    err: int


@dataclass(frozen=True)
class DirectoryTrace:
    """The directory of one run and host.

    :ivar run: uid of the run
    :ivar host: by what :func:`host_key` is of the host's name
    :ivar base: its path there
    :ivar agent: an agent serves it
    :ivar boots: identities of the boots in which something was done there
    :ivar idle: seconds since something was written down
    :ivar files: how many files are in it, ``left`` how many of these no job is to keep there
    :ivar kept: attempts whose directories stay there on purpose
    """

    run: str
    host: str
    base: str
    agent: bool
    boots: frozenset[str]
    idle: float
    files: int
    attempts: tuple[AttemptTrace, ...]
    left: int = 0
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProcessTrace:
    """A living process: of a job (``token``), or an agent or runner (``base`` is its directory), or below one.

    :ivar user: whose it is, where it is not of the user who asks
    """

    pid: int
    start: int
    state: str
    token: str
    job: str
    run: str
    base: str | None
    user: int | None


@dataclass(frozen=True)
class HostTraces:
    """All that a host has told.

    :ivar boot: identity of its present boot
    :ivar inputs: how many files are kept there for later runs
    """

    boot: str
    inputs: int
    directories: tuple[DirectoryTrace, ...]
    processes: tuple[ProcessTrace, ...]


@dataclass
class Swept:
    """What was removed from a host, and what was not: paths with the reason."""

    processes: int = 0
    directories: int = 0
    files: int = 0
    doors: int = 0
    kept: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Broom:
    """What is to be removed from a host.

    :ivar tokens: of attempts whose processes are to end
    :ivar directories: with whether an agent there is to end too
    :ivar inputs: also the inputs that are kept for later runs
    """

    tokens: tuple[str, ...] = ()
    directories: tuple[tuple[DirectoryTrace, bool], ...] = ()
    inputs: bool = False


_ATTEMPT = Record({"id": UID, "state": Word(frozenset(("running", "ended", "reboot"))), "token": NAME,
                   "why": Maybe(NAME), "status": Maybe(STATUS), "signal": Maybe(SIGNAL), "out": SIZE, "err": SIZE})
_DIRECTORY = Record({"run": NAME, "host": NAME, "base": PATH, "agent": Flag(), "boots": Several(NAME, MOST_PARTS),
                     "changed": TIME, "files": COUNT, "left": COUNT, "kept": Several(UID, MOST_PARTS),
                     "attempts": Several(_ATTEMPT, MOST_PARTS)})
_PROCESS = Record({"pid": PID, "start": SIZE, "state": NAME, "token": NAME, "job": SENTENCE, "run": NAME,
                   "base": Maybe(PATH), "user": Maybe(COUNT)})
_SURVEY = Record({"boot": NAME, "clock": TIME, "inputs": COUNT, "directories": Several(_DIRECTORY, MOST_PARTS),
                  "processes": Several(_PROCESS, MOST_PARTS)})
_SWEEP = Record({"processes": COUNT, "directories": COUNT, "files": COUNT, "doors": COUNT,
                 "kept": Several(Pair(PATH, SENTENCE), MOST_PARTS)})

_T = TypeVar("_T")


def host_key(name: str) -> str:
    """Return what the directory of a host of this name is called, below that of a run."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def survey(hosts: Sequence[Host], run: str | None = None, *, transport: str | None = None,
           ssh_config: str | None = None, accept_new_host_keys: bool = False) -> list[HostTraces | HostError]:
    """Ask hosts what they have of a run (``None``: of every run) and return their answers in order.

    Changes nothing there. Blocks until all have answered or their time is over.

    :param transport: as for :class:`sshjobs.network.Network`, and so are the next two
    """
    told = asyncio.run(ask_hosts(hosts, lambda host: {"verb": "survey", "run": run}, transport=transport,
                                 ssh_config=ssh_config, accept_new_host_keys=accept_new_host_keys, at_once=AT_ONCE,
                                 patience=PATIENCE))
    return [told_by(host, result, _traces, "what is there") for host, result in zip(hosts, told, strict=True)]


def sweep(brooms: Mapping[Host, Broom], *, transport: str | None = None, ssh_config: str | None = None,
          accept_new_host_keys: bool = False) -> list[Swept | HostError]:
    """Have hosts remove what is named, and doors of agents that are gone; return what they did, in order."""
    def request(host: Host) -> dict[str, Any]:
        broom = brooms[host]
        return {"verb": "sweep", "tokens": broom.tokens, "inputs": broom.inputs, "directories": [
            {"run": one.run, "host": one.host, "ids": [attempt.uid for attempt in one.attempts], "staff": staff}
            for one, staff in broom.directories]}

    told = asyncio.run(ask_hosts(list(brooms), request, transport=transport, ssh_config=ssh_config,
                                 accept_new_host_keys=accept_new_host_keys, at_once=AT_ONCE,
                                 patience=SWEEP_PATIENCE))
    return [told_by(host, result, _swept, "what is there") for host, result in zip(brooms, told, strict=True)]


def _traces(answer: Any) -> HostTraces:
    told = _SURVEY.take(answer)
    return HostTraces(told["boot"], told["inputs"],
                      tuple(_directory(one, told["clock"]) for one in told["directories"]),
                      tuple(ProcessTrace(**one) for one in told["processes"]))


def _directory(told: dict[str, Any], clock: float) -> DirectoryTrace:
    return DirectoryTrace(told["run"], told["host"], told["base"], told["agent"], frozenset(told["boots"]),
                          clock - told["changed"], told["files"],
                          tuple(AttemptTrace(uid=one.pop("id"), **one) for one in told["attempts"]), told["left"],
                          tuple(told["kept"]))


def _swept(answer: Any) -> Swept:
    return Swept(**_SWEEP.take(answer))
