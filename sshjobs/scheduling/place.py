"""What the schedule knows of one host."""

from __future__ import annotations

from collections.abc import Mapping

from sshjobs.model.host import Host
from sshjobs.model.needs import Lack, Needs
from sshjobs.model.sharing import Part
from sshjobs.scheduling.lines import Fits, Line, is_closed
from sshjobs.scheduling.room import Free, Room
from sshjobs.scheduling.shelf import Shelf


class Place:
    """What the schedule knows of one host."""

    __slots__ = ("brisk", "closed", "deferred_until", "drained", "dry", "fits", "heavy", "host", "hungry", "idle",
                 "in_vain", "kept_away", "kept_for", "lines", "load", "over", "parts", "prepared", "room",
                 "round_trip", "said_slots", "shared", "shelves", "slots", "stalled", "tried", "up")

    def __init__(self, host: Host, slots: int):
        self.host = host
        #: How many slots people say that it has; 0 where they leave that to it.
        self.said_slots = slots
        #: The lines that jobs wait in that may run here; those of jobs with needs stand in shelves.
        self.lines: list[Line] = []
        self.shelves: list[Shelf] = []
        #: How many slots it has, 0 where nobody knows, and how many are taken.
        self.slots = self.load = 0
        #: How many of them it gives this run at present, where others hold the rest; ``None`` where nobody does.
        self.shared: int | None = None
        #: How many slots those jobs want that wait there for what others hold; what it gives this run of all else.
        self.stalled = 0
        self.parts: Mapping[str, Part] = {}
        #: What it has beside that; how many of its jobs hold more than their share of it.
        self.room = Room(host)
        self.heavy = 0
        #: The line whose jobs have been passed over for so long that nothing else is launched here before one of them.
        self.kept_for: Line | None = None
        #: It can be reached; it is known whether it can.
        self.up = self.tried = False
        #: Nothing more is launched here: a person wants that, or jobs go wrong here.
        self.drained = self.kept_away = False
        #: Nothing is launched here by its manners: for now, or never again.
        self.closed = self.over = False
        #: Where that is going to begin: tells which kinds of jobs are likely to be over by then.
        self.fits: Fits | None = None
        #: Nothing has to be done there before jobs are launched.
        self.prepared = True
        #: No line of it had a job for it, the last time that one was looked for.
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
    def slots_now(self) -> int:
        """How many slots it gives this run at present. Where that is none and a large job waits there, one for a small
        one, so that the run gets the next slot that falls free."""
        if self.shared is None:
            return self.slots
        return min(self.shared or int(self.heavy > 0 and self.load <= self.slots), self.slots)

    @property
    def at_work(self) -> int:
        """How many slots are taken, but for jobs that wait there for what others hold."""
        return max(0, self.load - self.stalled)

    @property
    def usable(self) -> bool:
        """Whether jobs are launched here."""
        return self.may_be_used and not self.kept_away and self.prepared

    @property
    def may_come(self) -> bool:
        """Whether jobs can be launched here, now or once it is prepared; or nobody knows yet."""
        return self.is_welcome and not self.kept_away and (self.up or not self.tried)

    @property
    def is_wanted(self) -> bool:
        """Whether a job waits that may run here."""
        return any(line and not is_closed(line) for line in self.lines) or any(
            not shelf.is_closed and any(not self.lacks(needs) for needs in shelf.needs()) for shelf in self.shelves)

    @property
    def may_be_used(self) -> bool:
        """Whether it is there, and neither a person nor its manners want it left alone."""
        return self.up and self.is_welcome

    @property
    def is_welcome(self) -> bool:
        """Whether neither a person nor its manners want it left alone."""
        return not self.drained and not self.closed

    def free(self) -> Free:
        """Return what one more job may take here: what is left, or, where it would be prefetched, its share."""
        if self.shared is None:
            return self.room.left(self.slots - self.load) if self.load < self.slots else self.room.share(self.slots)
        free = self.slots_now - self.at_work
        return self.room.left(free, self.parts) if free > 0 else self.room.share(self.slots).without(self.parts)

    def has_room(self, line: Line) -> bool:
        """Tell whether a job of a line may be launched here at once, as far as other jobs go."""
        return self.kept_for in (None, line) and (line.needs is None or self.free().fits(line.needs)) and (
            self.fits is None or line.has_of(self.fits))

    def may_wait(self, line: Line) -> bool:
        """Tell whether a job of a line may be launched here although it does not fit: it gets its turn after those of
        others who hold some of the host."""
        needs = line.needs
        if self.shared is None or self.load + (1 if needs is None else needs.cpus) > 2 * self.slots:
            return False
        # It is told here which GPUs it gets.
        return needs is None or self.room.has_gpus(needs)

    def may_have(self, needs: Needs | None) -> bool:
        """Tell whether a job fits as soon as enough of our own have ended here: what it needs is nobody else's."""
        return needs is None or self.room.gpus.may_have(needs.gpus)

    def lacks(self, needs: Needs | None) -> list[Lack]:
        """Return of what it will never have enough for a job, as far as that is known."""
        return [] if needs is None else self.room.lacks(needs, self.slots or self.said_slots)
