"""Host: one machine that jobs can run on. Cluster: hosts behind one management host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

#: What can be done to jobs that run when their host closes by the clock.
AT_END = ("finish", "stop", "pause")


class Login(NamedTuple):
    """Where to log in: the parts of ``[user@]address[:port]``."""

    user: str | None
    address: str
    port: int | None


@dataclass(frozen=True)
class Host:
    """One machine, as its user named it.

    :ivar name: its name everywhere, unique within a run; for example an ssh_config alias
    :ivar user: login name, ``None`` where ssh decides
    :ivar port: TCP port, ``None`` where ssh decides
    :ivar slots: how many jobs may run there at a time, ``None`` for as many as it has cores
    :ivar python: path or name of the interpreter on the host, ``None`` for ``python3``
    :ivar tags: words that jobs can select it by
    :ivar local: true for this machine, reached without ssh
    :ivar drained: a person wants nothing more launched there
    :ivar removed: a person has taken it out of the run
    :ivar env: environment variables for jobs there; those of the job itself take precedence
    :ivar wrap: words that are put before the program of a job there, unless the job has its own
    :ivar memory: bytes of memory that jobs there may need together, ``None`` for all it has; ``scratch``: the same for
        its free disk
    :ivar gpus: which of its GPUs jobs may use, by number or UUID, ``None`` for all of them
    :ivar gpu_busy: a GPU with at least so many bytes in use is not free, ``None`` for the default
    :ivar counts: its counters, with the amount of each
    :ivar slurm: the request for the Slurm allocation that this host is a node of, by its keys
        (:data:`sshjobs.model.allocation.KEYS`); empty for other hosts
    :ivar share: how much of their equal part this run's user wants there while others want it, too; 1 is all of it
    :ivar max_load: no job is started while the load of the last minute is above that, ``None`` for whatever it is
    :ivar min_free: no job is started while fewer bytes of memory are free
    :ivar only: jobs are started between these two minutes of the day, by the host's clock; over midnight the second is
        less than the first
    :ivar at_end: what is done to running jobs when that time is over: one of :data:`AT_END`; ``None`` is the first
    :ivar until: nothing is started there after that time: seconds since the epoch, by this machine's clock
    :ivar nice: the niceness of jobs there that have none of their own
    :ivar via: name of the management host through which it is reached, ``None``: directly
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
        """Return the host that ``dataclasses.asdict`` described, after a round trip through JSON.

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
        """Return whether one of the selectors (a name, a glob or a tag) matches this host; without any, all match."""
        return not selectors or any(
            selector in self.tags or selector == self.name or fnmatchcase(self.name, selector)
            for selector in selectors
        )


class Cluster(NamedTuple):
    """Hosts behind one management host.

    :ivar manager: the management host, ``None`` where the workers are contacted directly
    :ivar workers: the hosts that run jobs
    """

    manager: Host | None
    workers: tuple[Host, ...] = ()


def split_login(name: str) -> Login:
    """Return the parts of ``[user@]host[:port]``. Brackets around an IPv6 address with a port are removed."""
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
    """Return where to log in to reach a host. Its fields take precedence over its name."""
    return Login(host.user, split_login(host.name).address, host.port)
