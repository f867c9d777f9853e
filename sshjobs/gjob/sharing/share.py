"""What one agent holds of its host, and what it waits for."""

from .. import files, room, system
from .board import Board, Hold, Unshared, agent_name, directory
from .holders import count, user_name
from .rules import SLOTS, UNIT, Holding, Wish, may_take
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
#: Seconds after which it is told that something is waited for, and that lie between two words about that; how many of
#: those who hold something are told.
PATIENCE, TELL, TOLD = 0.5, 1.0, 5
#: In the environment of every job.
_IN_JOB = b"SSHJOBS_TOKEN"
#: Letters of a name that is written down for others.
_LETTERS = 60


class Want:
    """What a job needs.

    :param amounts: how much of what; of ``slots`` every job takes some
    :param units: names of things of which each is held by one at a time, as the UUIDs of GPUs
    """

    __slots__ = ("amounts",)

    def __init__(self, amounts: "dict[str, int]", units: "Iterable[str]" = ()):
        self.amounts = dict(amounts, **{UNIT + name: 1 for name in units})


#: What jobs need that say nothing of it: a slot.
ONE_SLOT = Want({SLOTS: 1})


class Share:
    """One agent's.

    :param here: this boot, as :func:`procs.identity` tells it
    :param run: the run's 32 hex digits; ``name`` is what its user calls it
    :param host: what the host's name becomes in paths
    :param figures: tells how much there is of what on this host, as this run sees it
    :param trouble: is told what people should know
    """

    def __init__(self, here: str, run: str, name: str, host: str, figures: "Callable[[], dict[str, int]]",
                 trouble: "Callable[[str], None]"):
        self._run, self._label, self._host = run, name[:_LETTERS], host
        self._own_figures, self._trouble = figures, trouble
        self._said_figures: "dict[str, int]" = {}
        self._board: "Board | None" = None
        self._meter: "Meter | None" = None
        self._write_at = 0.0
        self._said: "set[str]" = set()
        self._share = 1.0
        #: What was held by all when that was last looked at.
        self._held: "list[Holding]" = []
        self._holds: "list[Hold]" = []
        self._wish: "Wish | None" = None
        self._given = 0.0
        #: Since when something is waited for, by the monotonic clock; what was told of that, and when.
        self._since: "float | None" = None
        self._told: "dict[str, Any] | None" = None
        self._tell_at = 0.0
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

    def _figures(self) -> "dict[str, int]":
        figures = self._own_figures()
        figures.update(self._said_figures)
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

    def take(self, hold: "Hold | None", want: Want, now: float) -> "tuple[bool, Hold | None]":
        """Take all that a job needs, or nothing; tell whether it may begin, and return what is held for it then.

        :param hold: what was held for the job before; where something else is returned, that is of no use any more
        """
        if self._board is None or now < self._alone_until:
            return True, None
        try:
            lock = self._board.enter()
        except Unshared as error:
            self._board = None
            self._go_alone(error)
            return True, None
        except OSError as error:
            return self._without(error, now)
        if lock is None:
            return self._while_busy(now)
        self._busy_since = None
        try:
            return self._decide(self._board, hold, want, now)
        except OSError as error:
            return self._without(error, now)
        finally:
            files.close_quietly(lock)

    def _without(self, error: OSError, now: float) -> "tuple[bool, Hold | None]":
        """It cannot be written down what a job holds: it runs all the same."""
        self._alone_until = now + (LOOK if room.passes(error) else ALONE)
        self._go_alone(error)
        return True, None

    def _while_busy(self, now: float) -> "tuple[bool, Hold | None]":
        """Somebody else decides just now."""
        assert self._board is not None
        if self._busy_since is None:
            self._busy_since = now
        elif now - self._busy_since >= BUSY:
            self._busy_since, self._alone_until = None, now + ALONE
            self._go_alone(None, "somebody keeps %s locked" % self._board.path)
            return True, None
        # Not all at the same time.
        self._try_at = now + 0.002 + 0.001 * (system.getpid() % 5)
        self._full_at = self._try_at
        return False, None

    def _decide(self, board: Board, hold: "Hold | None", want: Want, now: float) -> "tuple[bool, Hold | None]":
        self._seen = board.changed()
        others, wishes = board.look()
        held = others + [self._holding(one) for one in self._holds if one.taken and one is not hold]
        self._held, self._rivals, self._calm_until = held, bool(wishes), now + LOOK
        clock, head = system.boottime(), self._wish
        wish = self._wish_for(want, clock)
        if head is not None and head.amounts == want.amounts:
            wish.since = head.since
        elif head is not None:
            wishes = wishes + [head]
        if not may_take(wish, held, wishes, clock):
            return False, None
        if hold is None or not hold.taken or hold.amounts != want.amounts:
            hold = self._give(board, hold, want, clock)
        hold.at, self._given = now, clock
        return True, hold

    def _wish_for(self, want: Want, clock: float) -> Wish:
        return Wish(system.getuid(), self._run, want.amounts, self._figures(), clock, self._share,
                    self._given, "", self._host)

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

    def wait(self, want: Want, now: float) -> None:
        """Wait for what a job needs, and hold nothing meanwhile that no job uses."""
        if self._busy_since is not None:
            return
        self.give_back_idle()
        self._try_at, self._full_at = now + LOOK, now + TRY
        if self._board is None or (self._wish is not None and self._wish.amounts == want.amounts):
            return
        wish = self._wish = self._wish_for(want, system.boottime())
        if self._since is None:
            self._since = now
        try:
            self._board.wish({"run": wish.run, "host": wish.host, "amounts": wish.amounts, "figures": wish.figures,
                              "since": round(wish.since, 3), "given": round(wish.given, 3), "share": wish.share})
            self._board.touch()
        except OSError as error:
            self._go_alone(error)

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
        told = None if self._since is None or now - self._since < PATIENCE else self._waiting()
        if told == self._told:
            return None
        self._told, self._tell_at = told, now + TELL
        return {"slots": None, "who": []} if told is None else told

    def tell_again(self) -> None:
        """Somebody new listens."""
        self._told, self._tell_at = None, 0.0

    def _waiting(self) -> "dict[str, Any]":
        others = [one for one in self._held if one.run != self._run]
        holders = count(others or self._held)
        for one in holders[:TOLD]:
            if one["uid"] not in self._users:
                self._users[one["uid"]] = user_name(one["uid"])
            one["user"] = self._users[one["uid"]]
            one["units"] = len(one["units"])
            del one["since"]
        slots = sum(hold.amounts.get(SLOTS, 0) for hold in self._holds if hold.taken)
        return {"slots": slots, "who": holders[:TOLD]}

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
