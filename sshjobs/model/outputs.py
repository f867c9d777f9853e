"""Outputs: which files a job leaves that are brought home, and what came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from sshjobs.model.given import LONGEST_S
from sshjobs.model.states import Outcome

#: Patterns of one job, and bytes of one.
MAX_PATTERNS, MAX_PATTERN = 100, 4096


class When(str, Enum):
    """After which ends files are brought."""

    SUCCESS = "success"
    #: Any end of a job that had started.
    ALWAYS = "always"

    def __str__(self) -> str:
        return self.value


class Output(NamedTuple):
    """Files of a job that are brought.

    :ivar pattern: a path below the directory that the job runs in, with wildcards; see :mod:`sshjobs.gjob.patterns`
    :ivar required: the job has failed where no file was brought
    :ivar every: they are brought while the job runs, too, about so many seconds apart; ``None``: only at its end
    :ivar carry: the next attempt finds those that were brought last
    """

    pattern: str
    when: When = When.SUCCESS
    required: bool = False
    every: float | None = None
    carry: bool = False


class Brought(NamedTuple):
    """What was brought of an attempt.

    :ivar files: how many, ``size`` how many bytes they have
    :ivar digest: sha256 in hex digits of a line for each of them, see :func:`line_of`
    """

    files: int
    size: int
    digest: str


def line_of(path: str, size: int, sha: str) -> bytes:
    """Return what a file adds to the digest of all files of an attempt, in the order of :func:`place_of`.

    :param path: below the directory; bytes that are no UTF-8 as lone surrogates
    :param sha: its sha256
    """
    return f"{sha} {size} {path}\0".encode("utf-8", "surrogateescape")


def place_of(path: str) -> list[bytes]:
    """Return what paths are ordered by: name by name."""
    return path.encode("utf-8", "surrogateescape").split(b"/")


def outputs_of(said: Mapping[str, Mapping[str, Any]]) -> list[Output]:
    """Return the value of the key ``outputs`` of a spec as objects."""
    return [Output(pattern, When(how["when"]), how["required"], how["every"], how["carry"])
            for pattern, how in said.items()]


def wanted_after(outputs: Iterable[Output], outcome: Outcome) -> list[Output]:
    """Return what is to be brought of an attempt that ended so."""
    if outcome is Outcome.NEVER_STARTED:
        return []
    return [one for one in outputs if one.when is When.ALWAYS or outcome is Outcome.SUCCEEDED
            or one.carry or one.every is not None]


def keeps_directory(how: str, outcome: Outcome | None) -> bool:
    """Tell whether the directory of an attempt that ended so stays on its host.

    :param how: the value of the key ``keep_directory``
    :param outcome: ``None``: it has not ended
    """
    if outcome is None or outcome is Outcome.NEVER_STARTED:
        return False
    return how == "always" or (how == "on_failure" and outcome is not Outcome.SUCCEEDED)


def directories(number: int) -> str:
    """Return so many of them in words: ``1 directory``, ``1,000 directories``."""
    return f"{number:,} director{'y' if number == 1 else 'ies'}"


def wanted_meanwhile(outputs: Iterable[Output]) -> tuple[list[Output], float]:
    """Return what is to be brought while an attempt runs, and every how many seconds: all of it together, for what
    belongs together is to be of one moment."""
    wanted = [one for one in outputs if one.every is not None]
    return wanted, min((one.every for one in wanted if one.every is not None), default=0.0)


def spelt_out(said: Any) -> dict[str, dict[str, Any]]:
    """Return what was said with the key ``outputs``, a pattern, a list of patterns or a mapping, as a mapping of every
    pattern to how it is brought.

    :raises ValueError: it cannot be that; the text says what is wrong, to stand behind the name of the key
    """
    if isinstance(said, str):
        said = [said]
    if isinstance(said, Mapping):
        patterns = dict(said)
    elif isinstance(said, Iterable):
        patterns = {}
        for pattern in said:
            if isinstance(pattern, str) and pattern in patterns:
                raise ValueError(f" names '{pattern:.100}' twice; name it once")
            patterns[_pattern(pattern)] = None
    else:
        raise ValueError(" must be a list of patterns, or a mapping of patterns; write outputs: [model.bin]")
    if len(patterns) > MAX_PATTERNS:
        raise ValueError(f" holds {len(patterns):,} patterns, and at most {MAX_PATTERNS} are allowed; use wildcards")
    return {_pattern(pattern): _how(pattern, how) for pattern, how in patterns.items()}


def _pattern(pattern: Any) -> str:
    if not isinstance(pattern, str) or not pattern.strip():
        raise ValueError(f" must hold patterns, got {pattern!r:.40}; write outputs: [model.bin]")
    if (wrong := complaint(pattern)) is not None:
        raise ValueError(f": {wrong}")
    return pattern


def complaint(pattern: str) -> str | None:
    """Return what is wrong with a pattern, ``None`` if it can be one: it may hold values that nobody has looked at."""
    parts = pattern.removesuffix("/").split("/")
    if pattern.startswith(("/", "~")) or ".." in parts:
        return f"'{pattern:.100}' leads out of the directory that the job runs in; write a path below it"
    if "" in parts or "." in parts or "\0" in pattern:
        return f"'{pattern:.100}' is no plain path; write it without '.', '//' and NUL"
    if len(pattern.encode("utf-8", "surrogatepass")) > MAX_PATTERN:
        return f"'{pattern:.40}…' has more than {MAX_PATTERN:,} bytes; make it shorter"
    return None


#: What may be said of a pattern, with what it is where nothing is said.
_DEFAULTS: Mapping[str, Any] = {"when": When.SUCCESS.value, "required": False, "every": None, "carry": False}
#: The shortest time between two times that files are brought, in seconds.
MIN_EVERY = 1.0


def _how(pattern: str, how: Any) -> dict[str, Any]:
    keys = ", ".join(_DEFAULTS)
    if how is None:
        how = {}
    if not isinstance(how, Mapping):
        raise ValueError(f" '{pattern:.100}' takes {keys}, got {how!r:.40}; write '{pattern:.40}': {{when: always}}")
    for key in how:
        if key not in _DEFAULTS:
            raise ValueError(f" '{pattern:.100}' has no {key!r:.40}; it takes {keys}")
    found = {**_DEFAULTS, **how}
    words = [word.value for word in When]
    if found["when"] not in words:
        raise ValueError(f" '{pattern:.100}': when cannot be {found['when']!r:.40}; use {' or '.join(words)}")
    for key in ("required", "carry"):
        if not isinstance(found[key], bool):
            raise ValueError(f" '{pattern:.100}': {key} cannot be {found[key]!r:.40}; use true or false")
    every = found["every"]
    if every is not None and (isinstance(every, bool) or not isinstance(every, int | float)
                              or not MIN_EVERY <= every <= LONGEST_S):
        raise ValueError(f" '{pattern:.100}': every cannot be {every!r:.40}; write a time of a second or more, as 10m")
    found["when"] = str(found["when"])
    return found
