"""Leases: how long an attempt may run on while no manager is heard of.

The agent asks the manager from time to time, and the manager gives back what it was asked: the time of the question by
this host's clock. So an answer counts from its question on, however long either was on its way, and a manager that
reckons from its last answer never takes a lease for over before it is.
"""

import os

from . import files, journal, procs, system

NEVER = float("-inf")
#: Seconds between two looks at a lease. Timers stand still while the machine sleeps; a look in time ends what woke up.
LOOK_INTERVAL = 1.0
#: Seconds between TERM and KILL for an attempt whose lease has run out.
GRACE = 5.0
#: The manager is asked so often in the time of the shortest lease, and after so many seconds at the latest.
_ASKED_IN_A_LEASE, _LONGEST_PAUSE = 8.0, 20.0


class RanOut(Exception):
    """The lease of an attempt was over before it could be started. The message says so."""


def clock() -> float:
    """Return seconds since the machine was booted, those that it slept included."""
    return system.boottime()


def words(lease: float, *, started: bool = True) -> str:
    """Say what happened to an attempt."""
    return "%sits lease of %s ran out while no manager was there" % (
        "" if started else "taken back before it started: ", _duration(lease))


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and not seconds % size:
            return "%d%s" % (seconds // size, unit)
    return "%gs" % seconds


class Heard:
    """When a manager was last heard of, in a file: runners outlive their agent, and agents follow each other.

    :ivar at: by :func:`clock`; endlessly long ago where none was since the machine was booted
    """

    def __init__(self, path: str):
        self._path = path
        self.at = NEVER
        self.refresh()

    def refresh(self) -> None:
        """Read what another process has written.

        :raises OSError: it is there and cannot be read now
        """
        try:
            record = journal.parse(files.contents(self._path).partition(b"\n")[0])
        except FileNotFoundError:
            return
        if record is not None and record.get("boot") == procs.identity():
            self.at = max(self.at, record["at"])

    def note(self, at: float) -> "OSError | None":
        """Write down a later time, for the runners; return what is in the way of that."""
        if at <= self.at:
            return None
        self.at = at
        line = b'{"k":"heard","boot":"%s","at":%20.6f}' % (procs.identity().encode("ascii"), at)
        try:
            fd = system.open(self._path, os.O_CREAT | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
            try:
                # In place and of one length, so that a full disk is no hindrance once the file is there.
                system.pwrite(fd, journal.record(line), 0)
            finally:
                files.close_quietly(fd)
        except OSError as error:
            return error
        return None

    def covers(self, lease: float) -> bool:
        """True while an attempt with such a lease may run."""
        if clock() < self.at + lease:
            return True
        self.refresh()
        return clock() < self.at + lease

    def now(self) -> float:
        """Return what a manager is to give back, should it hear this."""
        return clock()


class Leases:
    """The agent's: which attempts have a lease and have not ended.

    :ivar ask_at: when to ask the manager, by the monotonic clock
    """

    def __init__(self, heard: Heard):
        self._heard = heard
        self._of: "dict[str, float]" = {}
        #: Attempts from before this link: a manager may have given them to other hosts since, if their lease is over.
        self._before: "set[str]" = set()
        self.ask_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, uid: str, lease: "float | None") -> None:
        """Add an attempt, with its lease if it has one."""
        if lease is not None:
            self._of[uid] = lease
            if not self._heard.covers(lease):
                self.ask_at = 0.0

    def drop(self, uid: str) -> None:
        """Forget an attempt, which has ended."""
        if self._of:
            self._of.pop(uid, None)

    def of(self, uid: str) -> "float | None":
        """Return the lease of an attempt."""
        return self._of.get(uid)

    def covers(self, uid: str) -> bool:
        """True while an attempt may run."""
        lease = self._of.get(uid)
        return lease is None or self._heard.covers(lease)

    def new_link(self) -> None:
        """Note that what was launched so far came over earlier links."""
        self._before = set(self._of)
        self.ask_at = 0.0

    def ask(self, now: float) -> "float | None":
        """Return what to ask the manager with, where it is time for that."""
        if not self._of or now < self.ask_at:
            return None
        self.ask_at = now + min(min(self._of.values()) / _ASKED_IN_A_LEASE, _LONGEST_PAUSE)
        return self._heard.now()

    def renew(self, at: float) -> "tuple[list[str], OSError | None]":
        """A manager has answered what it was asked at a time. Returns the attempts whose lease was over by now, which
        this cannot undo, and what kept the runners from being told."""
        over = sorted(uid for uid in self._before if not self.covers(uid))
        self._before = set()
        return over, self._heard.note(at)
