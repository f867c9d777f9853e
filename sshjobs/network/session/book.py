"""What is on one host, over all connections to it, and what the host's words change in that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from sshjobs.errors import ProtocolError
from sshjobs.model.causes import Cause
from sshjobs.model.outputs import directories, keeps_directory, outputs_of, wanted_after
from sshjobs.model.states import Outcome
from sshjobs.network.contract import HostUp, Released, Warned
from sshjobs.network.protocol import link as words
from sshjobs.network.protocol.checksum import combined
from sshjobs.network.session.allowance import Allowance
from sshjobs.network.session.arrivals import Arrivals
from sshjobs.network.session.attempts import Collected, Doubted, Ended, LiveAttempt, Started, ended_from, forgotten
from sshjobs.network.session.bringing import Bringing
from sshjobs.network.trouble import NearlyFull, cannot_write, nearly_full

#: Over which connection a launch was sent that an earlier manager may have sent.
BEFORE_US = -1

Emit = Callable[[Any], None]
#: Something to say to the host: a launch, or words for the link.
Item = LiveAttempt | Callable[[words.Link], None]


class Outputs(Protocol):
    """Where output lands on this machine. What raises :class:`OSError` may be tried again.

    :ivar arrivals: where other files of jobs arrive
    """

    arrivals: Arrivals

    def create(self, directory: str | Path) -> None:
        """Make the directory of an attempt and its two files."""

    def write(self, uid: str, stream: int, path: Path, offset: int, data: bytes) -> None:
        """Write all of the data at an offset of a file."""

    def forget(self, uid: str) -> None:
        """Close the files of an attempt."""


class HostBook:
    """The attempts on one host, as far as this side knows. Belongs to the network's event loop.

    :param emit: takes each event for the manager
    :param say: takes what is to be said to the host, in order
    :param given: the names of entries whose files other jobs are given
    :ivar open: the host listens; what is said while it does not is said when it is back
    :ivar boot: boot id of the host at the last connection
    :ivar told: what the way there tells of the host (see :class:`sshjobs.network.transport.base.Stream`)
    :ivar blobs: input files that the host has
    :ivar bringing: the files of ended attempts that are on their way
    :ivar allowance: how much it may say that changes nothing
    :ivar kept: how many directories of attempts it was told to keep
    :ivar connection: number of the connection that there is, or was last
    :ivar sent: bytes that were written to the host, over all connections; ``received``: that came from it
    """

    def __init__(self, host: str, outputs: Outputs, emit: Emit, say: Callable[[Item], None],
                 given: Collection[str] = ()):
        self.live: dict[str, LiveAttempt] = {}
        self.open = False
        self.boot: str | None = None
        self.told: Mapping[str, Any] = {}
        self.blobs: set[str] = set()
        self.connection = self.kept = 0
        self.sent = self.received = 0
        self.allowance = Allowance()
        #: Of attempts that were cancelled while their output waited for room here: what came since and was not kept.
        self._dropped: dict[str, list[int]] = {}
        #: Launched since the host was last asked about all that is there, while it did not listen.
        self._late: list[LiveAttempt] = []
        self._host, self._outputs, self._emit, self._say = host, outputs, emit, say
        self._to_release: list[str] = []
        self.bringing = Bringing(outputs.arrivals, say, lambda: self.open, self._all_is_here, given)

    def answer(self, kind: str, **keys: Any) -> None:
        """Send an answer that frames of the host have caused, and no request of this side.

        :raises ProtocolError: it does not read what it is answered
        """
        self.allowance.answer()

        def word(link: words.Link) -> None:
            self.allowance.unread -= 1
            link.say(kind, **keys)
        self._say(word)

    # -- what the manager asks for -------------------------------------------------------------------------------

    def launch(self, attempt: LiveAttempt) -> None:
        """Have an attempt started, now or as soon as the host can be reached."""
        self.live[attempt.uid] = attempt
        if self.open:
            self._send(attempt)
        else:
            self._late.append(attempt)

    def _send(self, attempt: LiveAttempt) -> None:
        attempt.sent_over = self.connection
        if attempt.boot not in (None, self.boot):
            # It was prepared for this before it booted, and has to be prepared once more.
            attempt.unwanted = True
        if attempt.cancelling or attempt.unwanted:
            # Since it was to leave, a person has decided otherwise: the host is to say that it never starts.
            self._say(lambda link: link.say("fence", id=attempt.uid, token=attempt.keys["token"]))
        else:
            self._say(attempt)

    def adopt(self, attempt: LiveAttempt, boot: str | None) -> None:
        """Ask for an attempt of an earlier manager at the next connection.

        :param boot: boot id of the host as that manager knew it. It may have sent the launch then: should the host
            have forgotten it since, it may have run
        """
        attempt.sent_on = self.boot = boot
        attempt.sent_over = BEFORE_US
        self.live[attempt.uid] = attempt

    def cancel(self, uid: str, grace: float) -> None:
        """End an attempt, now or as soon as the host can be reached."""
        attempt = self.live.get(uid)
        if attempt is None or attempt.over:
            return
        attempt.cancelling, attempt.grace = True, grace
        if uid in self.bringing:
            # It has ended; what a person does not want any more is to wait for its files.
            end = self.bringing.forget(uid)
            assert end is not None
            self.end(attempt, end._replace(outcome=Outcome.CANCELLED, status=None, signal=None, cause=None,
                                           reason="it had ended, and not all of its files were brought"))
        elif self.open:
            self._say(lambda link: link.say("cancel", id=uid, grace=grace))

    def fence(self, uid: str) -> None:
        """Take an attempt back if it has not started, now or as soon as the host can be reached."""
        attempt = self.live.get(uid)
        if attempt is None or attempt.over:
            return
        attempt.unwanted = True
        if self.open:
            self._say(lambda link: link.say("fence", id=uid))

    def pause(self, uid: str, paused: bool) -> None:
        """Stop the processes of an attempt, or let them go on, now or as soon as the host can be reached."""
        attempt = self.live.get(uid)
        if attempt is None or attempt.over:
            return
        attempt.paused = paused
        if self.open:
            self._say(lambda link: link.say("pause" if paused else "unpause", id=uid))

    def release(self, uids: list[str]) -> None:
        """Tell the host to forget ended attempts, now or as soon as it can be reached. What is still to be fetched
        of one keeps it there."""
        uids = [uid for uid in uids if uid not in self.live or self.live[uid].over]
        if not self.open:
            self._to_release += uids
            return
        ended = (self.live.pop(uid, None) for uid in uids)
        keep = [attempt.uid for attempt in ended if attempt is not None and attempt.keeps]
        self.kept += len(keep)
        # An agent of an older manager does not know the second key.
        self._say((lambda link: link.say("release", ids=uids, keep=keep)) if keep else
                  (lambda link: link.say("release", ids=uids)))
        self._emit(Released(uids))

    def condemn(self, uid: str) -> None:
        """Forget an attempt that a person has declared lost. If its host comes back, what still runs is ended."""
        self.live.pop(uid, None)
        self._dropped.pop(uid, None)
        self.bringing.forget(uid)
        self._outputs.forget(uid)

    def have(self) -> Iterator[tuple[str, int, int]]:
        """Yield each attempt with the bytes of its streams that have come, to ask about all of them over a new
        connection."""
        self.connection += 1
        self.allowance.begin(len(self.live))
        self._late.clear()
        self.bringing.cut()
        for attempt in self.live.values():
            yield attempt.uid, attempt.have[0], attempt.have[1]

    # -- what the host says --------------------------------------------------------------------------------------
    # Each of these tells by what it returns whether it changed anything here. A frame that changed nothing counts
    # against the host's allowance.

    def welcome(self, facts: dict[str, Any]) -> None:
        """Note what the host says of itself; it listens from now on."""
        known_boot, self.boot = self.boot, facts["boot"]
        for attempt in self.live.values():
            # What was sent before and is not known to the host now may still have run, if what the host
            # remembers is not what it remembered then.
            if not facts["resumed"] or known_boot not in (None, self.boot):
                if attempt.sent_on is not None and not attempt.may_have_run and not attempt.over:
                    attempt.may_have_run = True
                    self._emit(Doubted(attempt.uid))
        # What was on its way when the link broke may not have come: it is asked again.
        self.blobs.clear()
        self.open = True
        for attempt in self._late:
            self._send(attempt)
        self._late.clear()
        if self._to_release:
            self.release(self._to_release)
            self._to_release = []
        own = {key: facts[key] for key in facts if key not in ("t", "until", "slurm_job", "slurm_node")}
        self._emit(HostUp(self._host, {**own, **self.told}))

    def started(self, keys: dict[str, Any]) -> bool:
        """Note that an attempt runs."""
        attempt = self.live.get(keys["id"])
        if attempt is None or attempt.over or attempt.told_over == self.connection:
            return False
        attempt.seen, attempt.told_over = True, self.connection
        if attempt.spec.outputs:
            self.bringing.watch(attempt)
        self._emit(Started(attempt.uid, keys["pid"], keys["at"], attempt.inputs))
        return True

    def state(self, uid: str, state: str) -> None:
        """Note how an attempt stands on the host, and send what follows from that."""
        attempt = self.live.get(uid)
        if attempt is None and state != "absent":
            # Every attempt that counts is in the book: this one was declared lost, and another may run by now.
            self.answer("cancel", id=uid, grace=0.0)
        if attempt is None or attempt.over:
            return
        if state != "absent":
            if not attempt.seen and state == "running":
                self._emit(Started(uid, None, None, attempt.inputs))
            # A queue dies with its agent, and what was in it has not started: it is sent again.
            attempt.seen |= state == "running"
            if attempt.spec.outputs and state == "running":
                self.bringing.watch(attempt)
            if attempt.paused is not None and not attempt.cancelling:
                self.answer("pause" if attempt.paused else "unpause", id=uid)
            if attempt.cancelling:
                self.answer("cancel", id=uid, grace=attempt.grace)
        elif attempt.fenced_over == self.connection:
            # A fence makes it known. Only what was released stays absent: it has ended, and never starts again. So says
            # the host; the store or the outputs here must be older than that.
            self.end(attempt, forgotten(attempt))
        elif (attempt.seen or attempt.may_have_run or attempt.cancelling or attempt.unwanted
              or attempt.sent_over == self.connection):
            attempt.may_have_run |= attempt.seen
            attempt.fenced_over = self.connection
            # With its token: what runs of it is found even where nothing is written down of it any more.
            self.answer("fence", id=uid, token=attempt.keys["token"])
        else:
            self._send(attempt)

    def ended(self, keys: dict[str, Any]) -> bool:
        """Note that an attempt is over.

        :raises ProtocolError: not all of its output has come
        """
        attempt = self.live.get(keys["id"])
        if attempt is None:
            # Given up before, and the host did not hear it.
            self.answer("release", ids=[keys["id"]])
            return False
        if attempt.over:
            return False
        end = ended_from(keys, attempt.spec.ok_exit)
        if end.uid in self.bringing:
            if keys["why"] == "fenced":
                self.bringing.give_up(end.uid, "its host knows nothing of them any more")
                return True
            return self.bringing.go_on(end.uid)
        if keys["why"] in ("no_room", "gpu_taken") and attempt.told_over == self.connection:
            # Believed, it would be tried again and again, and count for nothing.
            raise ProtocolError(f"attempt {end.uid} had no room after it had started")
        if keys["why"] == "no_room":
            if self.kept:
                kept = f"kept there of ended jobs: {directories(self.kept)}"
                end = end._replace(reason=f"{end.reason}; {kept}" if end.reason else kept)
            # Inputs may not have been kept either. Those that were are dropped when they come again.
            self.blobs.clear()
        if keys["why"] == "fenced":
            # Of what the host has forgotten, what has come is all that there is.
            end = end._replace(sizes=(attempt.have[0], attempt.have[1]))
        if end.left_out is not None and attempt.spec.output_limit is None:
            raise ProtocolError(f"attempt {end.uid} left output out that nobody limited")
        if list(end.sizes) != attempt.have:
            raise ProtocolError(f"attempt {end.uid} ended with output missing",
                                why=f"{list(end.sizes)} bytes announced, {attempt.have} came")
        dropped = self._dropped.pop(end.uid, None)
        if dropped is not None:
            # However it ended: to count as succeeded it would have to have all of its output.
            end = end._replace(outcome=Outcome.CANCELLED, status=None, signal=None, cause=None,
                               sizes=(attempt.have[0] - dropped[0], attempt.have[1] - dropped[1]),
                               reason=f"{sum(dropped):,} bytes of its output were not kept: the disk of this machine "
                                      "was nearly full")
        if end.outcome is Outcome.NEVER_STARTED and keys["why"] == "fenced":
            if attempt.may_have_run:
                end = end._replace(outcome=Outcome.LOST, cause=Cause.FORGOTTEN)
            elif attempt.cancelling:
                end = end._replace(outcome=Outcome.CANCELLED, cause=None)
        outputs = wanted_after(outputs_of(attempt.spec.outputs), end.outcome) if attempt.spec.outputs else []
        if outputs and end.cause is not Cause.FORGOTTEN:
            self._emit(Collected(end.uid))
            self.bringing.begin(attempt, end, outputs)
        else:
            self.end(attempt, end)
        return True

    def _all_is_here(self, attempt: LiveAttempt, end: Ended, text: str | None) -> None:
        """Note the end of an attempt whose files are here, as far as they can be brought."""
        if text is not None and (told := self.allowance.warn(f"{attempt.keys['job']}: {text}")) is not None:
            self._emit(Warned(self._host, told))
        attempt.brought = end.brought
        self.end(attempt, end)

    def end(self, attempt: LiveAttempt, end: Ended) -> None:
        """Note the end of an attempt and tell the manager."""
        attempt.over = True
        ran = attempt.seen or end.started is not None
        attempt.keeps = ran and keeps_directory(attempt.spec.keep_directory, end.outcome)
        self.bringing.forget(attempt.uid)
        end = end._replace(crcs=(attempt.crc[0], attempt.crc[1]), inputs=attempt.inputs)
        self._outputs.forget(attempt.uid)
        self._emit(end)

    def store(self, output: words.Output) -> bool:
        """Write the next bytes of a stream into its file.

        :raises ProtocolError: they are not the next
        :raises LocalError: the file cannot take them; the same may be tried again
        """
        attempt = self.live.get(output.uid)
        if attempt is None or attempt.over:
            return False
        if not attempt.made:
            if attempt.sent_over != BEFORE_US:
                raise ProtocolError(f"output of attempt {output.uid}, which was not sent")
            # The manager before may have died on the way to it.
            self.create(attempt)
        have = attempt.have[output.stream - 1]
        if output.off != have:
            raise ProtocolError(f"output of attempt {output.uid} out of order", why=f"{output.off} came after {have}")
        attempt.seen = True
        path = attempt.path(output.stream)
        dropped = self._dropped.get(output.uid)
        if dropped is not None and dropped[output.stream - 1]:
            # What is kept is a beginning, without a gap.
            return self._drop(attempt, output, dropped)
        try:
            self._outputs.write(output.uid, output.stream, path, output.off, output.data)
        except NearlyFull as error:
            if attempt.cancelling:
                return self._drop(attempt, output, self._dropped.setdefault(output.uid, [0, 0]))
            raise nearly_full(str(attempt.keys["job"])) from error
        except OSError as error:
            raise cannot_write(error, str(path)) from error
        attempt.have[output.stream - 1] += len(output.data)
        before = attempt.crc[output.stream - 1]
        if before is not None:
            attempt.crc[output.stream - 1] = combined(before, output.crc, len(output.data)) if have else output.crc
        return len(output.data) > 0

    @staticmethod
    def _drop(attempt: LiveAttempt, output: words.Output, dropped: list[int]) -> bool:
        """Let the output of an attempt go by for which there is no room, and for which nobody waits: a person has
        cancelled it, and room may never come."""
        dropped[output.stream - 1] += len(output.data)
        attempt.have[output.stream - 1] += len(output.data)
        return len(output.data) > 0

    def create(self, attempt: LiveAttempt) -> None:
        """Make the files of an attempt's output.

        :raises LocalError: they cannot be made; the same may be tried again
        """
        try:
            self._outputs.create(attempt.place)
        except OSError as error:
            raise cannot_write(error, attempt.place) from error
        attempt.made = True
