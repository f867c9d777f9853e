"""Leases: how long an attempt may run on while no manager is heard of.

From time to time the agent sends the manager the time by this host's clock, and the manager sends it back. A lease is
renewed from the time of the question, however long question and answer took. So a manager that counts from its last
answer never takes a lease for over while it still runs here.
"""

import os

from . import files, journal, procs, system

NEVER = float("-inf")
#: Seconds between two looks at a lease. Timers stand still while a machine sleeps, so a single long one would be late.
LOOK_INTERVAL = 1.0
#: Seconds between TERM and KILL for an attempt whose lease has run out.
GRACE = 5.0
#: The manager is asked so often within the shortest lease, and at least every so many seconds.
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
    """When a manager was last heard of. It is kept in a file, for the runners and for the next agent.

    :ivar at: by :func:`clock`; minus infinity where no manager was heard of since the host was booted
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
        """Write down a later time, for the runners; return the error if that fails."""
        if at <= self.at:
            return None
        self.at = at
        line = b'{"k":"heard","boot":"%s","at":%20.6f}' % (procs.identity().encode("ascii"), at)
        try:
            fd = system.open(self._path, os.O_CREAT | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
            try:
                # Overwritten in place with a record of the same length: once the file exists, a full disk does no harm.
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
        """Return the time to send to the manager."""
        return clock()


class Leases:
    """The leases of all attempts that have not ended, kept by the agent.

    :ivar ask_at: when to ask the manager, by the monotonic clock
    """

    def __init__(self, heard: Heard):
        self._heard = heard
        self._of: "dict[str, float]" = {}
        #: Attempts from before this link. If their lease ran out, the manager may have started them elsewhere.
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
        """Note a new link: all attempts so far came over earlier ones."""
        self._before = set(self._of)
        self.ask_at = 0.0

    def ask(self, now: float) -> "float | None":
        """Return the time to send to the manager, ``None`` while that is not due."""
        if not self._of or now < self.ask_at:
            return None
        self.ask_at = now + min(min(self._of.values()) / _ASKED_IN_A_LEASE, _LONGEST_PAUSE)
        return self._heard.now()

    def renew(self, at: float) -> "tuple[list[str], OSError | None]":
        """Renew all leases by the manager's answer to a question of that time. Return the attempts whose lease had
        already run out, which are not renewed, and the error if the runners could not be told."""
        over = sorted(uid for uid in self._before if not self.covers(uid))
        self._before = set()
        return over, self._heard.note(at)
