"""The world: one clock, one line of things to come, one source of chance. Everything in it is a function of the seed.

It runs only while somebody waits for it (:meth:`World.run`), in that thread.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

#: What the wall clock shows when a world begins.
_EPOCH = 1.7e9
#: How many of the last happenings are kept, to explain a failure.
_TRACE = 4000


class Program(NamedTuple):
    """What a job does.

    :ivar seconds: how long it runs when nobody disturbs it
    :ivar status: its exit status; ``None`` where it kills itself
    :ivar signal: the signal that it kills itself with
    :ivar out: what it writes to stdout, in ``pieces`` spread over its time; ``err`` to stderr
    :ivar stubborn: it does not die of TERM
    :ivar stray: it leaves a process running when it ends
    :ivar daemon: what it leaves has a session of its own
    :ivar files: what it leaves in its directory at its end, by paths there
    """

    seconds: float
    status: int | None = 0
    signal: int | None = None
    out: bytes = b""
    err: bytes = b""
    pieces: int = 1
    stubborn: bool = False
    stray: bool = False
    daemon: bool = False
    files: tuple[tuple[str, bytes], ...] = ()


class World:
    """See the module. It is the clock of its networks as well.

    :param seed: of all that is left to chance
    :param program_of: what the job of a launch frame does
    :param latency: seconds that a word takes from one side to the other
    :param slow: things take time and happen in an order of their own; without it only what must takes any
    """

    def __init__(self, seed: int | str, program_of: Callable[[dict[str, Any]], Program], *, latency: float = 0.01,
                 handshake: float = 0.2, slow: bool = False):
        self.rng = random.Random(f"world {seed}")
        self.program_of, self.latency, self.handshake, self.slow = program_of, latency, handshake, slow
        self.now = 0.0
        #: How far the wall clock of the manager's machine is off.
        self.wall = _EPOCH
        self.machines: dict[str, Any] = {}
        self.trace: deque[str] = deque(maxlen=_TRACE)
        #: What is kept of the trace; nothing by default, as it costs.
        self.tracing = False
        #: Why nothing goes on: raised where the world is let run.
        self.broken: BaseException | None = None
        #: How many things have happened, and how many may: more of them, and something goes round in circles.
        self.events, self.most_events = 0, 1 << 62
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._seq = 0

    # -- the clock of networks -----------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall + self.now

    def sleep(self, seconds: float) -> None:
        self.run(self.now + seconds)

    # -- what is to come -----------------------------------------------------------------------------------------

    def at(self, delay: float, act: Callable[[], None]) -> None:
        """Have something happen in so many seconds; things of one moment happen in the order of these calls."""
        self._seq += 1
        heapq.heappush(self._heap, (self.now + delay, self._seq, act))

    def run(self, until: float, stop: Callable[[], bool] | None = None) -> None:
        """Let things happen up to a time, or until ``stop`` says true between two of them."""
        heap = self._heap
        while not (stop is not None and stop()):
            if not heap or heap[0][0] > until:
                self.now = max(self.now, until)
                return
            when, _, act = heapq.heappop(heap)
            self.now = when
            self.events += 1
            act()
            if self.broken is not None:
                raise self.broken
            if self.events > self.most_events:
                raise AssertionError(f"F: {self.events} things have happened by {self.now:.0f} s")

    def say(self, text: str) -> None:
        """Note what happened."""
        if self.tracing:
            self.trace.append(f"{self.now:10.4f} {text}")
