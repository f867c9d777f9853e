"""When to connect to a host again: soon, but never so often that its sshd refuses us."""

from __future__ import annotations

import random
from collections import deque

from sshjobs.errors import HostError

#: Pauses between attempts, in seconds: the first, growing by half each time up to the longest; each with jitter.
FIRST, LONGEST = 0.5, 10.0
#: At most so many handshakes with one sshd within a :data:`MINUTE`. Each is counted at the last moment at which sshd
#: can have seen it; sshd may count it so many seconds later.
HANDSHAKES, MINUTE, LATE = 6, 60.0, 2.0
#: A connection that lasted so many seconds was a good one: the next pause is the first again.
STEADY = 10.0
#: A host that was up in this run is tried every so many seconds while it cannot be reached, which costs it nothing...
SEARCH = 2.0
#: ...for so many seconds; later as seldom as others.
SEARCH_FOR = 600.0


class Backoff:
    """The pauses before connections to one host. Times are seconds of any clock that never goes back."""

    def __init__(self) -> None:
        self._pause = FIRST
        #: For each of the last connections, a moment by which its handshake had begun.
        self._handshakes: deque[float] = deque(maxlen=HANDSHAKES)
        #: When the host was last heard, and whether ever.
        self._heard_at: float | None = None

    def pause(self, error: HostError, began: float, now: float, rng: random.Random, *,
              heard: float | None) -> float:
        """Return how many seconds to wait before the next attempt.

        :param error: why the last one is over
        :param began: when that began
        :param heard: when the host first said something over it, ``None`` where it never did
        """
        if heard is not None:
            self._heard_at = now
            if now - began >= STEADY:
                self._pause = FIRST
        jitter = rng.uniform(0.7, 1.3)
        if heard is None and not error.reached:
            if self._heard_at is not None and now - self._heard_at < SEARCH_FOR:
                return max(FIRST, SEARCH - (now - began)) * jitter
        else:
            # Counted from its end: if this one was slow and the next is fast, they would come too close otherwise.
            self._handshakes.append(now if heard is None else heard)
        chosen, self._pause = self._pause * jitter, min(self._pause * 1.5, LONGEST)
        if len(self._handshakes) == HANDSHAKES:
            chosen = max(chosen, self._handshakes[0] + MINUTE + LATE - now)
        return chosen
