"""What a Manager needs of a network, whatever carries it: the contract and the events that come back.

One suite (``tests/contract``) runs over every implementation. All methods are called from one thread, the manager's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from sshjobs.errors import HostError
from sshjobs.model.attempt import Attempt
from sshjobs.model.gpus import GpuReport
from sshjobs.model.host import Host
from sshjobs.model.sharing import Holder, Part
from sshjobs.model.spec import Job
from sshjobs.network.clock import SYSTEM, Clock
from sshjobs.store.rundir import RunPaths


class RunIdentity(NamedTuple):
    """Which run a network works for.

    :ivar uid: 32 hex digits, made with the run, never reused
    :ivar epoch: grows with each manager of the run; hosts refuse a manager older than one they have seen
    """

    uid: str
    name: str
    epoch: int


class HostUp(NamedTuple):
    """A host has answered and can be used. ``facts`` is what it said of itself (docs/protocol.md, ``welcome``), and
    ``until``, in seconds since the epoch, where it is known when it will be gone."""

    host: str
    facts: dict[str, Any]


class HostDown(NamedTuple):
    """A host cannot be reached or used. ``error.lasting``: nobody tries again until a person acts."""

    host: str
    error: HostError


#: Files from so many bytes on may be on a host already: of an earlier run, or because a job has left them there.
KEPT_FROM = 1 << 18
#: The name that stands in a warning that is about this machine and no host.
HERE = "this machine"


class Warned(NamedTuple):
    """A host, or :data:`HERE`, has said something that a person should know."""

    host: str
    message: str


class Silent(NamedTuple):
    """A host that can be used has not answered for so many seconds, and may still; ``None``: it was heard again."""

    host: str
    seconds: float | None


class RoundTrip(NamedTuple):
    """The time of a round trip to a host, in seconds."""

    host: str
    seconds: float


class Pulse(NamedTuple):
    """How a host fares, for people who watch; it comes once a minute.

    :ivar told: by name: ``load``; ``memory`` and ``disk``, free bytes; ``gpus``, use in percent; ``gpu_memory``, used
        bytes; ``jobs``, for each attempt its seconds of CPU and bytes of memory; ``sent`` and ``received``, bytes to
        the host and from it
    """

    host: str
    told: dict[str, Any]


class Shared(NamedTuple):
    """Jobs of the run wait on a host for what others hold there.

    :ivar slots: how many slots the run may have there at present; ``None``: nothing waits any more
    :ivar holders: who hold something there, those with most first, a few of them
    :ivar stalled: how many slots those of its jobs want which wait there
    :ivar parts: the same of what else others hold or these lack: ``memory``, ``scratch``, ``gpus``, ``count.NAME``
    """

    host: str
    slots: int | None
    holders: tuple[Holder, ...]
    stalled: int = 0
    parts: Mapping[str, Part] = MappingProxyType({})


class GpusTold(NamedTuple):
    """What a host told of its GPUs, asked or not."""

    host: str
    report: GpuReport


class Manner(NamedTuple):
    """Whether a host starts jobs, by its manners; what is not told any more when its connection breaks.

    :ivar why: it does not, for this: ``until``, ``hours``, ``away``, ``load`` or ``memory``; ``None``: it does
    :ivar seconds: after which its clock changes that; ``None`` where that is not known
    :ivar value: its load, or the bytes of memory that are free there, where that is why
    """

    host: str
    why: str | None
    seconds: float | None
    value: float | None


class HostClosed(NamedTuple):
    """A host starts no jobs by its manners, for now or (``until``) for good; ``kind`` ``None``: it does again."""

    host: str
    kind: str | None
    reason: str


class Released(NamedTuple):
    """The outputs of these attempts are safe on this side and the host was told so."""

    uids: list[str]


@dataclass(eq=False, repr=False)
class News:
    """What has happened since the last look.

    :ivar jobs: jobs whose newest attempt has changed, in the order of the changes, each once
    :ivar hosts: events of hosts, in order
    :ivar round_trips: the times of the latest round trips to hosts, in seconds
    :ivar pulses: how hosts fare, the newest of each
    :ivar shared: where jobs wait for what others hold, the newest of each host
    :ivar gpus: what hosts told of their GPUs, the newest of each
    :ivar manners: what hosts say of whether they start jobs, the newest of each
    :ivar collected: jobs that run no more, and whose files are on their way
    :ivar fetched: attempts that had ended before, and whose output is complete only now
    :ivar released: attempts whose outputs were synced and given up by their hosts
    """

    jobs: list[Job] = field(default_factory=list)
    hosts: list[HostUp | HostDown | Warned | Silent] = field(default_factory=list)
    released: list[Attempt] = field(default_factory=list)
    round_trips: dict[str, float] = field(default_factory=dict)
    pulses: dict[str, dict[str, Any]] = field(default_factory=dict)
    shared: dict[str, Shared] = field(default_factory=dict)
    gpus: dict[str, GpuReport] = field(default_factory=dict)
    manners: dict[str, Manner] = field(default_factory=dict)
    fetched: list[Attempt] = field(default_factory=list)
    collected: list[Job] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.jobs or self.hosts or self.released or self.fetched or self.collected or self.manners)


def never() -> bool:
    """Be in no hurry."""
    return False


class NetworkContract(ABC):
    """Carries launches to hosts and what became of them back."""

    #: The directory on this machine that runs are kept in.
    results_dir: str
    #: The hosts by name, in the user's order.
    hosts: dict[str, Host]
    #: How many slots hosts have whose user says nothing about it; ``None``: as many as they have cores.
    slots: int | None = None
    #: What a manager on this network goes by.
    clock: Clock = SYSTEM

    @abstractmethod
    def GetHosts(self) -> list[str]:
        """Return the names of all hosts, in the user's order."""

    @abstractmethod
    def LaunchJob(self, job: Job, host: str) -> str:
        """Have a job's newest attempt started on a host and return the attempt's id there.

        The launch leaves at once, or, between :meth:`hold` and :meth:`flush`, when it is flushed. Launching the
        same attempt again never starts it twice. Does not block.
        """

    @abstractmethod
    def GetJobStatus(self, jobs: Sequence[Job]) -> list[str]:
        """Return the state of each job's newest attempt as far as it is known here, in the order of ``jobs``."""

    @abstractmethod
    def GetStdout(self, job: Job) -> str:
        """Return what has come back of the job's standard output (bytes that are not UTF-8 as lone surrogates)."""

    @abstractmethod
    def GetStderr(self, job: Job) -> str:
        """Return what has come back of the job's standard error, as :meth:`GetStdout`."""

    @abstractmethod
    def open(self, run: RunIdentity, paths: RunPaths, *, hurry: bool = False) -> None:
        """Begin to contact every host, for a run. Does not block; the hosts' answers come as news.

        :param hurry: every host is expected to have work: its agent begins as soon as it has come there, which saves a
            way there and back. On a host that comes up only as the run ends, it then makes files and removes them a
            moment later, instead of making none
        """

    @abstractmethod
    def adopt(self, jobs: Iterable[Job], boots: Mapping[str, str],
              told: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Take over attempts of an earlier manager: ask their hosts what became of them. Before :meth:`open`.

        :param boots: by host, the boot id that it had when that manager last heard of it
        :param told: by host, all that was known of it then (the facts of :class:`HostUp`)
        """

    @abstractmethod
    def launch_for_boot(self, host: str, boot: str) -> None:
        """Have what is launched on a host from now on start there only as long as it has not booted again: what it was
        prepared for is gone then. What cannot be started for that is taken back. Without a word about a host its boots
        do not matter."""

    @abstractmethod
    def keep_files_of(self, entries: Iterable[str]) -> None:
        """Have hosts keep the files that jobs of these entries leave there, as far as they are large and their cache
        has room: jobs that follow on the same host need them, and are sent them where it does not have them."""

    @abstractmethod
    def hold(self) -> None:
        """Keep launches back until :meth:`flush`, so that their intent can be committed first."""

    @abstractmethod
    def flush(self) -> None:
        """Send what was held back, and hold again what comes after.

        :raises LocalError: the disk has no room to put the output of earlier attempts aside; nothing has left, and
            this may be called again
        """

    @abstractmethod
    def wait(self, timeout: float, linger: float = 0.0) -> News:
        """Return what has happened, waiting up to ``timeout`` seconds for the first of it.

        What the network's own work in the background died of is raised here: nothing more is to come then.

        :param linger: when something has happened, wait so many seconds more for what else does: fewer, fuller turns
        """

    @abstractmethod
    def cancel(self, job: Job) -> None:
        """End the newest attempt of a job, or prove that it never starts. Its end comes as news."""

    @abstractmethod
    def condemn(self, job: Job, reason: str) -> None:
        """Declare the newest attempt of a job lost, at once and without asking its host, which is away. Should the
        host come back, what still runs of it is ended."""

    @abstractmethod
    def fence(self, job: Job) -> None:
        """Take the newest attempt of a job back from its host if it has not started there. Its end comes as news."""

    @abstractmethod
    def pause(self, job: Job, paused: bool) -> None:
        """Stop the processes of the newest attempt of a job where they are, or let them go on."""

    @abstractmethod
    def add_host(self, host: Host) -> None:
        """Begin to contact a further host."""

    @abstractmethod
    def remove_host(self, host: str) -> None:
        """End the session with a host on which nothing of the run is left to do."""

    @abstractmethod
    def set_slots(self, host: str, slots: int) -> None:
        """Change how many jobs a host takes at a time; what runs there is left alone."""

    @abstractmethod
    def ask_gpus(self, host: str) -> None:
        """Ask a host how its GPUs are, if it can be reached; the answer comes as news within seconds."""

    @abstractmethod
    def release(self, attempts: Sequence[Attempt]) -> None:
        """Let the hosts forget ended attempts, once their outputs are on this machine's disk. Answered by news."""

    @abstractmethod
    def wake(self) -> None:
        """Make a :meth:`wait` in progress return. May be called from any thread."""

    @abstractmethod
    def close(self, *, finished: bool, hurried: Callable[[], bool] = never) -> list[str]:
        """End the session with every host and stop all threads and processes of it, in bounded time.

        :param finished: the run is over: hosts remove all that is left of it. Else they go on working
        :param hurried: asked several times a second meanwhile, in the caller's thread: once it is true, hosts are not
            waited for any longer; when it is true again, nothing is
        :return: lines about what could not be removed, for a person
        """
