"""What entries of a jobfile say of each other: which they wait for, and whose files they are given."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sshjobs.inputs.yamltree import Place
from sshjobs.model.after import mistakes
from sshjobs.model.fill import OPEN

if TYPE_CHECKING:
    from sshjobs.inputs.jobfile import Entry


class Given(NamedTuple):
    """Files of another entry that an entry is given, and where that is said."""

    entry: str
    path: str
    place: Place


def stage_mistakes(entries: Sequence[Entry], waiting: Mapping[int, Place], given: Iterable[Given],
                   names: Iterable[str], known: Collection[str]) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong, and where that stands.

    :param waiting: where entries say what they wait for, by their places in the list
    :param names: what entries are called, those with other mistakes too
    :param known: names of entries that are there already
    """
    waits = {entry.spec.entry_name: list(entry.spec.after) for entry in entries} if waiting else {}
    places = {entries[n].spec.entry_name: place for n, place in waiting.items()}
    yield from ((places[entry], f"after{text}") for entry, text in mistakes(waits, {*known, *names}))
    yield from _awaited_nothing(entries, waiting, known)
    outputs: dict[str, list[str]] = {}
    for entry in entries:
        # What placeholders in them become is not looked at.
        patterns = ["**"] if "outputs" in entry.spec.templates else list(entry.spec.outputs)
        outputs.setdefault(entry.spec.entry_name, []).extend(patterns)
    for name, path, place in given:
        left = outputs.get(name)
        if left is None:
            continue
        if not left:
            yield place, f"files: from: '{name}' leaves no files; add outputs to it"
        elif not any(_may_fit(pattern, path) for pattern in left):
            shown = ", ".join(f"'{pattern[:60]}'" for pattern in left[:5])
            yield place, (f"files: from: no output of '{name}' fits '{path[:60]}': it leaves {shown}; correct one of "
                          "them")


def _awaited_nothing(entries: Sequence[Entry], waiting: Mapping[int, Place],
                     known: Collection[str]) -> Iterator[tuple[Place, str]]:
    counts: dict[str, int] = {}
    for entry in entries if waiting else ():
        counts[entry.spec.entry_name] = counts.get(entry.spec.entry_name, 0) + entry.count
    for n, place in waiting.items():
        for name in entries[n].spec.after if entries[n].count else ():
            if counts.get(name) == 0 and name not in known:
                yield place, f"after: '{name}' makes no job, because of its repeat: 0; raise that, or take it out here"


def _may_fit(one: str, other: str) -> bool:
    """Tell whether a path may fit both of two patterns, as far as that is known without any path."""
    if any(sign in pattern for pattern in (one, other) for sign in (*"*?[", OPEN)):
        return True
    parts, others = one.strip("/").split("/"), other.strip("/").split("/")
    length = min(len(parts), len(others))
    return parts[:length] == others[:length]
