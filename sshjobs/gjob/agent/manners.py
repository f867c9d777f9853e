"""Manners: when no job is started on this host, and what becomes then of those that run.

It goes by this host's own clock and needs no manager: what was promised holds as well while the link is down.
"""

import os

from .. import lease, system
from . import facts
from .attempts import RUNNING

MYPY = False
if MYPY:
    from typing import Any, Callable, Mapping

    from .attempts import Attempt

#: Seconds for which a look at load and memory is good; after which a host that is closed for what may pass at any
#: moment is looked at again; after which any is: clocks are set, and a machine that has slept has missed its timers.
GOOD, LOOK_AGAIN, LONGEST = 1.0, 2.0, 60.0
#: A change that is so many seconds off what was told is told again.
_OFF = 30.0
_DAY = 86400.0
#: Who may make this file has the host: nobody without root, or who was given the directory.
FOR_ALL = "/etc/sshjobs/away"
#: Why no job is started: the host is given back; its time of the day is over; its owner wants it; it has much to do, or
#: little memory free.
UNTIL, HOURS, AWAY, LOAD, MEMORY = "until", "hours", "away", "load", "memory"


class Manners:
    """What the manager has asked for, and what follows from that now.

    :ivar why: no job is started for this; ``None``: they are
    :ivar value: the load, or the bytes of memory that are free, where that is why
    :ivar at: when to call :meth:`look` again, by the monotonic clock
    :ivar at_end: what becomes of jobs that run when its time is over: ``finish``, ``stop`` or ``pause``
    """

    def __init__(self) -> None:
        home = system.environ().get(b"HOME", b"")
        self._marks = [os.path.join(os.fsdecode(home), ".sshjobs", "away"), FOR_ALL] if home else [FOR_ALL]
        self.why: "str | None" = None
        self.value: "float | None" = None
        self.at = 0.0
        self.at_end = "finish"
        self._load: "float | None" = None
        self._free: "int | None" = None
        self._only: "list[int] | None" = None
        #: When the host is given back, and when :attr:`why` changes by the clock alone, by that of the time since boot.
        self._leave: "float | None" = None
        self._change: "float | None" = None
        #: When load and memory were looked at last, with what was found.
        self._looked = -_DAY
        self._found: "tuple[str | None, float | None]" = (None, None)
        self._said: "tuple[str | None, float | None]" = (None, None)

    def ask(self, frame: "dict[str, Any]") -> None:
        """Note what a manager asks for."""
        self._load, self._free, self._only = frame["load"], frame["free"], frame["only"]
        self.at_end = frame["at_end"]
        self._leave = None if frame["left"] is None else system.boottime() + frame["left"]
        self.at, self._looked = 0.0, -_DAY

    @property
    def ending(self) -> "str | None":
        """What is to become of jobs that run now: ``stop``, ``pause``, or nothing."""
        if self.at_end == "finish" or self.why not in (UNTIL, HOURS):
            return None
        # What is given back does not open again.
        return "stop" if self.why == UNTIL else self.at_end

    def look(self, now: float) -> bool:
        """Find out how it stands; tell whether a job may be started."""
        self.why, self.value, left = self._look(now)
        self._change = None if left is None else system.boottime() + left
        self.at = now + min(LONGEST if left is None else max(left, 0.001),
                            LOOK_AGAIN if self.why in (AWAY, LOAD, MEMORY) else LONGEST)
        return self.why is None

    def _look(self, now: float) -> "tuple[str | None, float | None, float | None]":
        """Return why no job is started, its value, and after how many seconds the clock alone changes that."""
        left = None if self._leave is None else self._leave - system.boottime()
        if left is not None and left <= 0.0:
            return UNTIL, None, None
        if self._only is not None:
            is_open, seconds = _of_the_day(self._only)
            if not is_open:
                return HOURS, None, seconds
            left = seconds if left is None else min(left, seconds)
        if any(system.access(mark, os.F_OK) for mark in self._marks):
            return AWAY, None, None
        if self._load is not None or self._free is not None:
            if not 0.0 <= now - self._looked < GOOD:
                self._looked, self._found = now, self._busy()
            if self._found[0] is not None:
                return self._found[0], self._found[1], None
        return None, None, left

    def _busy(self) -> "tuple[str | None, float | None]":
        """Return what there is too much or too little of. What cannot be found out is no reason."""
        if self._load is not None:
            found = facts.load()
            if found is not None and found > self._load:
                return LOAD, found
        if self._free is not None:
            free = facts.available()
            if free is not None and free < self._free:
                return MEMORY, free
        return None, None

    def new_link(self) -> None:
        """Note that a manager takes jobs to be started here until it is told."""
        self._said = None, None

    def news(self) -> "dict[str, Any] | None":
        """Return the keys of a frame that tells how it stands; ``None`` where that was said on this link."""
        why, change = self._said
        same = (change is None) is (self._change is None) and abs((change or 0.0) - (self._change or 0.0)) < _OFF
        if why == self.why and same:
            return None
        self._said = self.why, self._change
        left = None if self._change is None else max(0.0, self._change - system.boottime())
        return {"why": self.why, "seconds": left, "value": self.value}


def _of_the_day(only: "list[int]") -> "tuple[bool, float]":
    """Tell whether it is that time of the day, and after how many seconds that changes."""
    at = system.time()
    local = system.localtime(at)
    second = local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec + at % 1.0
    first, last = only[0] * 60.0, only[1] * 60.0
    is_open = first <= second < last if first < last else second >= first or second < last
    return is_open, ((last if is_open else first) - second) % _DAY


class Ends:
    """What is done to jobs that run when their host's time is over, and when it begins again.

    :param attempts: all that are known, by their uid
    :param end: ends an attempt: with what grace, and why
    :param halt: stops what runs of an attempt, or lets it go on
    """

    def __init__(self, manners: Manners, attempts: "Mapping[str, Attempt]",
                 end: "Callable[[str, float, str], None]", halt: "Callable[[str, bool], None]"):
        self._manners, self._attempts, self._end, self._halt = manners, attempts, end, halt
        #: What was done last, and what was to be done at the end then: jobs may have been stopped by an earlier agent.
        self._done: "str | None" = None
        self._at_end = ""
        #: Attempts that a person has paused, or let go on again: what was wanted last.
        self._stopped: "dict[str, bool]" = {}

    def see(self, now: float) -> None:
        """Look at the time, if that is due, and do to all that runs what follows.

        :raises OSError: not all of that can be done now; it is due again
        """
        if now >= self._manners.at:
            self._manners.look(now)
        ending, at_end = self._manners.ending, self._manners.at_end
        if ending != self._done or at_end != self._at_end:
            for uid in [uid for uid, one in self._attempts.items() if one.state == RUNNING]:
                self._see_to(uid, ending, at_end)
            self._done, self._at_end = ending, at_end

    def found(self, uid: str) -> None:
        """Do it to an attempt that was found to run, and what a person wants: its runner may have died with that."""
        if self._done:
            self._see_to(uid, self._done, self._at_end)
        if uid in self._stopped:
            self.pause(uid, self._stopped[uid])

    def pause(self, uid: str, stop: bool) -> None:
        """Stop an attempt for a person, or let it go on, where its host's time is over as soon as that begins."""
        if uid not in self._attempts:
            return
        self._stopped[uid] = stop
        if stop or self._done != "pause":
            self._halt(uid, stop)

    def forget(self, uid: str) -> None:
        """Note that an attempt has ended."""
        self._stopped.pop(uid, None)

    def _see_to(self, uid: str, ending: "str | None", at_end: str) -> None:
        if ending == "stop":
            self._end(uid, lease.GRACE, "closed")
        elif at_end == "pause" and not self._stopped.get(uid):
            self._halt(uid, ending == "pause")
