"""Which outputs of a run are not whole: jobs with a limit wrote more than that."""

from __future__ import annotations

from typing import NamedTuple

from sshjobs.model.attempt import LeftOut
from sshjobs.store.damage import check_row, damage_told
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import read_left_out


class Shortened(NamedTuple):
    """An attempt that wrote more than is kept.

    :ivar newest: no other attempt of its job came after it
    """

    job: str
    n: int
    newest: bool
    left_out: LeftOut


class LeftOutReader(RunReader):
    """Reads of a run what was left out of its outputs."""

    def left_out(self, limit: int = 1_000_000) -> list[Shortened]:
        """Return the first attempts that wrote more than is kept, in order."""
        with damage_told(self.paths.store):
            rows = self._all("select_left_out", (limit,))
            for row in rows:
                check_row(row, "siis")
            return [Shortened(job, n, bool(newest), read_left_out(text)) for job, n, newest, text in rows]
