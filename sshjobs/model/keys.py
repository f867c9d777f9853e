"""The keys of a job, one entry each: its allowed values, its default, and its meaning.

Everything that needs all keys reads this table: what a JobSpec takes, checks and holds; what the store keeps and a
launch carries; what ``Builder.AddJob`` takes; what a jobfile may say, and its JSON Schema.

A key stands here three times: in :data:`KEYS`; in :class:`KeysGiven` with the types that a program may give; in
:class:`KeysHeld` with the type that a spec holds. What to run (commands, argv) and the name are not keys in this sense.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple, TypedDict, TypeVar

from sshjobs.errors import UsageError
from sshjobs.model import after, outputs, retrying, sent
from sshjobs.model.given import LONGEST_S, MAX_SLOTS, check, check_number, check_texts, wrong
from sshjobs.model.gpus import checked_need
from sshjobs.model.needs import checked_counters
from sshjobs.model.retrying import MAX_RETRIES, Retries
from sshjobs.model.sizes import parse_kept, parse_memory

#: How often an end that is nobody's fault (lost, never started, reboot) is retried by default.
DEFAULT_HOST_RETRIES = 3
#: The highest exit status that there is.
MAX_STATUS = 255
#: The highest priority, and the highest ``max_parallel``.
MAX_PRIORITY, MAX_PARALLEL = 1000, 1_000_000

#: What an item of ``uses`` may be.
USES = ("path", "text")


class Kind:
    """The allowed values of a key.

    :cvar as_written: a number in a jobfile counts as the text that was written: ``027``, ``1e3``
    """

    as_written = False

    def checked(self, name: str, value: Any, where: str | None) -> Any:
        """Return a value in the form that a spec holds.

        :param where: the name of the job, for the message
        :raises UsageError: the value is not allowed
        """
        raise NotImplementedError


class Flag(Kind):
    """True or false."""

    def checked(self, name: str, value: Any, where: str | None) -> bool:
        if not isinstance(value, bool):
            check(name, value, bool, where=where)
        return bool(value)


class Whole(Kind):
    """A whole number from ``least`` to ``most``."""

    __match_args__ = ("least", "most")

    def __init__(self, least: int, most: int):
        self.least, self.most = least, most

    def checked(self, name: str, value: Any, where: str | None) -> int:
        check_number(name, value, self.least, self.most, whole=True, where=where)
        return int(value)


class Seconds(Kind):
    """A length of time above zero, or ``None``; in a jobfile with units (``2h30m``)."""

    as_written = True

    def checked(self, name: str, value: Any, where: str | None) -> float | None:
        check_number(name, value, 0, LONGEST_S, above=True, none=True, where=where)
        return value  # type: ignore[no-any-return]


class Choice(Kind):
    """One of some words."""

    __match_args__ = ("words",)

    def __init__(self, words: tuple[str, ...]):
        self.words = words

    def checked(self, name: str, value: Any, where: str | None) -> str:
        if value not in self.words:
            raise UsageError(f"{name} cannot be {value!r:.60}", where=where, hint=f"use {' or '.join(self.words)}")
        return str(value)


class Text(Kind):
    """Text, or ``None``."""

    __match_args__ = ("as_written",)

    def __init__(self, as_written: bool = False):
        self.as_written = as_written

    def checked(self, name: str, value: Any, where: str | None) -> str | None:
        check(name, value, str, none=True, where=where)
        return value  # type: ignore[no-any-return]


class Texts(Kind):
    """A list of texts."""

    def checked(self, name: str, value: Any, where: str | None) -> list[str]:
        return check_texts(name, value, where=where)


class Words(Kind):
    """A list of words, or ``None``."""

    def checked(self, name: str, value: Any, where: str | None) -> list[str] | None:
        return None if value is None else check_texts(name, value, where=where)


class Sending(Kind):
    """Files to send: a list of paths, and of mappings with options (see :mod:`sshjobs.model.sent`)."""

    def checked(self, name: str, value: Any, where: str | None) -> list[sent.Item]:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            check_texts(name, value, where=where)
        found = []
        for number, one in enumerate(value, 1):
            try:
                found.append(sent.item(one))
            except ValueError as error:
                raise UsageError(f"{name}, item {number:,},{error}", where=where) from None
        return found


class Variables(Kind):
    """Environment variables; numbers become text. A jobfile merges them with its defaults one by one."""

    as_written = True

    def checked(self, name: str, value: Any, where: str | None) -> dict[str, str]:
        if value is None:
            return {}
        check(name, value, Mapping, dict, where=where)
        for variable, text in value.items():
            check("a variable's name", variable, str, where=where)
            if not isinstance(text, (str, int, float)) or isinstance(text, bool):
                raise wrong(f"{name} {variable}", text, "text or a number", where=where)
        return {variable: str(text) for variable, text in value.items()}


class Awaited(Kind):
    """The entries that a job waits for, each with options. A spec holds the full mapping."""

    def checked(self, name: str, value: Any, where: str | None) -> dict[str, dict[str, str]]:
        try:
            return after.spelt_out(value)
        except ValueError as error:
            raise UsageError(f"{name}{error}", where=where) from None


class Tries(Kind):
    """How often a job is tried again: a number, or a mapping by outcome. A spec holds the full mapping."""

    def checked(self, name: str, value: Any, where: str | None) -> Retries:
        try:
            return retrying.spelt_out(value)
        except ValueError as error:
            raise UsageError(f"{name}{error}", where=where) from None


class Statuses(Kind):
    """Exit statuses, or one of them; ``None``."""

    def checked(self, name: str, value: Any, where: str | None) -> list[int]:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, (int, Iterable)):
            raise wrong(name, value, "a list of exit statuses", where=where, hint="write [0, 2]")
        statuses = [value] if isinstance(value, int) else list(value)
        for status in statuses:
            check_number(f"each of {name}", status, 0, MAX_STATUS, whole=True, where=where)
        return statuses


class Memory(Kind):
    """A size in bytes, or ``None``; as text with units (``4G``)."""

    def parse(self, value: str | int) -> int:
        """Return the bytes that a value means.

        :raises ValueError: it means none; the text stands behind the name of the key
        """
        return parse_memory(value)

    def checked(self, name: str, value: Any, where: str | None) -> int:
        try:
            return self.parse(value)
        except ValueError as error:
            raise UsageError(f"{name}{error}", where=where) from None


class Kept(Memory):
    """A number of bytes from 0 on, or ``None``."""

    def parse(self, value: str | int) -> int:
        """See :meth:`Memory.parse`."""
        return parse_kept(value)


class Counters(Kind):
    """Amounts of counters of a host, by name."""

    def checked(self, name: str, value: Any, where: str | None) -> dict[str, int]:
        try:
            return checked_counters(value)
        except ValueError as error:
            raise UsageError(f"{name}{error}", where=where) from None


class Gpus(Kind):
    """A number of GPUs, or a mapping with options, or ``None``. A spec holds the mapping."""

    def checked(self, name: str, value: Any, where: str | None) -> dict[str, Any]:
        try:
            return checked_need(value)
        except ValueError as error:
            raise UsageError(f"{name}{error}", where=where) from None


class Uses(Kind):
    """What a job depends on without its being sent: a list of ``{"path": …}``, for a file or directory here, and of
    ``{"text": …}``."""

    def checked(self, name: str, value: Any, where: str | None) -> list[dict[str, str]]:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise wrong(name, value, "a list", where=where, hint="write uses: [{path: model.bin}]")
        items = list(value)
        for item in items:
            if not (isinstance(item, Mapping) and len(item) == 1 and next(iter(item)) in USES
                    and all(isinstance(text, str) and text for text in item.values())):
                raise wrong(f"each of {name}", item, "{path: …} or {text: …}", where=where)
        return [dict(item) for item in items]


class Brought(Kind):
    """Which files are fetched: patterns with options. A spec holds the full mapping."""

    def checked(self, name: str, value: Any, where: str | None) -> dict[str, dict[str, Any]]:
        try:
            return outputs.spelt_out(value)
        except ValueError as error:
            raise UsageError(f"{name}{error}", where=where) from None


class Key(NamedTuple):
    """One key.

    :ivar default: its default; each spec gets its own copy of a list or mapping
    :ivar about: its meaning, in one sentence, which editors show
    :ivar far: a launch tells it to the host, unless it is the default. The far side has its own check of it
        (``gjob/jobkeys.py``)
    :ivar identity: jobs that differ in it are different work, so that what one has done does not count for the other
        (docs/continue.md). ``planning/identity.py`` says how it is compared
    :ivar fills: its texts may hold placeholders of parameters, ``${{ lr }}`` (see :mod:`sshjobs.model.fill`)
    :ivar rule: a check beyond its kind: returns what is wrong with a value, in words that follow the name of the key,
        or ``None``
    """

    kind: Kind
    default: Any
    about: str
    identity: bool
    far: bool = False
    rule: Callable[[Any], str | None] | None = None
    fills: bool = False

    def checked(self, name: str, value: Any, where: str | None) -> Any:
        """Return a value as a spec holds it.

        :raises UsageError: it cannot be that
        """
        if value is not None or self.default is not None:
            value = self.kind.checked(name, value, where)
        if self.rule is not None and value is not None and (complaint := self.rule(value)) is not None:
            raise UsageError(f"{name} {complaint}", where=where)
        return value


def _not_empty(text: str) -> str | None:
    return None if text.strip() else "cannot be empty; leave the key out"


def _some(values: list[int]) -> str | None:
    return None if values else "cannot be empty; leave the key out"


def _wrapper(words: list[str]) -> str | None:
    return None if not words or words[0] else "must begin with a program; write [conda, run, -n, env]"


KEYS: Mapping[str, Key] = {
    "files": Key(Sending(), [], "Files and directories to send, relative to the jobfile: paths, or mappings with "
                                "{path, to, exclude, readonly} or {from, path, to}.", identity=True, fills=True),
    "outputs": Key(Brought(), {}, "Files to bring home: patterns below the directory that it runs in, or patterns with "
                                  "{when, required, every, carry}.", identity=False, fills=True),
    "keep_directory": Key(Choice(("never", "on_failure", "always")), "never", "Whether the directory that was made for "
                          "it stays on its host until gc: never, on_failure or always.", identity=False),
    "env": Key(Variables(), {}, "Environment variables; no shell looks into them.", identity=True, far=True,
               fills=True),
    "cwd": Key(Text(), None, "Directory on the host to run in.", identity=True, far=True, rule=_not_empty, fills=True),
    "timeout": Key(Seconds(), None, "When the job is ended: 90, 1s, 2h30m, 1d.", identity=False, far=True),
    "lease": Key(Seconds(), None, "How long it may run on while no manager is heard of: 30m, 2h.",
                 identity=False, far=True),
    "cpus": Key(Whole(1, MAX_SLOTS), None, "How many slots it takes; 1 if left out.", identity=False, far=True),
    "memory": Key(Memory(), None, "How much memory the job needs: 512M, 4G.", identity=False, far=True),
    "scratch": Key(Memory(), None, "How much free disk the job needs on its host: 50G.", identity=False, far=True),
    "gpus": Key(Gpus(), None, "GPUs that it has for itself: 1, or {count: 1, memory: 20G, type: a100}.",
                identity=False),
    "needs": Key(Counters(), {}, "How much it needs of counters that hosts have: {license: 1}.", identity=False,
                 far=True),
    "ok_exit": Key(Statuses(), None, "Exit statuses that are a success; 0 alone if left out.",
                   identity=False, rule=_some),
    "retries": Key(Tries(), 0, "How often a job that failed is tried again; or how often after which outcome.",
                   identity=False),
    "retry_delay": Key(Seconds(), None, "How long to wait before it is tried again, doubled each time: 30s.",
                       identity=False),
    "retry_on": Key(Choice(("any", "elsewhere")), "any", "Where it is tried again: on any host, or on another one.",
                    identity=False),
    "host_retries": Key(Whole(0, MAX_RETRIES), DEFAULT_HOST_RETRIES, "The same for ends that are its host's fault.",
                        identity=False),
    "once": Key(Flag(), False, "Never start it a second time, whatever happened to the first.", identity=False),
    "stdin": Key(Text(), None, "File that the job reads as standard input.", identity=True, rule=_not_empty,
                 fills=True),
    "nice": Key(Whole(0, 19), 0, "What to add to its niceness.", identity=False, far=True),
    "wrap": Key(Words(), None, "A program and arguments before the program that is started: [conda, run, -n, env].",
                identity=True, far=True, rule=_wrapper),
    "login": Key(Flag(), False, "Run the script in a login shell.", identity=True),
    "strict": Key(Flag(), True, "End the script at the first command that fails (bash -e -o pipefail).",
                  identity=True),
    "leftovers": Key(Choice(("kill", "keep")), "kill", "What becomes of processes it leaves behind.",
                     identity=False, far=True),
    "output": Key(Choice(("file", "pipe")), "file", "Whether it writes into files or pipes.",
                  identity=False, far=True),
    "output_limit": Key(Kept(), None, "How much of each output is kept, half from its beginning and half from its end: "
                                      "64K, 10M.", identity=False, far=True),
    "hosts": Key(Texts(), [], "Names, globs or tags of hosts that it may run on.", identity=False, fills=True),
    "per_host": Key(Flag(), False, "Run it once on every host.", identity=True),
    "after": Key(Awaited(), {}, "Entries whose jobs have to succeed first: names, or names with {when, jobs}.",
                 identity=True),
    "priority": Key(Whole(-MAX_PRIORITY, MAX_PRIORITY), 0, "Jobs of a higher one come first.", identity=False),
    "max_parallel": Key(Whole(1, MAX_PARALLEL), None, "How many jobs of this name may be on hosts at a time.",
                        identity=False),
    "uses": Key(Uses(), [], "What it reads and is not sent, for plan and --continue: {path: …} or {text: …}.",
                identity=True, fills=True),
}


class KeysGiven(TypedDict, total=False):
    """The keys with the types that a program may pass. Durations as text, and path objects, are for ``Builder.AddJob``
    only, which converts them. ``files`` is a parameter of its own."""

    outputs: str | Sequence[str] | Mapping[str, Mapping[str, Any] | None]
    keep_directory: str
    env: Mapping[str, str | int | float] | None
    cwd: str | None
    timeout: float | str | None
    lease: float | str | None
    cpus: int | None
    memory: int | str | None
    scratch: int | str | None
    gpus: int | Mapping[str, int | str] | None
    needs: Mapping[str, int]
    ok_exit: int | Sequence[int] | None
    retries: int | Mapping[str, int | Mapping[str, int | str]]
    retry_delay: float | str | None
    retry_on: str
    host_retries: int
    once: bool
    stdin: str | PathLike[str] | None
    nice: int
    wrap: Sequence[str] | None
    login: bool
    strict: bool
    leftovers: str
    output: str
    output_limit: int | str | None
    hosts: Sequence[str]
    per_host: bool
    after: str | Sequence[str] | Mapping[str, Mapping[str, str] | None]
    priority: int
    max_parallel: int | None
    uses: Sequence[Mapping[str, str | PathLike[str]]]


class KeysHeld:
    """The keys with the types that a spec holds."""

    __slots__ = ()

    files: list[sent.Item]
    outputs: dict[str, dict[str, Any]]
    keep_directory: str
    env: dict[str, str]
    cwd: str | None
    timeout: float | None
    lease: float | None
    cpus: int | None
    memory: int | None
    scratch: int | None
    gpus: dict[str, Any] | None
    needs: dict[str, int]
    ok_exit: list[int] | None
    retries: Retries
    retry_delay: float | None
    retry_on: str
    host_retries: int
    once: bool
    stdin: str | None
    nice: int
    wrap: list[str] | None
    login: bool
    strict: bool
    leftovers: str
    output: str
    output_limit: int | None
    hosts: list[str]
    per_host: bool
    after: dict[str, dict[str, str]]
    priority: int
    max_parallel: int | None
    uses: list[dict[str, str]]


_Function = TypeVar("_Function", bound=Callable[..., Any])


def spelled_out(function: _Function) -> _Function:
    """Let ``help`` and ``inspect`` show the keys themselves where a function takes ``**keys``."""
    signature = inspect.signature(function)
    given = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    keys = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=KEYS[name].default,
                              annotation=annotation.__forward_arg__)
            for name, annotation in KeysGiven.__annotations__.items()]
    function.__signature__ = signature.replace(parameters=[*given, *keys])  # type: ignore[attr-defined]
    return function
