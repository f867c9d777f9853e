"""After: which other jobs a job waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from sshjobs.model.several import KEY, Gathering
from sshjobs.model.states import Outcome


class When(str, Enum):
    """How an awaited job has to end."""

    #: It succeeded; after any other end the waiting job is skipped.
    SUCCEEDED = "succeeded"
    #: Any end.
    ENDED = "ended"

    def __str__(self) -> str:
        return self.value


class Which(str, Enum):
    """Which jobs of an entry are awaited."""

    #: Those with equal values of the shared parameters; all of them where no parameter is shared.
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
    """A job of an entry, as jobs see it that wait for it.

    :ivar params: its parameters
    :ivar outcome: how it ended; ``None`` before its end
    """

    name: str
    params: Mapping[str, str]
    outcome: Outcome | None


class Awaited(NamedTuple):
    """An entry that jobs wait for.

    :ivar names: of the parameters of its jobs
    :ivar members: all its jobs, including those that ended before
    """

    names: Sequence[str]
    members: Iterable[Member]


#: The keys of an awaited entry, with their allowed values; the first value is the default.
CHOICES: Mapping[str, type[When] | type[Which]] = {"when": When, "jobs": Which}


def afters_of(said: Mapping[str, Mapping[str, str]]) -> list[After]:
    """Return the value of the key ``after`` of a spec as objects."""
    return [After(entry, When(how["when"]), Which(how["jobs"])) for entry, how in said.items()]


def spelt_out(said: Any) -> dict[str, dict[str, str]]:
    """Return the value of the key ``after``, which is a name, a list of names or a mapping, as a full mapping: each
    name with ``when`` and ``jobs``.

    :raises ValueError: it is no such value; the message follows the name of the key
    """
    if isinstance(said, str):
        said = [said]
    if isinstance(said, Mapping):
        entries = [(name, name, how) for name, how in said.items()]
    elif isinstance(said, Iterable):
        entries = [(place, name, None) for place, name in enumerate(said)]
    else:
        raise ValueError(" must be the name of an entry, a list of names, or a mapping of names; write after: prep")
    found: dict[str, dict[str, str]] = {}
    told = Gathering()
    for place, name, how in entries:
        with told.at(place):
            if _name(name) in found:
                raise ValueError(f" names '{name}' twice; name it once")
            found[name] = _how(name, how)
    told.end()
    return found


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
    told = Gathering()
    for key, words in CHOICES.items():
        allowed = [word.value for word in words]
        found[key] = str(how.get(key, allowed[0]))
        with told.at(key):
            if found[key] not in allowed:
                raise ValueError(f" {entry}: {key} cannot be {found[key]!r:.40}; use {' or '.join(allowed)}")
    for key in how:
        with told.at(key, KEY):
            if key not in CHOICES:
                raise ValueError(f" {entry} has no {key!r:.40}; it takes {' and '.join(CHOICES)}")
    told.end()
    return found


class Mistake(NamedTuple):
    """An entry cannot wait for what it names. ``text`` says why; it follows the name of the key."""

    entry: str
    text: str


def mistakes(waits: Mapping[str, Iterable[str]], known: Iterable[str] = ()) -> list[Mistake]:
    """Return what is wrong with the dependencies of entries: unknown names, and circles.

    :param waits: by entry: the names of the entries that it waits for
    :param known: the names of further entries, which wait for none of these
    """
    found, names = [], {*waits, *known}
    for entry, awaited in waits.items():
        found += [Mistake(entry, f" names '{one}', and no entry is called that{_similar(one, names)}")
                  for one in awaited if one not in names]
    return found + _circles(waits)


def _similar(name: str, names: Iterable[str]) -> str:
    from sshjobs.model.similar import similar

    close = similar(name, names, 1)
    return f"; did you mean '{close[0]}'?" if close else "; write the name of an entry"


def _circles(waits: Mapping[str, Iterable[str]]) -> list[Mistake]:
    """Return one mistake for each circle, at its first entry."""
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
