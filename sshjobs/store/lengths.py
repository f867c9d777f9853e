"""Reads how long jobs of a run took, and which are left: a sample of a large run, all of a small one."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import NamedTuple

from sshjobs.store.damage import check_row, damage_told
from sshjobs.store.failed import Entry
from sshjobs.store.reader import RunReader

#: At most so many jobs are sampled, from so many ranges; and at most so many jobs on hosts.
MOST_SAMPLED, RANGES, MOST_ON_HOSTS = 6_000, 60, 20_000


class LengthRow(NamedTuple):
    """A job with its newest attempt. Times are seconds since the epoch by the host's clock."""

    state: str
    spec: int
    params: str | None
    host: str | None
    started: float | None
    ended: float | None
    paused: int | None


class LengthReader(RunReader):
    """The store of one run, open for questions about lengths."""

    def specs(self) -> Mapping[int, tuple[Entry, int]]:
        """Return the entry of each spec, and how many slots a job of it takes, by the spec's id."""
        with damage_told(self.paths.store):
            return {id_: (Entry(entry, tuple(json.loads(names or "[]"))), int(cpus or 1))
                    for id_, entry, names, cpus in self._all("select_length_specs")}

    def sample(self, rng: random.Random) -> tuple[list[LengthRow], float]:
        """Return a sample of the jobs, and how many jobs each of them stands for."""
        last = self.last_number()
        if last <= MOST_SAMPLED:
            return self._rows("select_lengths", (1, last)), 1.0
        size, found = MOST_SAMPLED // RANGES, list[LengthRow]()
        # One range in each part of the run, because similar jobs often stand together.
        for n in range(RANGES):
            begin = 1 + n * last // RANGES
            first = begin + rng.randrange(max(1, last // RANGES - size))
            found += self._rows("select_lengths", (first, first + size - 1))
        return found, last / max(1, len(found))

    def started(self, most: int) -> int:
        """Return how many jobs have started so far, no more than so many are counted."""
        return int(self._all("count_started", (most,))[0][0])

    def on_hosts(self) -> list[LengthRow]:
        """Return the jobs that are on hosts."""
        return self._rows("select_lengths_on_hosts", (MOST_ON_HOSTS,))

    def _rows(self, query: str, parameters: tuple[int, ...]) -> list[LengthRow]:
        with damage_told(self.paths.store):
            rows = self._all(query, parameters)
            for row in rows:
                check_row(row, "siSSFFI")
            return list(map(LengthRow._make, rows))
