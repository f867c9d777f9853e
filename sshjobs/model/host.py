"""Host: one machine that jobs can run on. Cluster: hosts behind one management host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

#: What may become of jobs that run when their host's time is over.
AT_END = ("finish", "stop", "pause")


class Login(NamedTuple):
    """Where to log in, as ``[user@]address[:port]`` says it."""

    user: str | None
    address: str
    port: int | None


@dataclass(frozen=True)
class Host:
    """One machine, as its user named it.

    :ivar name: how it is called everywhere, unique within a run; an ssh_config alias, say
    :ivar user: login name, ``None`` where ssh decides
    :ivar port: TCP port, ``None`` where ssh decides
    :ivar slots: how many jobs may run there at a time, ``None`` for as many as it has cores
    :ivar python: path or name of the interpreter on the host, ``None`` for ``python3``
    :ivar tags: words that jobs can select it by
    :ivar local: true for this machine, reached without ssh
    :ivar drained: a person wants nothing more launched there
    :ivar removed: a person has taken it out of the run
    :ivar env: environment variables of jobs there, with their values; what a job says itself counts more
    :ivar wrap: words that are put before the program of a job there that says nothing about that itself
    :ivar memory: bytes of memory that jobs there may need together, ``None`` for what it has; ``scratch``: the same of
        its free disk
    :ivar gpus: which of its GPUs jobs may be given, by number or UUID, ``None`` for all of them
    :ivar gpu_busy: bytes of a GPU's memory in use from which on it is not free, ``None`` for the default
    :ivar counts: counters of it that jobs may need, with how much there is of each
    :ivar slurm: what is asked of Slurm for the allocation that this host is a node of, by its keys
        (:data:`sshjobs.model.allocation.KEYS`); empty for a host that is none
    :ivar share: of what each person has a right to there while others want it too, how much is enough; 1 is all of it
    :ivar max_load: no job is started while the load of the last minute is above that, ``None`` for whatever it is
    :ivar min_free: no job is started while fewer bytes of memory are free
    :ivar only: the minutes of its day, by its own clock, from and until which jobs are started; the second may be less
    :ivar at_end: what becomes of jobs that run when that time is over: one of :data:`AT_END`; ``None`` is the first
    :ivar until: seconds since the epoch after which nothing is started there any more, by this machine's clock
    :ivar nice: what is added to the niceness of jobs there that say nothing about that
    :ivar via: name of the management host that it is reached through, ``None`` for directly
    """

    name: str
    user: str | None = None
    port: int | None = None
    slots: int | None = None
    python: str | None = None
    tags: tuple[str, ...] = ()
    local: bool = False
    via: str | None = None
    drained: bool = False
    removed: bool = False
    env: tuple[tuple[str, str], ...] = ()
    wrap: tuple[str, ...] = ()
    memory: int | None = None
    scratch: int | None = None
    counts: tuple[tuple[str, int], ...] = ()
    slurm: tuple[tuple[str, str], ...] = ()
    share: float = 1.0
    gpus: tuple[str, ...] | None = None
    gpu_busy: int | None = None
    max_load: float | None = None
    min_free: int | None = None
    only: tuple[int, int] | None = None
    at_end: str | None = None
    until: float | None = None
    nice: int | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Host:
        """Return the host that ``dataclasses.asdict`` described, and JSON has kept.

        :raises TypeError: it describes none
        """
        env = tuple((str(name), str(value)) for name, value in data.get("env", ()))
        counts = tuple((str(name), int(number)) for name, number in data.get("counts", ()))
        slurm, only = tuple((str(key), str(value)) for key, value in data.get("slurm", ())), data.get("only")
        gpus = data.get("gpus")
        return cls(**{**data, "tags": tuple(data["tags"]), "env": env, "wrap": tuple(data.get("wrap", ())),
                      "counts": counts, "slurm": slurm, "gpus": None if gpus is None else tuple(map(str, gpus)),
                      "only": None if only is None else (int(only[0]), int(only[1]))})

    def matches(self, selectors: Sequence[str]) -> bool:
        """Tell whether one of the selectors (a name, a glob or a tag) means this host; none means every host."""
        return not selectors or any(
            selector in self.tags or selector == self.name or fnmatchcase(self.name, selector)
            for selector in selectors
        )


@dataclass(frozen=True)
class Cluster:
    """Hosts behind one management host.

    :ivar manager: the management host, ``None`` where the workers are contacted directly
    :ivar workers: the hosts that run jobs
    """

    manager: Host | None
    workers: tuple[Host, ...] = field(default=())


def split_login(name: str) -> Login:
    """Return the parts of ``[user@]host[:port]``; an IPv6 address with a port stands in brackets, which go."""
    user, _, rest = name.rpartition("@")
    if rest.startswith("["):
        address, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        address, _, port = rest.partition(":")
    else:
        address, port = rest, ""
    return Login(user or None, address, int(port) if port.isdigit() else None)


def login_of(host: Host) -> Login:
    """Return where to log in to reach a host; what its fields say counts more than its name."""
    return Login(host.user, split_login(host.name).address, host.port)
