"""References between entries of a jobfile: which ones they wait for, and whose files they get."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sshjobs.inputs.yamltree import Map, Place, Seq
from sshjobs.model.after import mistakes, spelt_out
from sshjobs.model.fill import OPEN

if TYPE_CHECKING:
    from sshjobs.inputs.jobfile import Entry


class Given(NamedTuple):
    """Files of another entry that an entry gets, and the place in the jobfile."""

    entry: str
    path: str
    place: Place


def stage_mistakes(entries: Sequence[Entry], waiting: Mapping[int, Place], given: Iterable[Given],
                   names: Iterable[str], known: Collection[str]) -> Iterator[tuple[Place, str]]:
    """Yield mistakes with their places.

    :param waiting: places of ``after``, by the index of the entry
    :param names: names of all entries, including those with other mistakes
    :param known: names of further entries
    """
    waits = {entry.spec.entry_name: list(entry.spec.after) for entry in entries} if waiting else {}
    places = {entries[n].spec.entry_name: place for n, place in waiting.items()}
    yield from ((places[entry], f"after{text}") for entry, text in mistakes(waits, {*known, *names}))
    yield from _awaited_nothing(entries, waiting, known)
    outputs: dict[str, list[str]] = {}
    for entry in entries:
        # Patterns with placeholders are not compared.
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


def awaited_of(said: Any) -> dict[str, Any] | None:
    """Return what an entry says that it waits for, by name; ``None`` where that cannot be read."""
    try:
        return {**spelt_out(said)}
    except ValueError:
        return None


def not_awaited(name: str) -> str:
    """Return what is wrong with files of an entry that is not waited for."""
    return f"files: from: '{name}' is not named by after; write after: {name}, or correct it"


def not_awaited_files(files: Any, after: Mapping[str, Any] | None) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with files that an entry with other mistakes is given.

    :param after: the entries that it waits for; ``None``: nobody knows
    """
    if after is None:
        return
    for item in files if isinstance(files, Seq) else ():
        name = item.get("from") if isinstance(item, Map) else None
        if isinstance(name, str) and name.strip() and name not in after:
            yield item.value_place("from"), not_awaited(name)


def unknown_names(broken: Iterable[tuple[list[str], Place]], names: Collection[str]) -> Iterator[tuple[Place, str]]:
    """Yield which entries are waited for that there are not, by entries with other mistakes."""
    for awaited, place in broken:
        yield from ((place, f"after{text}") for _, text in mistakes({"": awaited}, names))


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
    """Return whether any path might match both patterns, as far as that can be told."""
    if any(sign in pattern for pattern in (one, other) for sign in (*"*?[", OPEN)):
        return True
    parts, others = one.strip("/").split("/"), other.strip("/").split("/")
    length = min(len(parts), len(others))
    return parts[:length] == others[:length]
