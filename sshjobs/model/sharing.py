"""Who holds what of a host that several runs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sshjobs.model.needs import shown_size

#: So many are named.
_NAMED = 3


class Holder(NamedTuple):
    """What one run of one person holds of a host.

    :ivar uid: of the person there; ``user`` is the name that goes with it, ``None`` where the host does not know it
    :ivar jobs: for how many jobs; ``slots``, how many of these they take
    :ivar memory: bytes that they may need
    :ivar units: how many things that are held by one at a time, such as GPUs
    """

    uid: int
    user: str | None
    run: str
    jobs: int
    slots: int
    memory: int = 0
    units: int = 0

    @property
    def person(self) -> str:
        """The name of the person, as far as it is known."""
        return self.user or f"user {self.uid}"

    def __str__(self) -> str:
        words = [f"{self.slots} slot{'s' * (self.slots != 1)}"]
        if self.memory:
            words.append(f"{shown_size(self.memory)} of memory")
        if self.units:
            words.append(f"{self.units} GPU{'s' * (self.units != 1)}")
        return f"{self.person} ({self.run}) holds {', '.join(words)}"


def waits_for(holders: Sequence[Holder]) -> str:
    """Say what a run waits for on a host.

    :param holders: who hold something there, those with most first
    """
    if not holders:
        return "waits for a share of it"
    more = f" and {len(holders) - _NAMED} more" if len(holders) > _NAMED else ""
    return f"waits for a share of it: {'; '.join(map(str, holders[:_NAMED]))}{more}"


class Part(NamedTuple):
    """How much of something a host gives a run while others hold the rest.

    :ivar has: all that the run may have, with what it has
    :ivar stalled: how much of it those of its jobs want that wait there
    """

    has: int
    stalled: int
