"""Which jobs take about as long: those of an entry, and of it those with the same value of the parameter that explains
how long they take."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from sshjobs.scheduling.refinement import Refinement

#: Entries whose parameters are looked at.
MOST_ENTRIES = 10_000


class Kinds:
    """Learns what explains how long jobs take."""

    def __init__(self) -> None:
        #: By entry the names of its parameters, and what they explain.
        self._entries: dict[str, tuple[tuple[str, ...], Refinement]] = {}

    def note(self, entry: str, params: Mapping[str, str], seconds: float) -> None:
        """Note how long a job took."""
        if not params:
            return
        known = self._entries.get(entry)
        if known is None and len(self._entries) < MOST_ENTRIES:
            known = self._entries[entry] = tuple(params), Refinement(len(params))
        if known is not None:
            known[1].note([params.get(name) for name in known[0]], seconds)

    def settle(self) -> None:
        """Look for what explains lengths, once all of them are noted."""
        for _, refinement in self._entries.values():
            refinement.look()

    def of(self, entry: str, params: Mapping[str, str]) -> Hashable:
        """Return the kind of a job."""
        names, refinement = self._entries.get(entry, ((), None))
        if refinement is None or refinement.chosen is None:
            return entry
        name = names[refinement.chosen]
        return entry, name, params.get(name)
