"""What the schedule knows of one host."""

from __future__ import annotations

from sshjobs.model.host import Host
from sshjobs.scheduling.lines import Line, is_closed


class Place:
    """What the schedule knows of one host."""

    __slots__ = ("brisk", "deferred_until", "drained", "dry", "host", "hungry", "idle", "in_vain", "kept_away",
                 "lines", "load", "prepared", "round_trip", "slots", "tried", "up")

    def __init__(self, host: Host):
        self.host = host
        #: The lines that jobs wait in that may run here.
        self.lines: list[Line] = []
        #: How many jobs it takes at a time, and how many are there.
        self.slots = self.load = 0
        #: It can be reached; it is known whether it can.
        self.up = self.tried = False
        #: Nothing more is launched here: a person wants that, or jobs go wrong here.
        self.drained = self.kept_away = False
        #: Nothing has to be done there before jobs are launched.
        self.prepared = True
        #: No line of it had a job, the last time that one was looked for.
        self.dry = False
        self.round_trip = 0.0
        #: A slow host that gets nothing at the end has the time from which on that makes no sense any more.
        self.deferred_until: float | None = None
        #: It was deferred for as long as that, and no job has ended here since.
        self.in_vain = False
        #: Its slots if it can be used and is not slow, else 0.
        self.brisk = 0
        #: A slot is free; less than half of what may be prefetched is there.
        self.idle = self.hungry = False

    @property
    def usable(self) -> bool:
        """Whether jobs are launched here."""
        return self.may_be_used and not self.kept_away and self.prepared

    @property
    def may_come(self) -> bool:
        """Whether jobs can be launched here, now or once it is prepared; or nobody knows yet."""
        return not self.drained and not self.kept_away and (self.up or not self.tried)

    @property
    def is_wanted(self) -> bool:
        """Whether a job waits that may run here."""
        return any(line and not is_closed(line) for line in self.lines)

    @property
    def may_be_used(self) -> bool:
        """Whether it is there, and no person wants it left alone."""
        return self.up and not self.drained
