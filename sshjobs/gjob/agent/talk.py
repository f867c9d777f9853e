"""The conversation on one link: answers the manager's frames, and sends outputs and ends of the attempts here."""

from .. import room, system, wire
from ..lease import clock
from .attempts import ENDED, QUEUED, launched
from .link import ENOUGH
from .outputs import Feed

MYPY = False
if MYPY:
    from typing import Any, Callable

    from ..places import Places
    from ..wire import Body
    from .attempts import Attempt, History
    from .blobs import Blobs
    from .crew import Crew
    from .link import Link
    from .pulls import Pull


#: Seconds between two warnings that outputs cannot be read; at most so many jobs are warned of for emptying theirs.
_SAID_AGAIN, _MOST_TOLD = 60.0, 20
#: Steps of file transfers in one turn.
_STEPS = 8
#: In an allocation of Slurm, an end by TERM or KILL is reported only after so many seconds. At the end of an allocation
#: Slurm kills job and agent at the same time, and such an end must not count as the job's own.
_HELD_BACK = 0.5


class Talk:
    """One conversation, from its welcome on.

    The manager is told of an attempt once it has named it (``sync``, ``launch``); of all others once it has named all
    that it knows.

    :param bye: answers the frame ``bye``
    """

    def __init__(self, link: "Link", crew: "Crew", history: "History", blobs: "Blobs", places: "Places",
                 bye: "Callable[[], None]"):
        self.link = link
        self._crew, self._history, self._blobs, self._places = crew, history, blobs, places
        #: Attempts that were reported on this link; those whose end was not sent yet; those whose outputs are followed.
        self._feeds: "dict[str, Feed]" = {}
        self._unsent: "set[str]" = set()
        self._active: "dict[str, Feed]" = {}
        #: Attempts that were warned of for emptying their outputs; when the last warning of unreadable ones was sent.
        self._emptied: "set[str]" = set()
        self._unread_at = 0.0
        #: Transfers of attempts' files, in the order of their turns.
        self._pulls: "dict[str, Pull]" = {}
        self._answers: "dict[str, Callable[[dict[str, Any], bytes, Body], None]]" = {
            "launch": self._on_launch, "release": self._on_release, "sync": self._on_sync, "put": self._on_put,
            "want": lambda frame, line, body: blobs.ask(
                frame["blobs"], lambda shas: self.link.say(t="lack", shas=shas)),
            "fence": self._on_fence, "cancel": self._on_cancel, "slots": self._on_slots,
            "share": lambda frame, line, body: crew.share.set(frame["figures"], frame["share"]), "ping": self._on_ping,
            "lease": self._on_lease, "pull": self._on_pull, "get": self._on_get,
            "manners": lambda frame, line, body: crew.manners.ask(frame),
            "drop": lambda frame, line, body: self._drop(frame["id"]),
            "pause": lambda frame, line, body: crew.ends.pause(frame["id"], True),
            "unpause": lambda frame, line, body: crew.ends.pause(frame["id"], False),
            "gpus": lambda frame, line, body: crew.gpus().look(),
            "bye": lambda frame, line, body: bye(),
        }
        self._in_allocation = b"SLURM_JOB_ID" in system.environ()
        crew.leases.new_link()
        crew.manners.new_link()

    def obey(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        """Carry out a frame.

        :raises wire.WireError: it is not allowed now
        """
        answer = self._answers.get(frame["t"])
        if answer is None:
            raise wire.WireError("%s: not here and now" % frame["t"])
        answer(frame, line, body)

    def close(self) -> None:
        """Close files and link, and keep on the attempts what the next link must know."""
        for uid, feed in self._feeds.items():
            if uid in self._crew.attempts:
                self._crew.attempts[uid].lost = feed.lost
            feed.close()
        for pull in self._pulls.values():
            pull.close()
        self.link.close()

    # -- frames ----------------------------------------------------------------------------------------------------

    def _on_launch(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        uid = frame["id"]
        if uid in self._crew.attempts or uid in self._history.released:
            self._answer(uid)
            return
        attempt = launched(frame, line)
        self._crew.launch(attempt)
        self._introduce(attempt, (0, 0))

    def _on_sync(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        for uid, out, err in frame["a"]:
            if uid in self._crew.attempts:
                self._introduce(self._crew.attempts[uid], (out, err))
            self._answer(uid)
        if frame["last"]:
            for uid in [uid for uid in self._crew.attempts if uid not in self._feeds]:
                self._answer(uid)

    def _on_put(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        trouble = self._blobs.put(frame["sha"], frame["size"], frame["crc"], frame["off"], body)
        if trouble is not None:
            self.warn(trouble)

    def _on_fence(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        attempt = self._crew.fence(frame["id"], frame.get("token"))
        if attempt is None:
            self._answer(frame["id"])
        else:
            self._introduce(attempt, (0, 0))

    def _on_cancel(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        uid = frame["id"]
        fenced = self._crew.fence(uid)
        if fenced is not None:
            self._introduce(fenced, (0, 0))
            return
        attempt = self._crew.attempts.get(uid)
        if attempt is None or attempt.state == ENDED:
            self._answer(uid)
            return
        if uid not in self._feeds:
            self._introduce(attempt, (0, 0))
        self._crew.cancel(uid, frame["grace"])

    def _on_release(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        known = [uid for uid in frame["ids"] if uid in self._crew.attempts]
        for uid in known:
            if self._crew.attempts[uid].state != ENDED:
                raise wire.WireError("release: %s has not ended" % uid)
        for uid in known:
            self._unsent.discard(uid)
            self._emptied.discard(uid)
            self._active.pop(uid, None)
            self._drop(uid)
            feed = self._feeds.pop(uid, None)
            if feed is not None:
                feed.close()
        self._crew.release(list(dict.fromkeys(known)), set(known).intersection(frame.get("keep", ())))

    def _on_pull(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        uid = frame["id"]
        if uid not in self._crew.attempts:
            self._answer(uid)
            return
        from .pulls import Pull  # only where jobs have outputs beside stdout and stderr

        self._drop(uid)
        self._pulls[uid] = Pull(frame, self._places.cwd(uid), self._blobs.keep_output if frame.get("keep") else None)

    def _on_get(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        pull = self._pulls.get(frame["id"])
        if pull is not None:
            pull.get(frame["files"], frame["more"])

    def _drop(self, uid: str) -> None:
        pull = self._pulls.pop(uid, None)
        if pull is not None:
            pull.close()

    def _on_slots(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        self._crew.pool.set_slots(frame["slots"])

    def _on_ping(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        self.link.say(t="pong", seq=frame["seq"])

    def _on_lease(self, frame: "dict[str, Any]", line: bytes, body: "Body") -> None:
        if frame["at"] > clock():
            raise wire.WireError("lease: answered before it was asked")
        self._crew.renew(frame["at"])

    def _introduce(self, attempt: "Attempt", sent: "tuple[int, int]") -> None:
        """Report an attempt from now on, and send its outputs from where the manager has them."""
        uid = attempt.uid
        if uid in self._feeds:
            self._feeds[uid].close()
        feed = Feed(self._places, uid, sent, attempt.lost, system.monotonic())
        self._feeds[uid] = feed
        self._unsent.add(uid)
        if attempt.state == QUEUED:
            self._active.pop(uid, None)
        else:
            self._active[uid] = feed
        if attempt.state == ENDED:
            self._end(feed, attempt)

    def _end(self, feed: Feed, attempt: "Attempt") -> None:
        feed.end(attempt.sizes)
        if self._in_allocation and attempt.was_killed:
            feed.next = system.monotonic() + _HELD_BACK

    def _answer(self, uid: str) -> None:
        """Send the state of an attempt. An end that was not sent yet follows by itself, after the outputs."""
        attempt = self._crew.attempts.get(uid)
        if attempt is None:
            self.link.say(t="state", id=uid, s="absent")
            return
        if uid not in self._feeds:
            self._introduce(attempt, (0, 0))
        if attempt.state != ENDED:
            self.link.say(t="state", id=uid, s=attempt.told_state)
            if attempt.started_line:
                self.link.say_line(attempt.started_line)
            if attempt.stuck:
                self.link.say(t="stuck", id=uid, pids=attempt.stuck)
        elif uid not in self._unsent:
            self.link.say_line(attempt.ended_line())

    # -- news ------------------------------------------------------------------------------------------------------

    def on_start(self, attempt: "Attempt") -> None:
        """An attempt was given to a runner: its files may grow from now on."""
        if attempt.uid in self._unsent:
            feed = self._active[attempt.uid] = self._feeds[attempt.uid]
            feed.begin(system.monotonic())

    def on_end(self, attempt: "Attempt") -> None:
        """An attempt has ended: its outputs follow, then its end."""
        if attempt.uid in self._unsent:
            feed = self._active[attempt.uid] = self._feeds[attempt.uid]
            self._end(feed, attempt)

    def on_word(self, attempt: "Attempt", line: bytes) -> None:
        """Send another frame about an attempt."""
        if attempt.uid in self._feeds:
            self.link.say_line(line)

    def warn(self, msg: str) -> None:
        """Send a warning for the user."""
        self.link.say(t="warn", msg=msg)

    def due(self, now: float) -> float:
        """Return when to call :meth:`stream`, by the monotonic clock."""
        due = self._crew.leases.ask_at if self._crew.leases else now + 3600.0
        if self.link.waiting >= ENOUGH:
            return due
        if any(pull.busy for pull in self._pulls.values()):
            return now
        if not self._active:
            return due
        return min(due, min(feed.next for feed in self._active.values()))

    def stream(self, now: float) -> None:
        """Send what is new in the files that are due, one piece of each in turn, while the link takes it."""
        told = self._crew.manners.news()
        if told is not None:
            self.link.say(t="manner", **told)
        asked = self._crew.leases.ask(now)
        if asked is not None:
            self.link.say(t="lease", at=asked)
        # One step of file transfers before the outputs, so that they get on however much jobs write; more after them.
        self._bring()
        self._send_outputs(now)
        for _ in range(_STEPS):
            if not self._bring():
                return

    def _bring(self) -> bool:
        """Do one step of a file transfer, of each attempt in turn; return whether there was anything to do."""
        if self.link.waiting < ENOUGH:
            for uid, pull in self._pulls.items():
                if pull.busy:
                    del self._pulls[uid]
                    self._pulls[uid] = pull
                    self.link.say_line(*pull.step())
                    return True
        return False

    def _send_outputs(self, now: float) -> None:
        for uid, feed in list(self._active.items()):
            if self.link.waiting >= ENOUGH:
                return
            if feed.next > now:
                continue
            news = False
            try:
                for head, data in feed.pieces():
                    self.link.say_line(head, data)
                    news = True
            except OSError as error:  # no descriptor, or a disk that does not answer: the file is there, try later
                self._cannot_read(uid, feed, now, error)
                continue
            if feed.emptied and uid not in self._emptied:
                self._tell_of_emptied(uid)
            if not feed.ended:
                feed.looked(now, news)
            elif not news:
                attempt = self._crew.attempts[uid]
                attempt.lost, attempt.missing = feed.lost, feed.missing
                self.link.say_line(attempt.ended_line())
                feed.close()
                del self._active[uid]
                self._unsent.discard(uid)

    def _cannot_read(self, uid: str, feed: Feed, now: float, error: OSError) -> None:
        feed.wait(now)
        if now >= self._unread_at:
            self._unread_at = now + _SAID_AGAIN
            self.warn("%s: its output cannot be read now and is waited for: %s"
                      % (uid, room.words(error, self._places.outputs)))

    def _tell_of_emptied(self, uid: str) -> None:
        self._emptied.add(uid)
        if len(self._emptied) <= _MOST_TOLD:
            self.warn("%s: it empties its own stdout or stderr as it runs (so does opening /dev/stdout or /dev/stderr "
                      "where they are files); what was not fetched by then is gone: write output: pipe for it" % uid)
