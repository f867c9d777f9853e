"""How many jobs of a run may fail before it ends."""

from __future__ import annotations

import re
from typing import NamedTuple

from sshjobs.model.states import Outcome

#: The outcomes that count as failures. A job that was cancelled or skipped has not failed.
FAILURES = frozenset(Outcome) - {Outcome.SUCCEEDED, Outcome.CANCELLED, Outcome.SKIPPED}
#: The highest limit that may be asked for.
MOST = 1_000_000

_LIMIT = r"\s*([0-9]{1,7}(?:\.[0-9]{1,4})?)\s*(%?)\s*"
_EXAMPLE = "write a number of jobs (10) or a part of all (10%)"


class FailureLimit(NamedTuple):
    """A limit.

    :ivar amount: how many, or how many per cent
    :ivar percent: of all jobs that the run has by then
    """

    amount: float
    percent: bool

    @classmethod
    def of(cls, value: str | int) -> FailureLimit:
        """Parse a limit: 10, or text such as ``10`` or ``2.5%``.

        :raises ValueError: it is no limit; the message follows the name of the key or option
        """
        found = re.fullmatch(_LIMIT, str(value)) if type(value) in (int, str) else None
        if found is None:
            raise ValueError(f" cannot be {value!r:.40}; {_EXAMPLE}")
        limit = cls(float(found[1]), bool(found[2]))
        if limit.percent and limit.amount > 100:
            raise ValueError(f" must be at most 100%, got {value!r:.40}; {_EXAMPLE}")
        if not limit.percent and (limit.amount > MOST or limit.amount != int(limit.amount)):
            raise ValueError(f" must be a whole number up to {MOST:,}, got {value!r:.40}; {_EXAMPLE}")
        return limit

    def is_exceeded(self, failed: int, total: int) -> bool:
        """Return whether more jobs have failed than are allowed to.

        :param failed: how many have
        :param total: how many the run has
        """
        return failed * 100 > self.amount * total if self.percent else failed > self.amount

    def __str__(self) -> str:
        return f"{self.amount:g}{'%' if self.percent else ''}"
