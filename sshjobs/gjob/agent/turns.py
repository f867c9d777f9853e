"""Which of the attempts that wait on a host runs next, as far as this host has what it needs."""

MYPY = False
if MYPY:
    from ..lease import Leases
    from ..sharing.board import Hold
    from ..sharing.share import Share, Want
    from .attempts import Attempt
    from .pool import Pool

#: So many that need something else are tried where the first that waits lacks something.
OTHERS = 4


class Turns:
    """Chooses.

    :param queue: those that wait, in their order
    """

    def __init__(self, queue: "dict[str, Attempt]", leases: "Leases", pool: "Pool", share: "Share"):
        self._queue, self._leases, self._pool, self._share = queue, leases, pool, share

    def first(self) -> "str | None":
        """Return which attempt is to run next; one with a lease waits until a manager answers, one with GPUs
        until these were looked at."""
        uid = next(iter(self._queue))
        if self._queue[uid].cleared and not self._leases:
            return uid
        return next((uid for uid in self._queue if self._may_be(uid)), None)

    def _may_be(self, uid: str) -> bool:
        return self._queue[uid].cleared and self._leases.covers(uid)

    def next(self, now: float) -> "tuple[str, Hold | None] | None":
        """Return the attempt that is to run next, and what is held for it; ``None`` where all have to wait."""
        uid = self.first()
        if uid is None:
            self._share.stop_waiting()
            return None
        worker, want = self._pool.idle(), self._queue[uid].want
        hold = None if worker is None else worker.hold
        if worker is not None and self._share.keeps(hold, want, now):
            return uid, hold
        may, held = self._share.take(hold, want, now)
        if may:
            return uid, held
        for other in self._others(want):
            # What the first of them lacks these may not need.
            may, held = self._share.take(hold, self._queue[other].want, now)
            if may:
                return other, held
        self._share.wait(want, now)
        return None

    def _others(self, want: "Want") -> "list[str]":
        """Return a few attempts that need something else than the first of all."""
        found: "list[str]" = []
        seen = [want.amounts]
        for uid, attempt in self._queue.items():
            if attempt.want.amounts not in seen and self._may_be(uid):
                seen.append(attempt.want.amounts)
                found.append(uid)
                if len(found) == OTHERS:
                    break
        return found
