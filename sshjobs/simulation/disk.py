"""What a run has on the disk of one host. Nothing of it is ever synced, so a loss of power takes what is recent."""

from __future__ import annotations

import random
from typing import Any

Record = dict[str, Any]

#: Seconds after which the kernel has written everything out by itself.
WRITTEN_AFTER = 35.0


class Journal:
    """Records in their order, each with the time of its writing."""

    def __init__(self, disk: Disk):
        self._disk = disk
        self.records: list[tuple[float, Record]] = []
        self.unwritten: list[Record] = []

    def append(self, now: float, record: Record) -> bool:
        """Append a record; False where it is only in its writer's memory, because the disk is full."""
        self.unwritten.append(record)
        return self.retry(now)

    def retry(self, now: float) -> bool:
        """Write what is still unwritten; True when nothing is."""
        if self.unwritten and self._disk.full:
            return False
        if self._disk.remembers:
            self.records += [(now, record) for record in self.unwritten]
        self.unwritten.clear()
        return True

    def forget_unwritten(self) -> None:
        """Its writer is dead."""
        self.unwritten.clear()


class Disk:
    """The directory of the run on one host.

    :param remembers: journals are kept, which only what may die needs
    :ivar full: nothing more can be written
    :ivar claims: working directories, with the time at which each was made
    """

    def __init__(self, remembers: bool = True) -> None:
        self.remembers = remembers
        self.full = False
        self.claims: dict[str, float] = {}
        self.journals: dict[str, Journal] = {}
        self._outputs: dict[tuple[str, int], bytearray] = {}
        self._marks: dict[tuple[str, int], list[tuple[float, int]]] = {}
        self._next = 1

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the run is there."""
        return not (self.claims or self.journals or self._outputs)

    def mkdir(self, uid: str, now: float) -> bool:
        """Make the working directory of an attempt; False where it is there already.

        :raises OSError: no room
        """
        if uid in self.claims:
            return False
        if self.full:
            raise OSError("no space")
        self.claims[uid] = now
        return True

    def new_journal(self) -> tuple[str, Journal]:
        """Make a journal."""
        name = f"{self._next}.log"
        self._next += 1
        self.journals[name] = Journal(self)
        return name, self.journals[name]

    def append(self, uid: str, stream: int, data: bytes, now: float) -> None:
        """Append to an output."""
        file = self._outputs.setdefault((uid, stream), bytearray())
        file += data
        self._marks.setdefault((uid, stream), []).append((now, len(file)))

    def size(self, uid: str, stream: int) -> int:
        """Return how long an output is."""
        return len(self._outputs.get((uid, stream), b""))

    def read(self, uid: str, stream: int, start: int, end: int) -> bytes:
        """Return a piece of an output."""
        return bytes(self._outputs.get((uid, stream), b"")[start:end])

    def discard(self, uid: str) -> None:
        """Delete everything of an attempt but for its records."""
        self.claims.pop(uid, None)
        for stream in (1, 2):
            self._outputs.pop((uid, stream), None)
            self._marks.pop((uid, stream), None)

    def clear(self) -> None:
        """Delete everything."""
        self.claims.clear()
        self.journals.clear()
        self._outputs.clear()
        self._marks.clear()

    def lose_power(self, now: float, rng: random.Random) -> None:
        """Lose what was written lately: of each file what is behind some moment, each file by itself."""
        def moment() -> float:
            # Often all or nothing of what is recent.
            return now - rng.choice((0.0, WRITTEN_AFTER, rng.uniform(0.0, WRITTEN_AFTER)))

        for uid in [uid for uid, made in self.claims.items() if made > moment()]:
            del self.claims[uid]
        for journal in self.journals.values():
            last = moment()
            journal.records = [(when, record) for when, record in journal.records if when <= last]
        for key, marks in self._marks.items():
            last = moment()
            kept = [mark for mark in marks if mark[0] <= last]
            del self._outputs[key][kept[-1][1] if kept else 0:]
            marks[:] = kept
