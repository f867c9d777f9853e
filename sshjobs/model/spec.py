"""JobSpec (what to run), Job (one JobSpec to be carried to an end) and Attempt (one launch of a job).

Pure: no clock, no disk, no process. Whoever changes a state or an outcome here says why in its own place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from operator import attrgetter
from pathlib import Path
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.model.causes import Cause
from sshjobs.model.states import STATE_BUSY, STATE_FREE, Outcome

#: How often an end that is nobody's fault (lost, never started, reboot) is retried without being asked.
DEFAULT_HOST_RETRIES = 3

#: What becomes of the processes that a job leaves running when its main process ends.
LEFTOVERS = ("kill", "keep")


class _Common:
    """What the repeats of an entry have in common. Whoever changes it has made a copy of it first."""

    __slots__ = ("argv", "base_dir", "cmds", "cwd", "env", "files", "host_retries", "hosts", "lease", "leftovers",
                 "login", "nice", "once", "per_host", "retries", "stdin", "strict", "timeout")

    def __init__(self, **values: Any):
        for key, value in values.items():
            setattr(self, key, value)


class JobSpec:
    """Describes what it takes to run one job.

    Exactly one of ``cmds`` and ``argv`` says what to run.

    :param cmds: lines of a script, run by ``bash -e -o pipefail`` in one shell; a string is one line
    :param files: paths of files and directories to place in the attempt's working directory, relative to ``base_dir``
    :param name: name of the job; ``None`` leaves it to whoever builds the jobs (``job``)
    :param argv: a program and its arguments, run without a shell
    :param env: environment variables, literal text
    :param cwd: directory on the host to run in; ``None`` is the attempt's own working directory
    :param timeout: seconds after which the job is ended with outcome ``timed_out``; ``None`` is no limit
    :param lease: seconds without a manager after which its host ends the job by itself, so that it may run elsewhere;
        ``None``: a job runs on for ever
    :param retries: how often an end that is the job's own (failed, signalled, timed out) is tried again
    :param host_retries: the same for ends that are nobody's fault (lost, never started, reboot)
    :param once: forbids every second start, whatever happened to the first
    :param stdin: path of a file that the job reads as standard input, relative to ``base_dir``; ``None`` is /dev/null
    :param nice: what to add to the niceness of the job, 0 to 19
    :param login: run the script in a login shell
    :param strict: the script ends at the first failing command, ``pipefail`` included
    :param leftovers: ``kill`` or ``keep`` what the job left running when its main process ended
    :param hosts: names, globs or tags of hosts, one of which a host must match; empty is any host
    :param per_host: run once on every host (that ``hosts`` admits)
    :param index: which of the repeats of its entry it is, from 1
    :param base_dir: directory that ``files`` and ``stdin`` are relative to; ``None`` is the current one
    :raises UsageError: nothing to run, or both ``cmds`` and ``argv``
    """

    #: What :meth:`as_dict` tells.
    _KEYS = ("argv", "base_dir", "cmds", "cwd", "env", "files", "host_retries", "hosts", "index", "lease", "leftovers",
             "login", "name", "nice", "once", "per_host", "retries", "stdin", "strict", "timeout")

    #: Not written out, as attributes that are shared may be set, too: they are properties, made below.
    __slots__ = tuple("_common _mine index name".split())

    argv: list[str] | None
    base_dir: str | None
    cmds: list[str]
    cwd: str | None
    env: dict[str, str]
    files: list[str]
    host_retries: int
    hosts: list[str]
    lease: float | None
    leftovers: str
    login: bool
    nice: int
    once: bool
    per_host: bool
    retries: int
    stdin: str | None
    strict: bool
    timeout: float | None

    def __init__(self, cmds: str | Sequence[str] = (), files: Sequence[str] = (), name: str | None = None, *,
                 argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None, cwd: str | None = None,
                 timeout: float | None = None, retries: int = 0, host_retries: int = DEFAULT_HOST_RETRIES,
                 once: bool = False, stdin: str | None = None, nice: int = 0, login: bool = False,
                 strict: bool = True, leftovers: str = "kill", hosts: Sequence[str] = (), per_host: bool = False,
                 index: int = 1, base_dir: str | Path | None = None, lease: float | None = None):
        lines = [cmds] if isinstance(cmds, str) else list(cmds)
        if bool(lines) == bool(argv):
            what = "takes commands or argv, not both" if lines else "has nothing to run"
            raise UsageError(f"a job {what}", where=name, hint="give commands (lines of a script) or argv (words)")
        if leftovers not in LEFTOVERS:
            raise UsageError(f"leftovers cannot be {leftovers!r}", where=name, hint="use kill or keep")
        self.name, self.index = name, index
        #: What all repeats share, one object for all of them; and whether nobody shares it yet.
        self._common, self._mine = _Common(
            cmds=lines, files=list(files), argv=list(argv) if argv else None, env=dict(env or {}), cwd=cwd,
            timeout=timeout, lease=lease, retries=retries, host_retries=host_retries, once=once, stdin=stdin, nice=nice,
            login=login, strict=strict, leftovers=leftovers, hosts=list(hosts), per_host=per_host,
            base_dir=None if base_dir is None else str(base_dir)), True

    def named(self, name: str | None, index: int = 1) -> JobSpec:
        """Return a copy with another name and repeat number, which shares everything else with this one."""
        # A run of a million repeats makes a million: little time, and little memory.
        other = object.__new__(type(self))
        other.name, other.index, other._common = name, index, self._common
        self._mine = other._mine = False
        return other

    def repeats(self, other: JobSpec) -> bool:
        """Tell whether this and another come from one entry: they differ in name and number only."""
        return self._common is other._common

    def __copy__(self) -> JobSpec:
        return self.named(self.name, self.index)

    def _change(self, key: str, value: Any) -> None:
        """Set what is shared, for this spec alone."""
        if not self._mine:
            self._common, self._mine = copy(self._common), True
        setattr(self._common, key, value)

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain data; :meth:`from_dict` turns it back."""
        return {key: getattr(self, key) for key in self._KEYS}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobSpec:
        """Return the spec that :meth:`as_dict` described."""
        return cls(**data)

    def __repr__(self) -> str:
        return f"JobSpec(name={self.name!r}, {'argv' if self.argv else 'cmds'}={self.argv or self.cmds!r})"


def _shared(key: str) -> property:
    """Return the attribute of a spec that its repeats share."""
    # By attrgetter, which takes half as long as a function of Python's.
    return property(attrgetter(f"_common.{key}"), lambda spec, value: spec._change(key, value))


for _key in _Common.__slots__:
    setattr(JobSpec, _key, _shared(_key))


class Attempt:
    """One launch of a job on one host.

    :ivar n: its number within the job, from 1, never reused
    :ivar uid: its name on the wire and on the host, ``<job number>.<n>``
    :ivar token: random text in the job's environment, by which its processes are recognised; empty once it is released
    :ivar started: seconds since the epoch by the host's clock; ``None`` until it is known
    :ivar cause: why it ended as it did, where the outcome alone does not tell
    :ivar reason: what was said about that, by its host or by us; :func:`sshjobs.model.causes.explain` makes a sentence
    :ivar pid: process id of its main process on the host; ``None`` until it is known
    :ivar out_size: bytes of its standard output, ``err_size`` of its standard error; ``None`` until it ended
    :ivar out_crc: crc32 of its standard output, ``err_crc`` of its standard error; ``None`` until it ended, and where
        several managers took it in
    :ivar cpu: seconds of processor time that it used; ``None`` where the host does not tell
    :ivar rss: the most memory that it had resident, in bytes; ``None`` where the host does not tell
    :ivar released: nothing of it that is needed is on its host any more
    """

    __slots__ = ("cause", "cpu", "ended", "err_crc", "err_size", "exit_status", "host", "n", "out_crc", "out_size",
                 "outcome", "pid", "reason", "released", "rss", "signal", "started", "state", "token", "uid")

    def __init__(self, n: int, uid: str, host: str, token: str):
        self.n, self.uid, self.host, self.token = n, uid, host, token
        self.state = STATE_BUSY
        self.outcome: Outcome | None = None
        self.exit_status: int | None = None
        self.signal: int | None = None
        self.started: float | None = None
        self.ended: float | None = None
        self.cause: Cause | None = None
        self.reason: str | None = None
        self.pid: int | None = None
        self.out_size: int | None = None
        self.err_size: int | None = None
        self.out_crc: int | None = None
        self.err_crc: int | None = None
        self.cpu: float | None = None
        self.rss: int | None = None
        self.released = False


class Job:
    """The record of a job: its spec, where it stands and its attempts.

    :ivar id_: what ``Network.LaunchJob`` answered for the newest attempt
    :ivar host: the host of the newest attempt
    :ivar index: place in the run, from 0; the job's number is ``index + 1``
    :ivar paused: a person has paused it; ``False``: it was paused, and its host may not have heard yet that it goes on;
        ``None``: neither
    :ivar reason: in words, why it is where it is
    """

    __slots__ = ("attempts", "exit_status", "host", "id_", "index", "name", "only_host", "outcome", "paused", "reason",
                 "signal", "spec", "state")

    def __init__(self, job_spec: JobSpec, index: int = 0, name: str | None = None):
        self.spec = job_spec
        self.index = index
        self.name = name or job_spec.name or "job"
        self.id_: str | None = None
        self.host: str | None = None
        #: The host that a ``per_host`` job belongs to.
        self.only_host: str | None = None
        self.state = STATE_FREE
        self.paused: bool | None = None
        self.outcome: Outcome | None = None
        self.exit_status: int | None = None
        self.signal: int | None = None
        self.reason: str | None = None
        self.attempts: list[Attempt] = []

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt, ``None`` before the first launch."""
        return self.attempts[-1] if self.attempts else None

    def new_attempt(self, host: str, token: str) -> Attempt:
        """Add the record of a further attempt and return it. Its number is one more than any before."""
        n = self.attempts[-1].n + 1 if self.attempts else 1
        attempt = Attempt(n, f"{self.index + 1}.{n}", host, token)
        if self.attempts:
            self.attempts.append(attempt)
        else:
            # Most jobs have one, and a list that grows takes room for four.
            self.attempts = [attempt]
        self.host = host
        return attempt

    def __repr__(self) -> str:
        return f"Job({self.name!r}, {self.state}{f', {self.outcome}' if self.outcome else ''})"


def start_over(job: Job) -> None:
    """Let a job that ended wait for a further attempt."""
    job.state, job.reason = STATE_FREE, "tried again by hand"
    job.outcome = job.exit_status = job.signal = None


def may_start_over(job: Job) -> bool:
    """Tell whether a person may have a job tried again: not after success, nor after a start of one with ``once``."""
    if job.outcome in (None, Outcome.SUCCEEDED):
        return False
    return not job.spec.once or all(attempt.outcome is Outcome.NEVER_STARTED for attempt in job.attempts)
