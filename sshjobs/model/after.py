"""After: which other jobs a job waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from sshjobs.model.states import Outcome


class When(str, Enum):
    """What an awaited job has to come to."""

    #: Success; any other end of it skips the job that waits.
    SUCCEEDED = "succeeded"
    #: Any end.
    ENDED = "ended"

    def __str__(self) -> str:
        return self.value


class Which(str, Enum):
    """Which jobs of an entry are awaited."""

    #: Those whose shared parameters are equal; all of them where no parameter is shared.
    MATCHING = "matching"
    ALL = "all"

    def __str__(self) -> str:
        return self.value


class After(NamedTuple):
    """A job waits for jobs of another entry.

    :ivar entry: its name
    """

    entry: str
    when: When = When.SUCCEEDED
    jobs: Which = Which.MATCHING


class Member(NamedTuple):
    """A job of an entry, as those see it that wait for it.

    :ivar params: its parameters
    :ivar outcome: how it ended; ``None`` before its end
    """

    name: str
    params: Mapping[str, str]
    outcome: Outcome | None


class Awaited(NamedTuple):
    """An entry that jobs wait for.

    :ivar names: of the parameters of its jobs
    :ivar members: all its jobs, also those that ended before
    """

    names: Sequence[str]
    members: Iterable[Member]


#: What may be said of an awaited entry, with the words for it; the first of them where nothing is said.
CHOICES: Mapping[str, type[When] | type[Which]] = {"when": When, "jobs": Which}


def afters_of(said: Mapping[str, Mapping[str, str]]) -> list[After]:
    """Return the value of the key ``after`` of a spec as objects."""
    return [After(entry, When(how["when"]), Which(how["jobs"])) for entry, how in said.items()]


def spelt_out(said: Any) -> dict[str, dict[str, str]]:
    """Return what was said with the key ``after``, a name, a list of names or a mapping, as a mapping of every name to
    what is awaited of it.

    :raises ValueError: it cannot be that; the text says what is wrong, to stand behind the name of the key
    """
    if isinstance(said, str):
        said = [said]
    if isinstance(said, Mapping):
        entries = dict(said)
    elif isinstance(said, Iterable):
        entries = {}
        for name in said:
            if _name(name) in entries:
                raise ValueError(f" names '{name}' twice; name it once")
            entries[name] = None
    else:
        raise ValueError(" must be the name of an entry, a list of names, or a mapping of names; write after: prep")
    return {_name(entry): _how(entry, how) for entry, how in entries.items()}


def _name(entry: Any) -> str:
    if not isinstance(entry, str) or not entry.strip():
        raise ValueError(f" must name entries, got {entry!r:.40}; write after: prep")
    return entry


def _how(entry: str, how: Any) -> dict[str, str]:
    if how is None:
        how = {}
    if not isinstance(how, Mapping):
        raise ValueError(f" {entry} takes when and jobs, got {how!r:.40}; write {entry}: {{when: ended}}")
    found = {}
    for key, words in CHOICES.items():
        allowed = [word.value for word in words]
        found[key] = str(how.get(key, allowed[0]))
        if found[key] not in allowed:
            raise ValueError(f" {entry}: {key} cannot be {found[key]!r:.40}; use {' or '.join(allowed)}")
    for key in how:
        if key not in CHOICES:
            raise ValueError(f" {entry} has no {key!r:.40}; it takes {' and '.join(CHOICES)}")
    return found


class Mistake(NamedTuple):
    """An entry cannot wait as it says. ``text`` says why, to stand behind the name of the key."""

    entry: str
    text: str


def mistakes(waits: Mapping[str, Iterable[str]], known: Iterable[str] = ()) -> list[Mistake]:
    """Return what is wrong with who waits for whom: names that no entry has, and circles.

    :param waits: by the name of each entry: the names of those that it waits for
    :param known: the names of further entries, which wait for none of these
    """
    found, names = [], {*waits, *known}
    for entry, awaited in waits.items():
        found += [Mistake(entry, f" names '{one}', and no entry is called that{_similar(one, names)}")
                  for one in awaited if one not in names]
    return found or _circles(waits)


def _similar(name: str, names: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean '{close[0]}'?" if close else "; write the name of an entry"


def _circles(waits: Mapping[str, Iterable[str]]) -> list[Mistake]:
    """Return one mistake for each circle, at the entry of it that stands first."""
    found, done = [], set[str]()
    for first in waits:
        # Depth first, without recursion: a chain may be as long as the file.
        path: dict[str, None] = {}
        stack: list[tuple[str, bool]] = [(first, False)]
        while stack:
            entry, left = stack.pop()
            if left:
                path.pop(entry)
                done.add(entry)
            elif entry in path:
                circle = [*list(path)[list(path).index(entry):], entry]
                who = " waits for ".join(circle[:9])
                found.append(Mistake(entry, f" makes a circle: {who}; leave one of them out"))
            elif entry not in done:
                path[entry] = None
                stack.append((entry, True))
                stack += [(one, False) for one in waits.get(entry, ())]
    return found
