"""Outputs: which files of a job are fetched, and which came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from sshjobs.model.given import LONGEST_S
from sshjobs.model.several import KEY, Gathering
from sshjobs.model.states import Outcome

#: At most so many patterns of a job, each with so many bytes.
MAX_PATTERNS, MAX_PATTERN = 100, 4096


class When(str, Enum):
    """After which ends files are fetched."""

    SUCCESS = "success"
    #: Any end of a job that had started.
    ALWAYS = "always"

    def __str__(self) -> str:
        return self.value


class Output(NamedTuple):
    """Files of a job to fetch.

    :ivar pattern: a path below the directory that the job runs in, with wildcards; see :mod:`sshjobs.gjob.patterns`
    :ivar required: the job counts as failed if no file matches
    :ivar every: they are fetched while the job runs, too, about every so many seconds; ``None``: only at its end
    :ivar carry: the next attempt gets the files that were fetched last
    """

    pattern: str
    when: When = When.SUCCESS
    required: bool = False
    every: float | None = None
    carry: bool = False


class Brought(NamedTuple):
    """The files that were fetched of an attempt.

    :ivar files: how many; ``size``: their bytes together
    :ivar digest: sha256, in hex digits, of one line for each of them, see :func:`line_of`
    """

    files: int
    size: int
    digest: str


def line_of(path: str, size: int, sha: str) -> bytes:
    """Return the line of a file in the digest of an attempt's files; the lines are sorted by :func:`place_of`.

    :param path: below the directory; bytes that are not UTF-8 as lone surrogates
    :param sha: its sha256
    """
    return f"{sha} {size} {path}\0".encode("utf-8", "surrogateescape")


def place_of(path: str) -> list[bytes]:
    """Return the sort key of paths: name by name."""
    return path.encode("utf-8", "surrogateescape").split(b"/")


def outputs_of(said: Mapping[str, Mapping[str, Any]]) -> list[Output]:
    """Return the value of the key ``outputs`` of a spec as objects."""
    return [Output(pattern, When(how["when"]), how["required"], how["every"], how["carry"])
            for pattern, how in said.items()]


def wanted_after(outputs: Iterable[Output], outcome: Outcome) -> list[Output]:
    """Return the outputs to fetch after an end with this outcome."""
    if outcome is Outcome.NEVER_STARTED:
        return []
    return [one for one in outputs if one.when is When.ALWAYS or outcome is Outcome.SUCCEEDED
            or one.carry or one.every is not None]


def keeps_directory(how: str, outcome: Outcome | None) -> bool:
    """Return whether the directory of an attempt with this outcome stays on its host.

    :param how: the value of the key ``keep_directory``
    :param outcome: ``None``: it has not ended
    """
    if outcome is None or outcome is Outcome.NEVER_STARTED:
        return False
    return how == "always" or (how == "on_failure" and outcome is not Outcome.SUCCEEDED)


def directories(number: int) -> str:
    """Return a number of directories in words: ``1 directory``, ``1,000 directories``."""
    return f"{number:,} director{'y' if number == 1 else 'ies'}"


def wanted_meanwhile(outputs: Iterable[Output]) -> tuple[list[Output], float]:
    """Return the outputs to fetch while an attempt runs, and the interval in seconds. They are fetched together, so
    that files which belong together are of one moment."""
    wanted = [one for one in outputs if one.every is not None]
    return wanted, min((one.every for one in wanted if one.every is not None), default=0.0)


def spelt_out(said: Any) -> dict[str, dict[str, Any]]:
    """Return the value of the key ``outputs``, which is a pattern, a list of patterns or a mapping, as a full mapping
    of each pattern to its options.

    :raises ValueError: it is no such value; the message follows the name of the key
    """
    if isinstance(said, str):
        said = [said]
    if isinstance(said, Mapping):
        patterns = [(pattern, pattern, how) for pattern, how in said.items()]
    elif isinstance(said, Iterable):
        patterns = [(place, pattern, None) for place, pattern in enumerate(said)]
    else:
        raise ValueError(" must be a list of patterns, or a mapping of patterns; write outputs: [model.bin]")
    if len(patterns) > MAX_PATTERNS:
        raise ValueError(f" holds {len(patterns):,} patterns, and at most {MAX_PATTERNS} are allowed; use wildcards")
    found: dict[str, dict[str, Any]] = {}
    told = Gathering()
    for place, pattern, how in patterns:
        with told.at(place):
            if _pattern(pattern) in found:
                raise ValueError(f" names '{pattern:.100}' twice; name it once")
            found[pattern] = _how(pattern, how)
    told.end()
    return found


def _pattern(pattern: Any) -> str:
    if not isinstance(pattern, str) or not pattern.strip():
        raise ValueError(f" must hold patterns, got {pattern!r:.40}; write outputs: [model.bin]")
    if (wrong := complaint(pattern)) is not None:
        raise ValueError(f": {wrong}")
    return pattern


def complaint(pattern: str) -> str | None:
    """Return what is wrong with a pattern, ``None`` if it is one. (It may come from values of parameters.)"""
    parts = pattern.removesuffix("/").split("/")
    if pattern.startswith(("/", "~")) or ".." in parts:
        return f"'{pattern:.100}' leads out of the directory that the job runs in; write a path below it"
    if "" in parts or "." in parts or "\0" in pattern:
        return f"'{pattern:.100}' is no plain path; write it without '.', '//' and NUL"
    if len(pattern.encode("utf-8", "surrogatepass")) > MAX_PATTERN:
        return f"'{pattern:.40}…' has more than {MAX_PATTERN:,} bytes; make it shorter"
    return None


#: The options of a pattern, with their defaults.
_DEFAULTS: Mapping[str, Any] = {"when": When.SUCCESS.value, "required": False, "every": None, "carry": False}
#: The shortest interval at which files are fetched while a job runs, in seconds.
MIN_EVERY = 1.0


def _how(pattern: str, how: Any) -> dict[str, Any]:
    keys = ", ".join(_DEFAULTS)
    if how is None:
        how = {}
    if not isinstance(how, Mapping):
        raise ValueError(f" '{pattern:.100}' takes {keys}, got {how!r:.40}; write '{pattern:.40}': {{when: always}}")
    told = Gathering()
    for key in how:
        with told.at(key, KEY):
            if key not in _DEFAULTS:
                raise ValueError(f" '{pattern:.100}' has no {key!r:.40}; it takes {keys}")
    found = {**_DEFAULTS, **how}
    words = [word.value for word in When]
    with told.at("when"):
        if found["when"] not in words:
            raise ValueError(f" '{pattern:.100}': when cannot be {found['when']!r:.40}; use {' or '.join(words)}")
    for key in ("required", "carry"):
        with told.at(key):
            if not isinstance(found[key], bool):
                raise ValueError(f" '{pattern:.100}': {key} cannot be {found[key]!r:.40}; use true or false")
    every = found["every"]
    with told.at("every"):
        if every is not None and (isinstance(every, bool) or not isinstance(every, int | float)
                                  or not MIN_EVERY <= every <= LONGEST_S):
            raise ValueError(f" '{pattern:.100}': every cannot be {every!r:.40}; "
                             "write a time of a second or more, as 10m")
    told.end()
    found["when"] = str(found["when"])
    return found
