"""Chooses which of the waiting attempts runs next, by what this host has free."""

from itertools import islice

from .. import system

MYPY = False
if MYPY:
    from typing import Iterator

    from ..lease import Leases
    from ..sharing.board import Hold
    from ..sharing.share import Share
    from .attempts import Attempt
    from .pool import Pool

#: If the first that waits cannot start, so many others with other needs are tried.
OTHERS = 64


class Turns:
    """Chooses the next attempt.

    :param queue: the waiting attempts, in their order
    """

    def __init__(self, queue: "dict[str, Attempt]", leases: "Leases", pool: "Pool", share: "Share"):
        self._queue, self._leases, self._pool, self._share = queue, leases, pool, share

    def first(self) -> "str | None":
        """Return the first attempt that may run. One with a lease waits until a manager answers, one with GPUs until
        these were found free."""
        uid = next(iter(self._queue))
        if self._queue[uid].cleared and not self._leases:
            return uid
        return next((uid for uid in self._queue if self._may_be(uid)), None)

    def _may_be(self, uid: str) -> bool:
        return self._queue[uid].cleared and self._leases.covers(uid)

    def next(self, now: float) -> "tuple[str, Hold | None] | None":
        """Return the attempt that runs next and the hold for it; ``None`` where all have to wait."""
        uid = self.first()
        if uid is None:
            if any(attempt.since for attempt in self._queue.values()):
                self._share.stay(now)  # the GPUs of one that waits are looked at once more
            else:
                self._share.stop_waiting()
            return None
        worker, first = self._pool.idle(), self._queue[uid]
        hold = None if worker is None else worker.hold
        if worker is not None and self._share.keeps(hold, first.want, now):
            return uid, hold
        # Others may not need what the first one lacks, or less of it.
        place, held = self._share.take(hold, (self._queue[one].want for one in self._kinds(uid)), now, first.since)
        if place is not None:
            return next(islice(self._kinds(uid), place, None)), held
        first.since = first.since or system.boottime()
        self._share.wait(first.want, first.since, now, [attempt.want for attempt in self._queue.values()])
        return None

    def _kinds(self, first: str) -> "Iterator[str]":
        """Yield an attempt, and some that may run and have other needs: each kind once."""
        seen = {self._queue[first].want.kind}
        yield first
        for uid, attempt in self._queue.items():
            if attempt.want.kind not in seen and self._may_be(uid):
                seen.add(attempt.want.kind)
                yield uid
                if len(seen) > OTHERS:
                    return
