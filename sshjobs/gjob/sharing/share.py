"""What one agent holds of its host, and what it waits for."""

import os

from .. import files, room, system
from .board import Board, Hold, Unshared, agent_name, directory
from .disk import Disk
from .holders import count, user_name
from .rules import SCRATCH, SLOTS, UNIT, Holding, Wish, held, lacking, may_take, sums
from .usage import EVERY, Meter

MYPY = False
if MYPY:
    from typing import Any, Callable, Iterable

#: Seconds between two looks whether somebody waits; between two tries of one that waits, whatever it sees; that a run
#: keeps what no job of it uses.
LOOK, TRY, IDLE = 0.05, 1.0, 0.25
#: Seconds that somebody keeps what he has got although others wait, however short his jobs are.
KEEPS = 0.2
#: Seconds after which it counts as broken that others decide all the time, and that nobody is asked then.
BUSY, ALONE = 2.0, 10.0
#: Seconds after which it is told that something is waited for, that lie between two words about that, and between two
#: about who holds something; how many of these are told.
PATIENCE, TELL, NAME, TOLD = 0.25, 0.25, 1.0, 5
#: In the environment of every job.
_IN_JOB = b"SSHJOBS_TOKEN"
#: Letters of a name that is written down for others.
_LETTERS = 60
#: More free slots than these are not told while a job waits.
_MOST_FREE = 64
#: Tells what the first job of ours waits for from what others of ours need.
_FIRST = "."


class Want:
    """What a job needs.

    :param amounts: how much of what; of ``slots`` every job takes some
    :param units: names of things of which each is held by one at a time, as the UUIDs of GPUs
    :ivar kind: equal for jobs that need the same
    """

    __slots__ = ("amounts", "kind")

    def __init__(self, amounts: "dict[str, int]", units: "Iterable[str]" = ()):
        self.amounts = dict(amounts, **{UNIT + name: 1 for name in units})
        self.kind = frozenset(self.amounts.items())


#: What jobs need that say nothing of it: a slot.
ONE_SLOT = Want({SLOTS: 1})


class Share:
    """One agent's.

    :param here: this boot, as :func:`procs.identity` tells it
    :param run: the run's 32 hex digits; ``name`` is what its user calls it
    :param base: a directory on the disk that jobs write to
    :param figures: tells how much there is of what on this host, as this run sees it
    :param trouble: is told what people should know
    """

    def __init__(self, here: str, run: str, name: str, base: str, figures: "Callable[[], dict[str, int]]",
                 trouble: "Callable[[str], None]"):
        self._run, self._label, self._host = run, name[:_LETTERS], os.path.basename(base)
        self._disk = Disk(base)
        self._own_figures, self._trouble = figures, trouble
        self._said_figures: "dict[str, int]" = {}
        self._board: "Board | None" = None
        self._meter: "Meter | None" = None
        self._write_at = 0.0
        self._said: "set[str]" = set()
        self._share = 1.0
        #: What was held by all when that was last looked at, and what was waited for before anything of ours may pass.
        self._held: "list[Holding]" = []
        self._ahead: "list[Wish]" = []
        self._others: "list[Holding]" = []
        self._holds: "list[Hold]" = []
        self._wish: "Wish | None" = None
        self._given = 0.0
        #: Since when something is waited for, by the monotonic clock; what was told of that, and when.
        self._since: "float | None" = None
        self._queued: "list[Want]" = []
        self._told: "dict[str, Any] | None" = None
        self._tell_at = self._name_at = 0.0
        self._named: "list[dict[str, Any]]" = []
        self._users: "dict[int, str | None]" = {}
        #: What the directory looked like when it was last looked at, and whether others waited then.
        self._seen = (0, 0)
        self._rivals = False
        self._calm_until = self._try_at = self._full_at = self._alone_until = 0.0
        self._busy_since: "float | None" = None
        self._idle_at: "float | None" = None
        try:
            # What a job starts here has what that job holds: to wait for more could be to wait for the job.
            path = None if _IN_JOB in system.environ() else directory(here)
            if path is not None:
                self._board = Board(path, agent_name())
                self._meter = Meter(self._board.own, run, self._label)
        except (Unshared, OSError) as error:
            self._go_alone(error)

    def set(self, figures: "dict[str, int]", share: float) -> None:
        """Take what people have said about this host: how much there is of what, and what share they want of it."""
        self._said_figures, self._share = figures, share

    def named(self, want: Want) -> Want:
        """Return what a job needs by the names under which it is counted."""
        return Want(self._disk.named(want.amounts)) if SCRATCH in want.amounts else want

    def _figures(self) -> "dict[str, int]":
        figures = self._own_figures()
        figures.update(self._said_figures)
        if self._disk.name:
            said = figures.pop(SCRATCH, None)
            taken = sum(one.amounts.get(self._disk.name, 0) for one in self._held)
            found = self._disk.figure(taken) if said is None else said
            if found is not None:
                figures[self._disk.name] = found
        return figures

    def _go_alone(self, error: "Exception | None", why: str = "") -> None:
        """Say why this host is not shared with others."""
        if isinstance(error, OSError):
            why = "%s: %s" % (error.filename or "its directory", error.strerror)
        why = why or str(error)
        if why not in self._said:
            self._said.add(why)
            self._trouble("slots are not shared with other runs here: %s" % why)

    # -- taking ----------------------------------------------------------------------------------------------------

    def keeps(self, hold: "Hold | None", want: Want, now: float) -> bool:
        """Tell whether a job may begin at once with what the one before had. This is asked for every job."""
        if hold is None:
            return self._board is None
        if not hold.taken or hold.amounts != want.amounts:
            return False
        if now < self._calm_until:
            return True
        if self._rivals:
            return now - hold.at < KEEPS
        self._calm_until = now + LOOK
        return not self._has_changed()

    def _has_changed(self) -> bool:
        assert self._board is not None
        try:
            return self._board.changed() != self._seen
        except OSError:
            return True

    def units(self) -> "dict[str, int]":
        """Return what others hold that is held by one at a time, with whose it is; where that cannot be seen now, as it
        was seen last."""
        if self._board is not None and system.monotonic() >= self._alone_until:
            try:
                lock = self._board.enter()
                if lock is not None:
                    try:
                        self._others = self._board.look()[0]
                    finally:
                        files.close_quietly(lock)
            except (Unshared, OSError):
                pass
        return {what[len(UNIT):]: one.person for one in self._others for what in one.amounts if what.startswith(UNIT)}

    def take(self, hold: "Hold | None", wants: "Iterable[Want]", now: float,
             since: float = 0.0) -> "tuple[int | None, Hold | None]":
        """Take all that one of several jobs needs, or nothing. Return the first of them that may begin, as its place in
        the list, and what is held for it then; ``None`` where all have to wait.

        :param hold: what was held for the job before; where something else is returned, that is of no use any more
        :param wants: of the job whose turn it is, and of others that may begin before it
        :param since: when that one began to wait, by the clock that began with the boot; 0: just now
        """
        if self._board is None or now < self._alone_until:
            return 0, None
        try:
            lock = self._board.enter()
        except Unshared as error:
            self._board = None
            self._go_alone(error)
            return 0, None
        except OSError as error:
            return self._without(error, now)
        if lock is None:
            return self._while_busy(now)
        self._busy_since = None
        try:
            return self._decide(self._board, hold, wants, since, now)
        except OSError as error:
            return self._without(error, now)
        finally:
            files.close_quietly(lock)

    def _without(self, error: OSError, now: float) -> "tuple[int | None, Hold | None]":
        """It cannot be written down what a job holds: it runs all the same."""
        self._alone_until = now + (LOOK if room.passes(error) else ALONE)
        self._go_alone(error)
        return 0, None

    def _while_busy(self, now: float) -> "tuple[int | None, Hold | None]":
        """Somebody else decides just now."""
        assert self._board is not None
        if self._busy_since is None:
            self._busy_since = now
        elif now - self._busy_since >= BUSY:
            self._busy_since, self._alone_until = None, now + ALONE
            self._go_alone(None, "somebody keeps %s locked" % self._board.path)
            return 0, None
        # Not all at the same time.
        self._try_at = now + 0.002 + 0.001 * (system.getpid() % 5)
        self._full_at = self._try_at
        return None, None

    def _decide(self, board: Board, hold: "Hold | None", wants: "Iterable[Want]", since: float,
                now: float) -> "tuple[int | None, Hold | None]":
        self._seen = board.changed()
        others, wishes = board.look()
        self._others = others
        taken = others + [self._holding(one) for one in self._holds if one.taken and one is not hold]
        self._held, self._rivals, self._calm_until = taken, bool(wishes), now + LOOK
        figures, clock = self._figures(), system.boottime()
        for place, want in enumerate(wants):
            if not place:
                wish = self._wish_for(want.amounts, figures, since or clock, _FIRST)
                self._ahead = wishes + [wish]
            else:
                wish = self._wish_for(want.amounts, figures, clock)
            if may_take(wish, taken, self._ahead, clock):
                if hold is None or not hold.taken or hold.amounts != want.amounts:
                    hold = self._give(board, hold, want, clock)
                hold.at, self._given = now, clock
                return place, hold
        return None, None

    def _wish_for(self, amounts: "dict[str, int]", figures: "dict[str, int]", since: float, key: str = "") -> Wish:
        return Wish(system.getuid(), self._run, amounts, figures, since, self._share, self._given, key, self._host)

    def _holding(self, hold: Hold) -> Holding:
        return Holding(system.getuid(), self._run, hold.amounts, 0.0, self._label, self._host)

    def _give(self, board: Board, hold: "Hold | None", want: Want, clock: float) -> Hold:
        if hold is not None and not hold.taken and not board.take_again(hold):
            self.drop(hold)
            hold = None
        if hold is None:
            hold = board.hold()
            self._holds.append(hold)
        try:
            board.write(hold, {"run": self._run, "name": self._label, "host": self._host, "amounts": want.amounts,
                               "since": round(clock, 3)})
        except OSError:
            self.drop(hold)
            raise
        self._measure(hold, clock)
        hold.amounts, hold.since = want.amounts, clock
        return hold

    def _measure(self, hold: Hold, clock: float) -> None:
        """Note what was used by what is held, until now."""
        if self._meter is not None and hold.taken and hold.amounts:
            self._meter.add(hold.amounts, clock - hold.since)
        hold.since = clock

    # -- waiting ---------------------------------------------------------------------------------------------------

    def wait(self, want: Want, since: float, now: float, queued: "list[Want]") -> None:
        """Wait for what a job needs, and hold nothing meanwhile that no job uses.

        :param since: when it began to wait, by the clock that began with the boot
        :param queued: what all jobs need that wait here
        """
        self._queued = queued
        if self._busy_since is not None:
            return
        self.give_back_idle()
        self._try_at, self._full_at = now + LOOK, now + TRY
        if self._board is None or (
                self._wish is not None and self._wish.amounts == want.amounts and self._wish.since == since):
            return
        wish = self._wish = self._wish_for(want.amounts, self._figures(), since)
        if self._since is None:
            self._since = now
        try:
            self._board.wish({"run": wish.run, "host": wish.host, "amounts": wish.amounts, "figures": wish.figures,
                              "since": round(wish.since, 3), "given": round(wish.given, 3), "share": wish.share})
            self._board.touch()
        except OSError as error:
            self._go_alone(error)

    def consider(self, want: "Want | None" = None) -> None:
        """A job has come, or may start now: where others wait for something else, try at once whether it may begin."""
        if self._wish is not None and (want is None or want.amounts != self._wish.amounts):
            self._try_at = self._full_at = 0.0

    def stay(self, now: float) -> None:
        """Keep the place among those who wait, although nothing can be started just now."""
        self._try_at, self._full_at = now + LOOK, now + TRY

    def may_try(self, now: float) -> bool:
        """Tell whether it makes sense to ask for something: not while nothing has changed for what is waited for."""
        if self._wish is None and self._busy_since is None:
            return True
        if now < self._try_at:
            return False
        if now < self._full_at and not self._has_changed():
            self._try_at = min(now + LOOK, self._full_at)
            return False
        return True

    def stop_waiting(self) -> None:
        """Wait for nothing any more."""
        self._busy_since = self._since = None
        if self._wish is not None:
            self._wish = None
            if self._board is not None:
                self._board.no_wish()
                self._touch()

    # -- telling the manager ---------------------------------------------------------------------------------------

    def news(self, now: float) -> "dict[str, Any] | None":
        """Return the keys of a frame about what is waited for, where something else is to be told than before."""
        if now < self._tell_at or (self._since is None and self._told is None):
            return None
        told = None if self._since is None or now - self._since < PATIENCE else self._waiting(now)
        if told == self._told:
            return None
        self._told, self._tell_at = told, now + TELL
        return {"slots": None, "who": [], "stalled": 0, "parts": []} if told is None else told

    def tell_again(self) -> None:
        """Somebody new listens."""
        self._told, self._tell_at = None, 0.0

    def _waiting(self, now: float) -> "dict[str, Any]":
        if now >= self._name_at:
            self._named, self._name_at = self._holders(), now + NAME
        return dict(self._parts(), who=self._named)

    def _holders(self) -> "list[dict[str, Any]]":
        others = [one for one in self._held if one.run != self._run]
        holders = count(others or self._held)[:TOLD]
        for one in holders:
            if one["uid"] not in self._users:
                self._users[one["uid"]] = user_name(one["uid"])
            one["user"] = self._users[one["uid"]]
            one["units"] = len(one["units"])
            del one["since"]
        return holders

    def _parts(self) -> "dict[str, Any]":
        """Return how many slots the run may have and how many those jobs want that wait here; likewise of what else
        others hold or these lack."""
        figures, clock, total = self._figures(), system.boottime(), held(self._held)
        own = sums(hold.amounts for hold in self._holds if hold.taken)

        def may(amounts: "dict[str, int]") -> bool:
            return may_take(self._wish_for(amounts, figures, clock), self._held, self._ahead, clock)

        kinds = {want.kind: want.amounts for want in self._queued}
        stalled = {kind: kinds[kind] for kind in kinds if not may(kinds[kind])}
        wanted = sums(want.amounts for want in self._queued if want.kind in stalled)
        parts = {}
        scarce = {what for amounts in stalled.values() for what in lacking(amounts, total, figures)}
        scarce.update(what for what in figures if total.get(what, 0) > own.get(what, 0))
        for what in sorted(scarce - {SLOTS}):
            one = parts[_shown(what)] = {"what": _shown(what), "has": 0, "stalled": 0}
            if not what.startswith(UNIT):  # GPUs are told by themselves, with who has them
                one["has"] = own.get(what, 0) + max(0, figures[what] - total.get(what, 0))
                one["stalled"] = wanted.get(what, 0)
        most = min(figures.get(SLOTS, 0) - total.get(SLOTS, 0), _MOST_FREE)
        free = next((number for number in range(most, 0, -1) if may({SLOTS: number})), 0)
        return {"slots": own.get(SLOTS, 0) + free, "stalled": wanted.get(SLOTS, 0), "parts": list(parts.values())}

    # -- giving back -----------------------------------------------------------------------------------------------

    def give_back_idle(self) -> None:
        """Hold nothing that no job uses."""
        idle = [hold for hold in self._holds if hold.taken and hold.idle]
        for hold in idle:
            self._measure(hold, system.boottime())
            Board.give_back(hold)
        if idle:
            self._touch()

    def drop(self, hold: "Hold | None") -> None:
        """Hold it no more, and never again."""
        if hold is not None and hold in self._holds:
            self._holds.remove(hold)
            self._measure(hold, system.boottime())
            Board.drop(hold)
            self._touch()

    def _touch(self) -> None:
        if self._rivals and self._board is not None:
            try:
                self._board.touch()
            except OSError:  # they look again by themselves
                pass

    def due(self, now: float) -> float:
        """Return when to call :meth:`act`, by the monotonic clock; when to try again for what is waited for."""
        due = now + 3600.0
        if self._wish is not None or self._busy_since is not None:
            due = self._try_at
        if self._holds:
            due = min(due, self._write_at)
        return due if self._idle_at is None else min(due, self._idle_at)

    def begun(self) -> None:
        """Note that a job begins with what is held for it."""
        if self._meter is not None:
            self._meter.count_job()

    def act(self, now: float) -> None:
        """Give back what no job has used for a while, and write down what is used."""
        if now >= self._write_at:
            if self._write_at:
                self._write_usage()
            self._write_at = now + EVERY
        if not any(hold.taken and hold.idle for hold in self._holds):
            self._idle_at = None
        elif self._idle_at is None:
            self._idle_at = now + IDLE
        elif now >= self._idle_at:
            self._idle_at = None
            self.give_back_idle()

    def leave(self) -> None:
        """Hold nothing any more, and leave nothing behind."""
        for hold in list(self._holds):
            self.drop(hold)
        if self._meter is not None:
            self._meter.write()
        if self._board is not None:
            self._board.leave()

    def _write_usage(self) -> None:
        clock = system.boottime()
        for hold in self._holds:
            self._measure(hold, clock)
        if self._meter is not None:
            self._meter.write()


def _shown(what: str) -> str:
    """Return what a manager calls a thing of which there is too little."""
    if what.startswith(UNIT):
        return "gpus"
    return SCRATCH if what.startswith(SCRATCH + ".") else what
