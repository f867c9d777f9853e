"""The agent: one process per run and host. It holds what the run has here, serves one link at a time, never blocks."""

import errno
import os

from .. import cgroup, files, room, system, wire
from ..sharing import rules
from ..sharing.share import Share
from . import facts, succession
from .attempts import RUNNING, Attempt, History
from .blobs import Blobs
from .crew import Crew
from .link import ENOUGH, PAUSE, TOO_MUCH, Link, LinkLost
from .listener import Listener
from .loop import READ, WRITE, Loop
from .pool import Pool
from .talk import Talk

MYPY = False
if MYPY:
    from typing import Any

    from ..door import Door
    from ..places import Places
    from .batches import Batches
    from .entry import Beginning
    from .pulse import Pulse

#: Seconds without a link and without anything to do after which the agent goes; at once where nobody has spoken to it.
IDLE_EXIT = 60.0
#: Seconds between two turns while this host is short of something, and after which another agent is to try.
PAUSE_IF_SHORT, GIVES_UP = 0.1, 60.0
#: Seconds between two looks whether the front is there that is to bring the first link; between two words at the end.
LOOK_FOR_FRONT, TELLS_OF_CLEARING = 0.05, 1.0
#: Seconds after which a new link is told how this host fares: not while it has its first jobs to start.
FIRST_PULSE = 2.0
#: The same after it could not be found out.
NO_PULSE = 600.0
#: While so many jobs wait here, nobody waits for news: what is no longer than SMALL_NEWS bytes is gathered for so many
#: seconds. Each write wakes an sshd, an ssh and the manager, which costs them more than the news of ten jobs.
PLENTY, SMALL_NEWS, GATHER = 8, 1 << 15, 0.03
#: Seconds that a link is kept waiting while it is not known whether jobs can be carried out here.
EARLY = 20.0
#: Most warnings that wait for a link.
UNTOLD = 10


class Agent(Listener):
    """Everything of one run on one host.

    :param door: where fronts bring links
    :param hello: the first; it says once and for all which run and host this is
    :param front: pid of our parent, which brings the first link
    """

    def __init__(self, door: "Door", hello: "dict[str, Any]", places: "Places", front: int, beginning: "Beginning"):
        self._places, self._door, self._front = places, door, front
        self._talk: "Talk | None" = None
        #: What was to be said while there was nobody to say it to.
        self._untold: "list[str]" = []
        self._resumed = beginning.resumed
        self._history = History(places, elsewhere="batch" in hello)
        self._history.after_a_kill = beginning.killed
        for path in self._history.cgroups:  # of those that died with their jobs; in others something is left
            cgroup.remove(path)
        self._blobs = Blobs(places, kept=hello["root"] is None)
        if self._history.here not in self._history.boots:
            self._blobs.forget_all()
        self._loop = Loop()
        share = Share(self._history.here, hello["run"], hello["name"], places.base,
                      lambda: self._figures(pool), self._on_unshared)
        pool = Pool(places, self._history, hello["name"], hello["host"], hello["slots"], share.drop)
        #: The same, where jobs are not carried out on this host.
        self._batches: "Batches | None" = None
        #: A link that came before it is known whether they can be, its hello, and until when it is kept waiting.
        self._early: "tuple[Link, dict[str, Any], float] | None" = None
        self._crew = self._new_crew(hello, pool, share)
        self._facts = beginning.about
        self._pulse: "Pulse | None" = None
        #: When the link is told how this host fares.
        self._pulse_at = 0.0
        self._idle_since: "float | None" = None
        self._stays = IDLE_EXIT
        self._had_link = False
        #: Something was said to us after a hello.
        self._spoken_to = False
        #: When what is gathered is to be written; and whether all went out at the last write.
        self._write_at: "float | None" = None
        self._flows = True
        self._done = False
        #: Since when something has failed in every turn.
        self._short_since: "float | None" = None
        self._loop.watch(door.fileno(), self._on_door)
        if beginning.first is not None:
            self._take(*beginning.first, welcomed=True)

    def _new_crew(self, hello: "dict[str, Any]", pool: Pool, share: Share) -> Crew:
        if "batch" not in hello:
            return Crew(self._places, self._history, self._loop, self, pool, share)
        from .batches import SLOTS, Batches  # where jobs are not carried out here

        pool.usual = SLOTS
        pool.set_slots(hello["slots"])
        self._batches = Batches(self._places, self._history, self._loop, self, pool, share, hello["batch"],
                                (hello["name"], hello["host"]))
        return self._batches

    def run(self) -> None:
        """Serve until the run is over or nobody needs us."""
        subreaper = False
        while not self._done:
            if not subreaper and self._talk is not None:  # not before: it is not to delay the welcome
                self._crew.inherits = system.adopt_orphans()
                subreaper = True
            try:
                self._loop.turn(self._patience())
                self._act()
                self._short_since = None
            except LinkLost:
                self._drop_link()
            except (OSError, MemoryError) as error:
                self._come_again(error)

    def _patience(self) -> float:
        """Seconds until something is due."""
        now = system.monotonic()
        due = now if self._blobs.busy else self._crew.due(now)
        if self._talk is not None:
            due = min(due, self._talk.due(now), self._pulse_at)
        if self._write_at is not None:
            due = min(due, self._write_at)
        if self._early is not None:
            due = min(due, now + LOOK_FOR_FRONT)
        if self._idle_since is not None:
            due = min(due, self._idle_since + self._stays)
        if not self._had_link:
            due = min(due, now + LOOK_FOR_FRONT)
        return max(0.0, due - now)

    def _come_again(self, error: "OSError | MemoryError") -> None:
        """Something could not be done for want of a descriptor, of memory, of an answer of the disk. What was not done
        is still due, and nothing was concluded from it: wait, and do it then.

        :raises OSError: for too long; the next agent has more luck, or says to somebody that it has none
        """
        now = system.monotonic()
        if self._short_since is None:
            self._short_since = now
            system.note_failure()
            if not isinstance(error, OSError):
                error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
            self.on_trouble("this host is short of something; what is due there waits: %s"
                            % room.words(error, self._places.root))
        elif now - self._short_since >= GIVES_UP:
            raise error
        system.sleep(PAUSE_IF_SHORT)

    def _act(self) -> None:
        """What follows from all that came in at once: launches, looks, outputs, and one write."""
        now = system.monotonic()
        self._crew.act(now)
        self._see_early(now)
        self._blobs.work()
        self._history.journal.retry()
        if self._talk is not None:
            if now >= self._pulse_at:
                self._beat(self._talk.link, now)
            waiting = self._crew.share.news(now)
            if waiting is not None:
                self._talk.link.say(t="shared", **waiting)
            self._talk.stream(now)
            if not self._gathers(self._talk.link, now):
                self._write(self._talk.link)
        self._crew.clean_up()
        self._consider_leaving(now)

    def _beat(self, link: Link, now: float) -> None:
        """Say how this host fares, but to nobody who does not listen."""
        try:
            if self._pulse is None:
                from .pulse import Pulse  # runs that are over before need not load it

                self._pulse = Pulse(self._places, self._crew, bool(self._facts.get("gpus")), now)
            told = self._pulse.beat(now)
            self._pulse_at = self._pulse.at
        except Exception:  # noqa: BLE001  (a fault of ours costs the pulse, not the watch over the jobs)
            system.note_failure()
            self._pulse_at = now + NO_PULSE
            return
        if told is not None and link.waiting < ENOUGH:
            link.say(t="pulse", **told)
            if self._pulse.warning is not None:
                link.say(t="warn", msg=self._pulse.warning)

    def _gathers(self, link: Link, now: float) -> bool:
        """True while what is to be written may wait for more, or for more room."""
        if link.paused and self._write_at is not None:
            return now < self._write_at
        if not link.waiting or link.waiting > SMALL_NEWS or len(self._crew.queue) < PLENTY or not self._flows:
            return False
        if self._write_at is None:
            self._write_at = now + GATHER
        return now < self._write_at

    def _write(self, link: Link) -> None:
        self._write_at, self._flows = None, link.flush()
        reads = READ if link.waiting <= TOO_MUCH else 0
        if link.paused:
            self._write_at = system.monotonic() + PAUSE
        writes = WRITE if link.waiting and not link.paused else 0
        if link.reading == link.writing:
            self._loop.want(link.reading, reads | writes)
        else:
            self._loop.want(link.reading, reads)
            self._loop.want(link.writing, writes)

    # -- links -----------------------------------------------------------------------------------------------------

    def _on_door(self) -> None:
        came = self._door.accept()
        if came is None:
            return
        hello, reading, writing, front = came
        self._take(hello, Link(reading, writing, front))

    def _take(self, hello: "dict[str, Any]", link: Link, welcomed: bool = False) -> None:
        if hello["epoch"] < self._history.epoch:
            link.say(t="stale", epoch=self._history.epoch)
            _hang_up(link)
            return
        if hello["epoch"] > self._history.epoch or self._history.here not in self._history.boots:
            self._history.note_epoch(hello["epoch"])
        self._drop_link()
        if self._batches is None:
            self._begin(link, hello, welcomed)
            return
        if self._early is not None:
            _hang_up(self._early[0])
        self._early = link, hello, system.monotonic() + EARLY

    def _see_early(self, now: float) -> None:
        """Begin with a link that was kept waiting, or turn it away, once it is known which."""
        if self._early is None or self._batches is None:
            return
        link, hello, until = self._early
        refusal = self._batches.probe.refusal()
        if refusal is None:
            self._early = None
            self._begin(link, hello)
        elif refusal.kind != "waits" or now >= until:
            self._early = None
            link.say(t="refused", kind=refusal.kind, why=refusal.why, hint=refusal.hint)
            _hang_up(link)

    def _begin(self, link: Link, hello: "dict[str, Any]", welcomed: bool = False) -> None:
        reading, writing, front = link.reading, link.writing, link.front
        try:
            self._loop.watch(reading, self._on_link)
            if writing != reading:
                self._loop.watch(writing, self._on_writable, 0)
            self._loop.watch(front.fileno(), self._drop_link)
        except OSError as error:  # a plain file or /dev/null; two descriptions of one file are fine
            self._loop.forget(reading)
            self._loop.forget(writing)
            link.say(t="error", msg="standard input and output must be pipes or sockets: %s" % error)
            _hang_up(link)
            return
        self._had_link = True
        self._crew.pool.set_slots(hello["slots"])
        self._talk = Talk(link, self._crew, self._history, self._blobs, self._places, self._on_bye)
        self._pulse_at = system.monotonic() + FIRST_PULSE
        if not welcomed:
            if not self._facts:
                self._facts = dict(facts.gather(), **({} if self._batches is None else self._batches.facts))
            facts.welcome(link, self._door, self._places, self._facts, self._resumed)
        self._resumed = True
        for msg in self._untold:
            link.say(t="warn", msg=msg)
        self._untold.clear()
        self._crew.share.tell_again()

    def _on_link(self) -> None:
        talk = self._talk
        if talk is None:
            return
        try:
            for frame, line, body in talk.link.receive():
                self._spoken_to = True
                talk.obey(frame, line, body)
                if self._talk is not talk:
                    return
        except LinkLost:
            self._drop_link()
        except wire.WireError as error:
            self._complain(str(error))
        except Exception as error:  # noqa: BLE001  (a fault of ours costs the link, not the watch over the jobs)
            system.note_failure()
            self._complain("the agent failed: %r" % error)

    def _on_writable(self) -> None:
        """There is room again, which the end of every turn uses; if none was wanted, nobody reads any more."""
        if self._talk is not None and not self._talk.link.waiting:
            self._drop_link()

    def _complain(self, msg: str) -> None:
        if self._talk is not None:
            self._talk.link.say(t="error", msg=msg)
            _try_flush(self._talk.link)
            self._drop_link()

    def _drop_link(self) -> None:
        talk, self._talk, self._write_at, self._flows = self._talk, None, None, True
        if talk is None:
            return
        for fd in (talk.link.reading, talk.link.writing, talk.link.front.fileno()):
            self._loop.forget(fd)
        self._blobs.forget_halves()
        talk.close()
        # A manager that has heard nothing of a host by the end of its run closes the connection without a bye.
        self._stays = IDLE_EXIT if self._spoken_to or not self._unused() else 0.0

    # -- what becomes of attempts ----------------------------------------------------------------------------------

    def on_start(self, attempt: Attempt) -> None:
        if self._talk is not None:
            self._talk.on_start(attempt)

    def on_end(self, attempt: Attempt) -> None:
        if self._talk is not None:
            self._talk.on_end(attempt)

    def on_word(self, attempt: Attempt, line: bytes) -> None:
        if self._talk is not None:
            self._talk.on_word(attempt, line)

    def on_gpus(self, told: "dict[str, object]") -> None:
        if self._talk is not None:
            self._talk.link.say(t="gpus", **told)

    def on_trouble(self, msg: str) -> None:
        if self._talk is not None:
            self._talk.warn(msg)

    def _figures(self, pool: Pool) -> "dict[str, int]":
        """Return how much there is of what on this host, as far as it tells that by itself."""
        figures = {rules.SLOTS: pool.slots}
        if self._facts.get("memory"):
            figures[rules.MEMORY] = self._facts["memory"]
        return figures

    def _on_unshared(self, msg: str) -> None:
        if self._talk is not None:
            self._talk.warn(msg)
        elif len(self._untold) < UNTOLD:
            self._untold.append(msg)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _on_bye(self) -> None:
        for uid, attempt in self._crew.attempts.items():
            if attempt.state == RUNNING:
                raise wire.WireError("bye: %s runs" % uid)
        processes = self._crew.dismiss()
        self._blobs.close()
        kept = self._kept()
        left = self._door.close_and(lambda: self._clean(kept))
        self._done = True  # whatever fails from here on: nobody finds us any more
        assert self._talk is not None
        self._talk.link.say(t="gone", processes=processes, files=left, **({"kept": len(kept)} if kept else {}))
        _try_flush(self._talk.link)
        # The link ends with this process: who waits for its end finds nothing of us any more.

    def _kept(self) -> "set[str]":
        """Return the attempts whose directories stay here after the run."""
        kept = {uid for uid in self._history.kept if files.exists(self._places.cwd(uid))}
        if kept:
            try:
                self._history.note_end()
            except OSError:  # a full disk: what was written before tells it as well
                system.note_failure()
        return kept

    def _clean(self, kept: "set[str]") -> int:
        """Delete all that is here but directories that are kept; while that takes, tell how far it is."""
        left, pieces, said = 0, 0, system.monotonic()
        for so_far in self._places.clearing(kept):
            left, pieces = so_far, pieces + 1
            if self._talk is not None and system.monotonic() - said >= TELLS_OF_CLEARING:
                said = system.monotonic()
                self._talk.link.say(t="clearing", pieces=pieces)
                _try_flush(self._talk.link)
        return left or self._places.remove_empty_parents()

    def _consider_leaving(self, now: float) -> None:
        if self._talk is not None or self._crew.works():
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif not self._had_link and self._stays and system.getppid() != self._front:
            self._stays = 0.0  # the front that was to bring us a link is gone
        elif now - self._idle_since >= self._stays:
            self._idle_since, self._stays = now, IDLE_EXIT
            # What the disk has no room for would be forgotten with us.
            if self._history.journal.retry() and self._door.try_close():
                # Whatever fails from here on: nobody finds us, and what is here is for the next agent.
                self._done = True
                if self._unused():
                    self._clean(set())
                else:
                    succession.leave(self._places)
                self._crew.share.leave()

    def _unused(self) -> bool:
        return self._crew.unused and not self._history.released


def _try_flush(link: Link) -> None:
    try:
        link.flush()
    except LinkLost:
        pass


def _hang_up(link: Link) -> None:
    _try_flush(link)
    link.close()
