"""JobSpec (what to run), Job (one JobSpec to be carried to an end) and Attempt (one launch of a job).

Pure: no clock, no disk, no process. Whoever changes a state or an outcome here says why in its own place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from sshjobs.errors import UsageError
from sshjobs.model.causes import Cause
from sshjobs.model.given import LONGEST_S, check, check_number, check_texts, wrong
from sshjobs.model.states import STATE_BUSY, STATE_FREE, Outcome

#: How often an end that is nobody's fault (lost, never started, reboot) is retried without being asked.
DEFAULT_HOST_RETRIES = 3

#: What becomes of the processes that a job leaves running when its main process ends.
LEFTOVERS = ("kill", "keep")
OUTPUTS = ("file", "pipe")

#: How often one job may be tried again.
MAX_RETRIES = 1000
#: What can be added to the niceness of a job.
MAX_NICE = 19
#: The highest number that a repeat of an entry may have.
MAX_INDEX = 10**9


class JobPaths(Protocol):
    """Where a run keeps what its jobs write."""

    def stdout(self, name: str) -> Path:
        """Return the file of a job's standard output."""

    def stderr(self, name: str) -> Path:
        """Return the file of a job's standard error."""


class _Common:
    """What the repeats of an entry have in common. Whoever changes it has made a copy of it first."""

    __slots__ = ("argv", "base_dir", "call", "cmds", "cwd", "env", "files", "host_retries", "hosts", "lease",
                 "leftovers", "login", "nice", "once", "output", "per_host", "retries", "stdin", "strict", "timeout")

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
    :param env: environment variables, literal text; a number is the text that shows it
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
    :param output: ``file``: it writes into files; ``pipe``: into pipes, for a program that opens ``/dev/stdout`` or
        ``/dev/stderr`` itself, which would empty a file. Where commands or argv name those it gets pipes anyway
    :param call: a Python such as ``3.11``, which the host must have. ``argv`` is then a Python program among ``files``
        and its arguments, which a process on the host has loaded already (see ``sshjobs.gjob.calls``)
    :param hosts: names, globs or tags of hosts, one of which a host must match; empty is any host
    :param per_host: run once on every host (that ``hosts`` admits)
    :param index: which of the repeats of its entry it is, from 1
    :param base_dir: directory that ``files`` and ``stdin`` are relative to; ``None`` is the current one
    :raises UsageError: nothing to run, or both ``cmds`` and ``argv``
    """

    #: What :meth:`as_dict` tells.
    _KEYS = ("argv", "base_dir", "call", "cmds", "cwd", "env", "files", "host_retries", "hosts", "index", "lease",
             "leftovers", "login", "name", "nice", "once", "output", "per_host", "retries", "stdin", "strict",
             "timeout")

    #: Not written out, as attributes that are shared may be set, too: they are properties, made below.
    __slots__ = tuple("_common _mine index name".split())

    argv: list[str] | None
    base_dir: str | None
    call: str | None
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
    output: str
    per_host: bool
    retries: int
    stdin: str | None
    strict: bool
    timeout: float | None

    def __init__(self, cmds: str | Sequence[str] = (), files: Sequence[str] = (), name: str | None = None, *,
                 argv: Sequence[str] | None = None, env: Mapping[str, str | int | float] | None = None,
                 cwd: str | None = None, timeout: float | None = None, retries: int = 0,
                 host_retries: int = DEFAULT_HOST_RETRIES,
                 once: bool = False, stdin: str | None = None, nice: int = 0, login: bool = False,
                 strict: bool = True, leftovers: str = "kill", hosts: Sequence[str] = (), per_host: bool = False,
                 index: int = 1, base_dir: str | Path | None = None, lease: float | None = None,
                 output: str = "file", call: str | None = None):
        check("name", name, str, none=True)
        lines = [cmds] if isinstance(cmds, str) else check_texts("cmds", cmds, where=name)
        words = None if argv is None else check_texts("argv", argv, where=name)
        if bool(lines) == bool(words):
            what = "takes commands or argv, not both" if lines else "has nothing to run"
            raise UsageError(f"a job {what}", where=name, hint="give commands (lines of a script) or argv (words)")
        check_number("index", index, 0, MAX_INDEX, whole=True, where=name)
        self.name, self.index = name, index
        #: What all repeats share, one object for all of them; and whether nobody shares it yet.
        self._common, self._mine = _Common(
            cmds=lines, files=check_texts("files", files, where=name), argv=words or None, env=_variables(env, name),
            cwd=cwd, timeout=timeout, lease=lease, retries=retries, host_retries=host_retries, once=once, stdin=stdin,
            nice=nice, login=login, strict=strict, leftovers=leftovers, hosts=check_texts("hosts", hosts, where=name),
            output=output, per_host=per_host, call=call, base_dir=None if base_dir is None else str(base_dir)), True
        check("base_dir", base_dir, str, PathLike, none=True, where=name)
        _check(self._common, name)

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
        """Return the spec that :meth:`as_dict` described.

        :raises UsageError: it describes none
        """
        check("the description of a job", data, Mapping)
        unknown = [key for key in data if key not in cls._KEYS]
        if unknown:
            raise UsageError(f"a job has no {unknown[0]!r:.60}", hint=f"it has {', '.join(cls._KEYS)}")
        return cls(**data)

    def __repr__(self) -> str:
        return f"JobSpec(name={self.name!r}, {'argv' if self.argv else 'cmds'}={self.argv or self.cmds!r})"


def _check(values: Any, name: str | None) -> None:
    """:raises UsageError: one of them cannot be"""
    for key in ("once", "login", "strict", "per_host"):
        if not isinstance(getattr(values, key), bool):
            check(key, getattr(values, key), bool, where=name)
    for key, most in (("retries", MAX_RETRIES), ("host_retries", MAX_RETRIES), ("nice", MAX_NICE)):
        check_number(key, getattr(values, key), 0, most, whole=True, where=name)
    for key in ("timeout", "lease"):
        if getattr(values, key) is not None:
            check_number(key, getattr(values, key), 0, LONGEST_S, above=True, where=name)
    for key in ("cwd", "stdin", "call"):
        check(key, getattr(values, key), str, none=True, where=name)
    if values.call is not None and not values.argv:
        raise UsageError("a call takes argv: a program of Python and its arguments", where=name)
    if values.leftovers not in LEFTOVERS:
        raise UsageError(f"leftovers cannot be {values.leftovers!r:.60}", where=name, hint="use kill or keep")
    if values.output not in OUTPUTS:
        raise UsageError(f"output cannot be {values.output!r:.60}", where=name, hint="use file or pipe")
    if values.output == "pipe" and values.leftovers == "keep":
        raise UsageError("output: pipe and leftovers: keep exclude each other", where=name,
                         hint="what is left running has nobody to read its pipe: have it write to a file of its own")


def _variables(env: Mapping[str, object] | None, name: str | None) -> dict[str, str]:
    """Return environment variables; a number is the text that shows it, as in a jobfile.

    :raises UsageError: they are none
    """
    if env is None:
        return {}
    check("env", env, Mapping, dict, where=name)
    for key, value in env.items():
        check("a variable's name", key, str, where=name)
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise wrong(f"env {key}", value, "text or a number", where=name)
    return {key: str(value) for key, value in env.items()}


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
        if not (isinstance(n, int) and isinstance(uid, str) and isinstance(host, str) and isinstance(token, str)):
            raise UsageError("an attempt is Attempt(number, uid, host, token)", why=f"got {n!r:.40}, {uid!r:.40}, …")
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

    @property
    def seconds(self) -> float | None:
        """For how long it ran, by its host's clock; ``None`` until it ended, and where it did not start."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)

    def __repr__(self) -> str:
        return f"Attempt({self.uid} on {self.host}, {_standing(self)})"


class Job:
    """The record of a job: its spec, where it stands and its attempts.

    :ivar id_: what ``Network.LaunchJob`` answered for the newest attempt
    :ivar host: the host of the newest attempt
    :ivar index: place in the run, from 0; the job's number is ``index + 1``
    :ivar paused: a person has paused it; ``False``: it was paused, and its host may not have heard yet that it goes on;
        ``None``: neither
    :ivar reason: in words, why it is where it is
    :raises UsageError: no :class:`JobSpec`
    """

    __slots__ = ("attempts", "exit_status", "host", "id_", "index", "name", "only_host", "outcome", "paths", "paused",
                 "reason", "signal", "spec", "state")

    def __init__(self, job_spec: JobSpec, index: int = 0, name: str | None = None):
        if not (isinstance(job_spec, JobSpec) and isinstance(index, int) and (name is None or isinstance(name, str))):
            raise UsageError("a job is Job(JobSpec(…), number, name)", why=f"got {type(job_spec).__name__}, "
                             f"{type(index).__name__}, {type(name).__name__}")
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
        #: Where the run that it belongs to keeps what jobs write.
        self.paths: JobPaths | None = None

    @property
    def stdout(self) -> Path:
        """The file of its standard output (its newest attempt's); there once it was launched.

        :raises UsageError: the job belongs to no run yet
        """
        return self._here().stdout(self.name)

    @property
    def stderr(self) -> Path:
        """The file of its standard error (its newest attempt's); there once it was launched.

        :raises UsageError: the job belongs to no run yet
        """
        return self._here().stderr(self.name)

    @property
    def seconds(self) -> float | None:
        """For how long its newest attempt ran, by its host's clock; ``None`` until it ended, and where it did not
        start."""
        return self.attempts[-1].seconds if self.attempts else None

    def _here(self) -> JobPaths:
        if self.paths is None:
            raise UsageError("the job belongs to no run yet, so it has no outputs", where=self.name)
        return self.paths

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
        where = f" on {self.host}" if self.host else ""
        return f"Job({self.name!r}{where}, {_standing(self)})"


def _standing(record: Attempt | Job) -> str:
    """Return where a job or an attempt stands in a few words: ``busy``, ``error, failed, exit 3, 1.2 s``."""
    words: list[str] = [record.state]
    if record.outcome is not None:
        words.append(record.outcome.value)
    if record.exit_status:
        words.append(f"exit {record.exit_status}")
    if record.signal:
        words.append(f"signal {record.signal}")
    if record.seconds is not None:
        words.append(f"{record.seconds:.1f} s")
    return ", ".join(words)


def start_over(job: Job) -> None:
    """Let a job that ended wait for a further attempt."""
    job.state, job.reason = STATE_FREE, "tried again by hand"
    job.outcome = job.exit_status = job.signal = None


def may_start_over(job: Job) -> bool:
    """Tell whether a person may have a job tried again: not after success, nor after a start of one with ``once``."""
    if job.outcome in (None, Outcome.SUCCEEDED):
        return False
    return not job.spec.once or never_started(job)


def never_started(job: Job) -> bool:
    """Tell whether no attempt of a job has started, for certain."""
    return all(attempt.outcome is Outcome.NEVER_STARTED for attempt in job.attempts)
