"""The hosts of a run as the schedule sees them: which can be used, what each has and what of that is taken."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from sshjobs.model.gpus import GpuReport
from sshjobs.model.host import Host
from sshjobs.model.needs import Needs
from sshjobs.model.sharing import Part
from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_BUSY, STATE_ERROR, STATE_FREE, STATE_UNKNOWN
from sshjobs.scheduling.durations import SLOW, Durations
from sshjobs.scheduling.lines import Line
from sshjobs.scheduling.place import Place
from sshjobs.scheduling.queue import Queue

#: Jobs are prefetched, so that a slot that falls free starts the next one with no round trip: as many as the host ends
#: in so many seconds, on top of two round trips. What is prefetched no other host can take.
HORIZON = 0.06
#: Most jobs prefetched for a slot.
MAX_PREFETCHED = 64
#: State of a host whose slots are taken but for which more may be prefetched.
FILLING = "filling"


class ScheduledHosts:
    """Keeps what is known of each host, and counts that follow from it. Every operation is O(1) in hosts.

    :param durations: how long jobs take where
    :param slots: how many slots hosts have whose user says nothing about it; ``None``: as many as they have cores
    :ivar queue: every host: free (a slot is free), filling (more may be prefetched), busy (full, or nothing to do
        there), unknown (not reached, or away) and error (not usable until a person acts)
    :ivar brisk_slots: the slots of all hosts that can be used and are not slow
    :ivar idle: how many hosts have a free slot
    :ivar prefetching: hosts with prefetched jobs
    :ivar deferred: hosts that are deferred
    :ivar dry: hosts without a job for them in any line of theirs
    """

    def __init__(self, hosts: Iterable[Host], durations: Durations, rng: random.Random | None = None,
                 slots: int | None = None):
        self._slots = slots or 0
        self._places = {host.name: self._place(host) for host in hosts}
        self.queue: Queue[str] = Queue(
            [STATE_UNKNOWN, STATE_FREE, FILLING, STATE_BUSY, STATE_ERROR], self._places)
        if rng is not None:
            self.queue.rng = rng
        self._durations = durations
        #: How many hosts can be reached, can be used, are hungry.
        self._up = self._usable = self._hungry = 0
        self.brisk_slots = self.idle = 0
        # As keys: what comes first there is chosen, and that must not hang on how this process hashes text.
        self.prefetching, self.deferred, self.dry = dict[str, None](), dict[str, None](), dict[str, None]()

    def _place(self, host: Host) -> Place:
        return Place(host, host.slots or self._slots)

    # -- all of them ---------------------------------------------------------------------------------------------

    def __contains__(self, host: str) -> bool:
        return host in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, host: str) -> Place:
        return self._places[host]

    @property
    def names(self) -> list[str]:
        """The names of all hosts, in the user's order."""
        return list(self._places)

    def any_up(self) -> bool:
        """Tell whether any host can be reached."""
        return self._up > 0

    def any_up_beside(self, host: str, hosts: Iterable[str]) -> bool:
        """Tell whether any of some hosts but one can be reached."""
        return any(self._places[name].up for name in hosts if name != host)

    def any_usable(self) -> bool:
        """Tell whether there is any host on which jobs are launched."""
        return self._usable > 0

    def is_sated(self) -> bool:
        """Tell whether every host has enough to do for the moment, so that there is no hurry."""
        return self._up > 0 and not self._hungry

    def may_come(self, host: str, needs: Needs | None) -> bool:
        """Tell whether a host can be used for a job, or may be soon."""
        return host in self._places and self._places[host].may_come and not self._places[host].lacks(needs)

    def fullest(self) -> str | None:
        """Return the host with most prefetched jobs for its slots; ``None`` where none are."""
        return max(self.prefetching, key=lambda host: self._places[host].load / max(1, self._places[host].slots_now),
                   default=None)

    # -- one of them ---------------------------------------------------------------------------------------------

    def slots(self, host: str) -> int:
        """Return how many slots a host has; 0 where nobody knows yet."""
        return self._places[host].slots

    def slots_now(self, host: str) -> int:
        """Return how many slots a host gives this run at present, where others hold some of them."""
        return self._places[host].slots_now

    def load(self, host: str) -> int:
        """Return how many slots of a host are taken by attempts there, which are more than it has where some are
        prefetched."""
        return self._places[host].load

    def enter(self, host: str, job: Job, needs: Needs | None, gpus: Sequence[str] = ()) -> None:
        """Count an attempt of a job on a host.

        :param gpus: the UUIDs of those that it has already
        """
        place = self._places[host]
        if needs is None:
            place.load += 1
        else:
            place.load += needs.cpus
            place.room.hold(job, needs, gpus)
            place.heavy += not place.room.share(place.slots).fits(needs)
        self.settle(host)

    def leave(self, host: str, job: Job) -> None:
        """Count it no more."""
        place = self._places[host]
        needs = place.room.free(job) if place.room else None
        if needs is None:
            place.load -= 1
        else:
            place.load -= needs.cpus
            place.heavy -= not place.room.share(place.slots).fits(needs)
        if place.dry and place.shelves:
            # What did not fit may fit by now.
            self.set_dry(host, False)
        else:
            self.settle(host)

    def is_up(self, host: str) -> bool:
        """Tell whether a host can be reached."""
        return host in self._places and self._places[host].up

    def is_kept_away(self, host: str) -> bool:
        """Tell whether jobs are kept away from a host because they go wrong there."""
        return self._places[host].kept_away

    def is_drained(self, host: str) -> bool:
        """Tell whether a person wants nothing more launched on a host."""
        return self._places[host].drained

    def note_round_trip(self, host: str, seconds: float) -> None:
        """Note the time of a round trip to a host."""
        place = self._places.get(host)
        if place is not None:
            place.round_trip = seconds

    def prefetch_limit(self, host: str) -> int:
        """Return how many jobs may be prefetched to a host: none as long as nobody knows how long jobs take,
        and none of long ones."""
        place = self._places[host]
        return 0 if place.heavy or place.kept_for is not None else self._prefetch_limit(host, place)

    def _prefetch_limit(self, host: str, place: Place) -> int:
        duration = self._durations.on(host)
        if duration is None:
            return 0
        horizon = HORIZON + 2 * place.round_trip
        if duration > 2 * horizon:
            return 0
        each = MAX_PREFETCHED if duration * MAX_PREFETCHED <= horizon else int(horizon / duration) + 1
        # A few short jobs do not promise that the next ones are short.
        limit, ended = place.slots * each, self._durations.ended(host)
        return limit if limit < ended else ended

    # -- what changes --------------------------------------------------------------------------------------------

    def add(self, host: Host) -> Place:
        """Add a host, or one that comes back."""
        place = self._places[host.name] = self._place(host)
        if host.name in self.queue:
            self.queue.SetState(host.name, STATE_UNKNOWN)
        else:
            self.queue.Add(host.name)
        return place

    def remove(self, host: str) -> Place:
        """Forget a host that is down; return what was known of it."""
        self.deferred.pop(host, None)
        self.dry.pop(host, None)
        return self._places.pop(host)

    def up(self, host: str, slots: int, memory: int | None = None, disk: int | None = None) -> None:
        """A host can be used, for so many jobs at a time.

        :param memory: bytes that it has; ``disk``: bytes that are free there; 0 and ``None``: it did not tell
        """
        place = self._places[host]
        self._up += not place.up

        def change() -> None:
            place.up, place.tried, place.slots, place.shared = True, True, slots, None
            place.stalled, place.parts = 0, {}

        place.room.learn(place.host, memory, disk)
        self._change(place, change)
        self._resized(place)

    def down(self, host: str, *, lasting: bool) -> None:
        """A host cannot be used for now, or (``lasting``) until a person acts."""
        place = self._places[host]
        self._up -= place.up

        def change() -> None:
            place.up, place.tried = False, True

        self._change(place, change)
        self.queue.SetState(host, STATE_ERROR if lasting else STATE_UNKNOWN)

    def mark(self, host: str, mark: str, value: bool) -> None:
        """Note something about a host that decides whether jobs are launched there: ``drained``, ``kept_away``,
        ``prepared``, ``closed``."""
        place = self._places[host]
        self._change(place, lambda: setattr(place, mark, value))

    def set_slots(self, host: str, slots: int) -> None:
        """Change how many jobs a host takes at a time; what runs there is left alone."""
        self._places[host].slots = slots
        self._resized(self._places[host])

    def note_shared(self, host: str, slots: int | None, stalled: int = 0,
                    parts: Mapping[str, Part] = MappingProxyType({})) -> None:
        """Note how many slots a host gives this run while others hold the rest; ``None``: nothing waits for them.

        :param stalled: slots that jobs want which wait there
        :param parts: the same of what else others hold or these lack
        """
        place = self._places[host]
        place.shared, place.stalled, place.parts = slots, stalled, parts
        self._resized(place)

    def note_disk(self, host: str, free: int) -> None:
        """Note how much disk is free on a host by now, in bytes."""
        place = self._places.get(host)
        if place is not None:
            place.room.note_disk(free)
            self._resized(place)

    def note_gpus(self, host: str, report: GpuReport) -> None:
        """Note what a host has told of its GPUs."""
        self._places[host].room.gpus.note(report)
        self.look_again(host)

    def look_again(self, host: str) -> None:
        """Look again at what fits on a host, as more or less of it may be used than before."""
        self._resized(self._places[host])

    def _resized(self, place: Place) -> None:
        """Look again at what fits on a host of which more or less is there than before."""
        place.heavy = place.room.count_heavy(place.slots) if place.room else 0
        if place.dry and place.shelves:
            self.set_dry(place.host.name, False)
        else:
            self.settle(place.host.name)

    def keep_for(self, host: str, line: Line | None) -> None:
        """Launch nothing on a host but a job of one line, or anything again."""
        self._places[host].kept_for = line
        self.set_dry(host, False)

    def _change(self, place: Place, change: Callable[[], None]) -> None:
        self._usable -= place.usable
        change()
        self._usable += place.usable
        self.settle(place.host.name)

    def defer(self, host: str, until: float) -> None:
        """Give a slow host nothing more for now.

        :param until: when that makes no sense any more, by the clock of the schedule
        """
        self._places[host].deferred_until = until
        self.deferred[host] = None
        self.settle(host)

    def end_deferral(self, host: str) -> None:
        """Let a host have jobs again."""
        self.deferred.pop(host, None)
        self._places[host].deferred_until = None
        self.settle(host)

    def set_dry(self, host: str, dry: bool) -> None:
        """Note whether no line of a host has a job."""
        self._places[host].dry = dry
        if dry:
            self.dry[host] = None
        else:
            self.dry.pop(host, None)
        self.settle(host)

    def settle(self, host: str) -> None:
        """Put a host where it belongs after something about it has changed. This is done twice for every job."""
        place = self._places[host]
        load, slots, up = place.load, place.slots, place.up
        if place.shared is not None:
            load, slots = place.at_work, place.slots_now
        # An agent counts jobs, not what they take: beside one that takes more than its share nothing is sent ahead.
        limit = 0 if place.heavy or place.kept_for is not None else self._prefetch_limit(host, place)
        usable = up and place.is_welcome and not place.kept_away and place.prepared
        brisk = slots if usable and self._durations.slowness(host) <= SLOW else 0
        if brisk != place.brisk:
            self.brisk_slots += brisk - place.brisk
            place.brisk = brisk
        usable = usable and place.deferred_until is None
        idle, hungry = usable and load < slots, usable and load <= slots + limit // 2
        if idle is not place.idle:
            place.idle = idle
            self.idle += 1 if idle else -1
        if hungry is not place.hungry:
            place.hungry = hungry
            self._hungry += 1 if hungry else -1
        if up and place.load > slots:
            self.prefetching[host] = None
        else:
            self.prefetching.pop(host, None)
        if up:
            state = STATE_BUSY
            if usable and not place.dry:
                state = STATE_FREE if load < slots else FILLING if load < slots + limit else STATE_BUSY
            if self.queue.StateOf(host) != state:
                self.queue.SetState(host, state)
