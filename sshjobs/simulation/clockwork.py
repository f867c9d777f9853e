"""Hosts that take time and do nothing else: for questions about how long a run takes, or what it costs this side.

They speak the link as an agent does, so that all of this side is the real one; but nothing goes wrong on them, jobs
write nothing, and the link never breaks. On a :class:`~tests.sim.host.machine.Machine` all may die.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from sshjobs.gjob import wire
from sshjobs.gjob.runner import QUIET_START
from sshjobs.simulation.pipe import Connection
from sshjobs.simulation.site import Site
from sshjobs.simulation.world import World

#: Seconds that do not count: sums of times are off by less.
_MOMENT = 1e-6


class Clockwork(Site):
    """One such host.

    :param cores: what it says of itself
    :param seconds: draws how long the next job takes
    """

    def __init__(self, world: World, name: str, cores: int, seconds: Callable[[], float]):
        super().__init__(world, name, cores)
        self._seconds = seconds
        self._slots = cores
        #: The limit of each job that waits for a slot.
        self._queue: dict[str, float | None] = {}
        #: When each job that runs ends, how, and since when it runs; and when the next look at that is due.
        self._running: list[tuple[float, str, str, float | None]] = []
        self._next = math.inf
        #: What has started and is not told of yet, each with the time of its start: all wait for as long.
        self._started: list[tuple[str, float]] = []
        self._link: Connection | None = None
        self._nonce = ""
        self._answers: dict[str, Callable[[dict[str, Any]], None]] = {
            "hello": self._on_hello, "launch": self._on_launch, "release": lambda frame: None, "sync": self._on_sync,
            "fence": self._on_fence, "slots": self._on_slots, "bye": self._on_bye,
            "ping": lambda frame: self._say(t="pong", seq=frame["seq"]),
        }

    def answer(self, connection: Connection, nonce: str, hurry: str) -> None:
        """Take a connection."""
        self._link, self._nonce = connection, nonce
        connection.on_up = self.receive

    def receive(self, data: bytes) -> None:
        """Obey frame by frame. What is written at one moment arrives in one piece, so that no line comes in two.

        :raises WireError: a frame about something that never happens here
        """
        for line in data.splitlines():
            frame = json.loads(line)
            answer = self._answers.get(frame["t"])
            if answer is None:
                raise wire.WireError(f"{frame['t']}: not to a host of clockwork")
            answer(frame)
        self._fill()

    def _on_hello(self, frame: dict[str, Any]) -> None:
        self._slots = frame["slots"] or self.cores
        self._write([f"\nSSHJOBS-READY {self._nonce}\n"])
        self._say(t="welcome", v=wire.VERSION, pid=1, resumed=False, boot=self.boot, pidns=1, machine=self.name,
                  hostname=self.name, python="3.11", cores=self.cores, memory=1 << 33, gpus=[], clock=self.clock(),
                  disk=1 << 40, root="/sim", home="/sim")

    def _on_sync(self, frame: dict[str, Any]) -> None:
        for uid, _, _ in frame["a"]:
            self._say(t="state", id=uid, s="absent")

    def _on_launch(self, frame: dict[str, Any]) -> None:
        self._queue[frame["id"]] = frame["spec"].get("timeout")

    def _on_fence(self, frame: dict[str, Any]) -> None:
        # Of what has started, it is too late; and its end may be on its way.
        if frame["id"] in self._queue:
            del self._queue[frame["id"]]
            self._say_ends([(self.world.now, frame["id"], "fenced", None)])

    def _on_slots(self, frame: dict[str, Any]) -> None:
        self._slots = frame["slots"]

    def _on_bye(self, frame: dict[str, Any]) -> None:
        self._say(t="gone", processes=0, files=0)
        if self._link is not None:
            self._link.close_far()

    # -- jobs ----------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start what there are free slots for."""
        while self._queue and len(self._running) < self._slots:
            uid = next(iter(self._queue))
            limit, seconds = self._queue.pop(uid), self._seconds()
            why = "exited"
            if limit is not None and seconds > limit:
                why, seconds = "timed_out", limit
            self._run(uid, seconds, why)
        self._await_ends()

    def _run(self, uid: str, seconds: float, why: str) -> None:
        """Have a job run for some seconds from now."""
        now = self.world.now
        heapq.heappush(self._running, (now + seconds, uid, why, now))
        # A job that is soon over is told of by its end alone.
        if seconds > QUIET_START:
            if not self._started:
                self.world.at(QUIET_START, self.tell_started)
            self._started.append((uid, now))

    def _await_ends(self) -> None:
        """Wake up when the first of those that run ends."""
        if self._running and self._running[0][0] < self._next:
            self._next = self._running[0][0]
            self.world.at(self._next - self.world.now, self.end_some)

    def tell_started(self) -> None:
        """Say what has started a moment ago."""
        now, offset = self.world.now, self.clock() - self.world.now
        told = [(uid, at) for uid, at in self._started if at + QUIET_START <= now + _MOMENT]
        del self._started[:len(told)]
        self._write(f'{{"t":"started","id":"{uid}","pid":1,"at":{at + offset}}}\n' for uid, at in told)
        if self._started:
            self.world.at(self._started[0][1] + QUIET_START - now, self.tell_started)

    def end_some(self) -> None:
        """End what is due, say so, and start what waited for that."""
        now, ends = self.world.now, []
        if now + _MOMENT < self._next:
            # Set up before something shorter came; that has set up the next.
            return
        self._next = math.inf
        while self._running and self._running[0][0] <= now + _MOMENT:
            ends.append(heapq.heappop(self._running))
        self._say_ends(ends)
        self._fill()

    def _say_ends(self, ends: Iterable[tuple[float, str, str, float | None]]) -> None:
        offset = self.clock() - self.world.now
        self._write(
            f'{{"t":"ended","id":"{uid}","why":"{why}","status":{0 if why == "exited" else "null"},"signal":null,'
            f'"started":{"null" if since is None else since + offset},"ended":{at + offset},"out":0,"err":0,'
            f'"msg":null,"cpu":0.0,"rss":0}}\n' for at, uid, why, since in ends)

    # -- words ---------------------------------------------------------------------------------------------------

    def _say(self, **frame: Any) -> None:
        if self._link is not None:
            self._link.down.write(wire.encode(frame))

    def _write(self, lines: Iterable[str]) -> None:
        if self._link is not None:
            self._link.down.write("".join(lines).encode())
