"""JobSpec (what to run) and Job (one JobSpec to be carried to an end).

Pure data: no clock, no disk, no process. The code that changes a state or an outcome says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sshjobs.errors import UsageError
from sshjobs.model.attempt import Attempt, LeftOut, standing
from sshjobs.model.given import check, check_number, check_texts
from sshjobs.model.keys import KEYS, KeysGiven, KeysHeld, spelled_out
from sshjobs.model.params import NAME
from sshjobs.model.retrying import grows
from sshjobs.model.sent import taken
from sshjobs.model.states import STATE_FREE, Outcome

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: The highest number that a repeat of an entry may have.
MAX_INDEX = 10**9


class JobPaths(Protocol):
    """Where a run keeps what its jobs write."""

    def stdout(self, name: str) -> Path:
        """Return the file of a job's standard output."""

    def stderr(self, name: str) -> Path:
        """Return the file of a job's standard error."""


class _Common:
    """The part of a spec that all jobs of an entry share. Copy it before a change.

    A key that was not given has no attribute of its own: the class has its default.
    """

    argv: list[str] | None
    base_dir: str | None
    call: str | None
    cmds: list[str]
    entry: str | None = None
    param_names: Sequence[str] = ()
    templates: Sequence[str] = ()


#: The attributes that all jobs of an entry share; those of them that several entries never share, as they are mutable.
_SHARED = ("argv", "base_dir", "call", "cmds", "entry", "param_names", "templates", *KEYS)
_OWN = tuple((name, type(key.default)) for name, key in KEYS.items() if isinstance(key.default, (list, dict)))


class JobSpec(KeysHeld):
    """Describes what it takes to run one job.

    Exactly one of ``cmds`` and ``argv`` says what to run.

    :param cmds: lines of a script, run by ``bash -e -o pipefail`` in one shell; a string is one line
    :param files: paths of files and directories to place in the attempt's working directory, relative to ``base_dir``
    :param name: name of the job; ``None`` leaves it to the code that builds the jobs (``job``)
    :param argv: a program and its arguments, run without a shell
    :param call: the version of Python, such as ``3.11``, that the host must have. ``argv`` is then a Python program
        among ``files`` and its arguments, run by a fork server on the host (see ``sshjobs.gjob.calls``)
    :param index: which of the repeats of its entry it is, from 1
    :param entry: the name of its entry; ``None``: the same as its own
    :param params: its parameters, text by their names
    :param base_dir: directory that ``files`` and ``stdin`` are relative to; ``None`` is the current one
    :param keys: what a jobfile says under the same names (docs/jobfile.md); times are seconds, ``env`` takes numbers
        too
    :raises UsageError: nothing to run, both ``cmds`` and ``argv``, or a value that is not allowed
    """

    #: The attributes in :meth:`as_dict`.
    _KEYS = tuple(sorted({"name", "index", "params", *_SHARED} - {"param_names", "templates"}))

    #: Annotations only: shared attributes are properties, which are made below.
    __slots__ = tuple("_common _mine index name values".split())

    argv: list[str] | None
    base_dir: str | None
    call: str | None
    cmds: list[str]
    entry: str | None
    param_names: Sequence[str]
    templates: Sequence[str]

    @spelled_out
    def __init__(self, cmds: str | Sequence[str] = (), files: Sequence[str | Mapping[str, Any]] = (),
                 name: str | None = None, *, argv: Sequence[str] | None = None, index: int = 1,
                 base_dir: str | Path | None = None, call: str | None = None, entry: str | None = None,
                 params: Mapping[str, str] | None = None,
                 **keys: Unpack[KeysGiven]):
        check("name", name, str, none=True)
        check("entry", entry, str, none=True, where=name)
        lines = [cmds] if isinstance(cmds, str) else check_texts("cmds", cmds, where=name)
        words = None if argv is None else check_texts("argv", argv, where=name)
        if bool(lines) == bool(words):
            what = "takes commands or argv, not both" if lines else "has nothing to run"
            raise UsageError(f"a job {what}", where=name, hint="give commands (lines of a script) or argv (words)")
        check("call", call, str, none=True, where=name)
        if call is not None and not words:
            raise UsageError("a call takes argv: a program of Python and its arguments", where=name)
        check_number("index", index, 0, MAX_INDEX, whole=True, where=name)
        check("base_dir", base_dir, str, PathLike, none=True, where=name)
        self.name, self.index = name, index
        common = _Common()
        #: The shared part, one object for all jobs of the entry; whether no other spec shares it yet.
        self._common, self._mine = common, True
        common.call = call
        common.cmds, common.argv, common.base_dir = lines, words or None, None if base_dir is None else str(base_dir)
        if entry is not None:
            common.entry = entry
        #: The values of its parameters, in the order of their names; ``None`` for one that it does not have.
        self.values: tuple[str | None, ...] = ()
        if params:
            common.param_names, self.values = tuple(params), tuple(_checked_params(params, name))
        given = {"files": files, **keys}
        for key, value in given.items():
            if key not in KEYS:
                raise _no_such_key(key)
            setattr(common, key, KEYS[key].checked(key, value, name))
        for key, make in _OWN:
            if key not in given:
                setattr(common, key, make())
        for one in taken(self.files):
            if one.entry not in self.after:
                raise UsageError(f"files: from: '{one.entry}' is not named by after", where=name,
                                 hint=f"write after: {one.entry}, or correct it")
        if (self.cwd or "").startswith(("/", "~")) and any(how["carry"] for how in self.outputs.values()):
            raise UsageError(
                "carry: true needs a directory of the job's own", where=name,
                why="files are placed there, and nowhere else", hint="leave cwd out, or make it a relative path")
        if self.output == "pipe" and self.leftovers == "keep":
            raise UsageError(
                "output: pipe and leftovers: keep exclude each other", where=name,
                hint="what is left running has nobody to read its pipe: have it write to a file of its own")
        if self.output_limit is not None and self.leftovers == "keep":
            raise UsageError(
                "output_limit and leftovers: keep exclude each other", where=name,
                hint="what is left running has nobody to keep its output short: have it write to a file of its own")
        if self.output_limit is not None and call is not None:
            raise UsageError("a call takes no output_limit: its answer comes as its output", where=name,
                             hint="leave output_limit out")
        if self.memory is None and grows(self.retries, "memory"):
            raise UsageError("retries would raise memory, and the job says no memory", where=name,
                             hint="say how much it needs at first: memory: 4G")

    def named(self, name: str | None, index: int = 1, values: tuple[str | None, ...] | None = None) -> JobSpec:
        """Return a copy with another name and repeat number, which shares everything else with this one.

        :param values: those of its parameters, in the order of ``param_names``; ``None``: the same
        """
        # A run may make a million of these copies, so they take little time and memory.
        other = object.__new__(type(self))
        other.name, other.index, other._common = name, index, self._common
        other.values = self.values if values is None else values
        self._mine = other._mine = False
        return other

    @property
    def params(self) -> dict[str, str]:
        """Its parameters: text, by their names."""
        return {name: value for name, value in zip(self.param_names, self.values, strict=True) if value is not None}

    @property
    def entry_name(self) -> str:
        """The name by which its entry is spoken of."""
        return self.entry or self.name or "job"

    @property
    def kind(self) -> int:
        """A number that all jobs of its entry have in common, and no others: they share the text of what they run."""
        return id(self._common.argv or self._common.cmds)

    def shared(self) -> dict[str, Any]:
        """Return the shared part as plain data: what to run, the keys, the names of the parameters, and which texts
        hold placeholders. The inverse is :func:`sshjobs.model.template.from_shared`."""
        return {key: getattr(self._common, key) for key in _SHARED}

    def repeats(self, other: JobSpec) -> bool:
        """Return whether this spec and another are jobs of one entry."""
        return self._common is other._common

    def __copy__(self) -> JobSpec:
        return self.named(self.name, self.index)

    def _change(self, key: str, value: Any) -> None:
        """Set a shared attribute, for this spec alone."""
        if not self._mine:
            self._common, self._mine = copy(self._common), True
        setattr(self._common, key, value)

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain data. The inverse is :meth:`from_dict`."""
        return {key: getattr(self, key) for key in self._KEYS}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JobSpec:
        """Return the spec that :meth:`as_dict` described.

        :raises UsageError: it describes none
        """
        check("the description of a job", data, Mapping)
        for key in data:
            if key not in cls._KEYS:
                raise _no_such_key(key)
        return cls(**data)

    def __repr__(self) -> str:
        return f"JobSpec(name={self.name!r}, {'argv' if self.argv else 'cmds'}={self.argv or self.cmds!r})"


def _checked_params(params: Mapping[str, str], name: str | None) -> Iterator[str]:
    check("params", params, Mapping, where=name)
    for parameter, value in params.items():
        check("the name of a parameter", parameter, str, where=name)
        if not NAME.fullmatch(parameter):
            raise UsageError(f"a parameter cannot be called {parameter!r:.60}", where=name,
                             hint="use letters, digits and _, and begin with a letter")
        check(parameter, value, str, where=name)
        yield value


def _no_such_key(key: object) -> UsageError:
    return UsageError(f"a job has no {key!r:.60}", hint=f"it has {', '.join(JobSpec._KEYS)}")


def _shared(key: str) -> property:
    """Return a property for an attribute that the jobs of an entry share."""
    # By attrgetter, which takes half as long as a Python function.
    return property(attrgetter(f"_common.{key}"), lambda spec, value: spec._change(key, value))


for _name in _SHARED:
    setattr(JobSpec if _name not in KEYS else KeysHeld, _name, _shared(_name))
for _name, _key in KEYS.items():
    setattr(_Common, _name, _key.default)


class Job:
    """The record of a job: its spec, where it stands and its attempts.

    :ivar id_: what ``Network.LaunchJob`` answered for the newest attempt
    :ivar host: the host of the newest attempt
    :ivar index: place in the run, from 0; the job's number is ``index + 1``
    :ivar sources: by entry: the names of the jobs whose files are inputs of its next attempt
    :ivar paused: ``True``: a person has paused it; ``False``: it goes on again, which its host may not know yet;
        ``None``: neither
    :ivar not_before: it is not tried again before that time, seconds since the epoch by the manager's clock
    :ivar reason: why it is in its state, in words
    :raises UsageError: no :class:`JobSpec`
    """

    __slots__ = ("attempts", "exit_status", "host", "id_", "index", "name", "not_before", "only_host", "outcome",
                 "paths", "paused", "reason", "signal", "sources", "spec", "state")

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
        self.not_before: float | None = None
        self.outcome: Outcome | None = None
        self.exit_status: int | None = None
        self.signal: int | None = None
        self.reason: str | None = None
        self.attempts: list[Attempt] = []
        self.sources: Mapping[str, Sequence[str]] | None = None
        #: Where its run keeps the output of jobs.
        self.paths: JobPaths | None = None

    @property
    def stdout(self) -> Path:
        """The file of its standard output (its newest attempt's); it exists once the job was launched.

        :raises UsageError: the job belongs to no run yet
        """
        return self._here().stdout(self.name)

    @property
    def stderr(self) -> Path:
        """The file of its standard error (its newest attempt's); it exists once the job was launched.

        :raises UsageError: the job belongs to no run yet
        """
        return self._here().stderr(self.name)

    @property
    def seconds(self) -> float | None:
        """How long its newest attempt ran, by its host's clock; ``None`` until it ended, and if it did not start."""
        return self.attempts[-1].seconds if self.attempts else None

    @property
    def result(self) -> dict[str, Any]:
        """The result of its newest attempt: a new mapping each time; empty until it ended, and if it left none."""
        return self.attempts[-1].result if self.attempts else {}

    @property
    def left_out(self) -> LeftOut | None:
        """What was left out of the outputs of its newest attempt, as ``output_limit`` wants it: ``at``, behind how many
        bytes, and how many, ``out`` of standard output and ``err`` of standard error. ``None``: nothing."""
        return self.attempts[-1].left_out if self.attempts else None

    def _here(self) -> JobPaths:
        if self.paths is None:
            raise UsageError("the job belongs to no run yet, so it has no outputs", where=self.name)
        return self.paths

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt, ``None`` before the first launch."""
        return self.attempts[-1] if self.attempts else None

    def new_attempt(self, host: str, token: str) -> Attempt:
        """Add a further attempt and return it. Its number is one more than any before."""
        n = self.attempts[-1].n + 1 if self.attempts else 1
        attempt = Attempt(n, f"{self.index + 1}.{n}", host, token)
        if self.attempts:
            self.attempts.append(attempt)
        else:
            # Most jobs have one attempt, and a list that grows takes room for four.
            self.attempts = [attempt]
        self.host = host
        return attempt

    def __repr__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        return f"Job({self.name!r}{where}, {standing(self)})"


def start_over(job: Job) -> None:
    """Let a job that ended wait for a further attempt."""
    job.state, job.reason, job.not_before = STATE_FREE, "retried by a person", None
    job.outcome = job.exit_status = job.signal = None


def may_start_over(job: Job) -> bool:
    """Return whether a person may have a job tried again: not after success, and not after a start if it has
    ``once``."""
    if job.outcome in (None, Outcome.SUCCEEDED):
        return False
    return not job.spec.once or never_started(job)


def never_started(job: Job) -> bool:
    """Return whether it is certain that no attempt of a job has started."""
    return all(attempt.outcome is Outcome.NEVER_STARTED for attempt in job.attempts)
