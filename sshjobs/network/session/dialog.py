"""What is decided in a session: what follows from the frames of the host, and which are sent to it.

No input or output: a session moves the bytes, over ssh or in a simulated world, and asks here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from sshjobs.errors import HostError, ProtocolError, SshjobsError
from sshjobs.model.gpus import BUSY_FROM, Gpu, GpuReport
from sshjobs.model.host import Host
from sshjobs.model.sharing import Holder, Part
from sshjobs.model.spec import JobSpec
from sshjobs.network.clock import SYSTEM, Clock
from sshjobs.network.contract import GpusTold, Manner, Pulse, RoundTrip, RunIdentity, Shared, Warned
from sshjobs.network.protocol import frames
from sshjobs.network.protocol import link as words
from sshjobs.network.session.attempts import LiveAttempt, launch_spec, never_started
from sshjobs.network.session.backoff import Backoff
from sshjobs.network.session.book import Emit, HostBook, Item
from sshjobs.network.session.manners import has_manners, manners_of
from sshjobs.network.session.upload import MARK, Upload
from sshjobs.network.staging.inputs import Manifest

#: Seconds from the start of a connection to the agent's first word; slow start-up files are normal.
READY_TIMEOUT = 60.0
#: Frames that may come instead of the welcome.
_FIRST = ("stale", "refused", "error")
#: Seconds of silence after which the agent is asked for a sign of life, and after which the link is dead: while nothing
#: is on the host, and while something is. In a long silence TCP tries ever more seldom: a new connection is faster.
PING_AFTER, DEAD_AFTER = 15.0, 40.0
PING_BUSY, DEAD_BUSY = 3.0, 9.0
#: The second while inputs are on their way: megabytes of them may be in the buffers between us and the host.
DEAD_UPLOAD = 60.0
#: Reasons of an agent for not serving that may pass by themselves.
PASSING = ("disk-full", "read-only", "no-tmp", "no-agent", "waits")
#: Broken links after which a host is left alone until a person acts: in a row, and in all.
MAX_NONSENSE, MAX_NONSENSE_OF_ALL = 5, 50
#: Bytes of a frame that cost as much as a short frame.
_AS_DEAR = 200
#: Seconds in which one pulse of a host is passed on: a good one has one in a minute.
PULSE_LEAST = 10.0
#: So many processes that cannot be killed are named.
_PIDS_TOLD = 10


class Dialog:
    """Outlives every connection to its host.

    :param say: takes what is to be said to the host, in order
    :param emit: takes each event for the manager
    :param machine: what its launches say beside what jobs say, and how it wants to be treated
    :param clock: by which hosts are given back
    :ivar backoff: when to connect again
    :ivar slots: how many jobs the host takes at a time, ``None`` for as many as it has cores
    :ivar upload: what brings inputs over the connection that there is
    :ivar cleared: how far the host is with deleting what it has of the run
    :ivar answers: how many signs of life the host has given that it was asked for
    :ivar on_gone: called with what the host said was left of the run, once it has closed the link at the end
    """

    def __init__(self, host: str, run: RunIdentity, book: HostBook, say: Callable[[Item], None], emit: Emit,
                 slots: int | None, machine: Host | None = None, clock: Clock = SYSTEM):
        self._machine, self._clock = machine, clock
        self.book, self.slots = book, slots
        self.on_gone: Callable[[int, int, int], None] | None = None
        self.cleared = self.answers = 0
        self.upload: Upload | None = None
        self._host, self._run, self._say, self._emit = host, run, say, emit
        #: When the last sign of life was asked for, and which it is as long as it has not come.
        self._asked = 0.0
        self._ping: int | None = None
        #: Conversations that were broken by what the host said: in a row, and in all.
        self._nonsense = self._nonsense_of_all = 0
        #: A spec like that of the last launch, and what launches say of all that repeat it.
        self._newest: tuple[JobSpec, str] | None = None
        #: When a pulse was last passed on.
        self._pulse_at: float | None = None
        self.backoff = Backoff()
        #: What the last hello said.
        self._slots_said = slots

    # -- what the host says --------------------------------------------------------------------------------------

    def take(self, link: words.Link, event: words.Event, now: float) -> None:
        """Handle a frame of the host. After a :class:`LocalError` the same event may be given again.

        :param now: seconds of any clock that never goes back
        :raises LocalError: this machine's disk cannot take the output
        :raises ProtocolError: the host must not say that
        :raises HostError: the host cannot serve
        """
        match event:
            case words.Output():
                if not self.book.store(event):
                    self.book.allowance.spend(now)
            case words.Part():
                if not self.book.bringing.part(event):
                    self.book.allowance.spend(now)
            case words.Frame("whole", keys):
                if not self.book.bringing.whole(keys):
                    self._charge(event, now)
            case words.Frame("ended", keys):
                if self.book.ended(keys):
                    self._nonsense = 0
                else:
                    self._charge(event, now)
            case words.Frame("started", keys):
                if not self.book.started(keys):
                    self._charge(event, now)
            case words.Frame():
                self._take_frame(event, now)
            case words.Ready():
                link.sync(self.book.have())
            case words.Welcome(facts):
                if self.book.open:
                    raise ProtocolError("a second welcome")
                # Before any launch.
                self._say_share()
                self._say_manners()
                self.book.welcome(facts)
                if self.slots is not None and self.slots != self._slots_said:
                    self.set_slots(self.slots)
                self.ping(0, now)
            case words.TooOld(kind, what):
                raise too_old(self._host, kind, what)

    @staticmethod
    def may_come_first(event: words.Event) -> None:
        """Take note that something has come before the welcome.

        :raises ProtocolError: it comes after that
        """
        if isinstance(event, words.Output | words.Part) or (
                isinstance(event, words.Frame) and event.type not in _FIRST):
            raise ProtocolError("it talks before it says what it is")

    def _charge(self, frame: words.Frame, now: float) -> None:
        """Have the host pay for a frame that changes nothing, and for its length."""
        self.book.allowance.spend(now, 1 + frame.size // _AS_DEAR)

    def _take_frame(self, frame: words.Frame, now: float) -> None:
        kind, keys = frame.type, frame.keys
        if kind == "pong" and self._take_pong(keys["seq"], now):
            return
        if kind == "found" and self.book.bringing.found(keys):
            return
        if kind == "lack" and self.upload is not None and self.upload.lack(keys["shas"]):
            return
        self._charge(frame, now)
        if kind == "state":
            self.book.state(keys["id"], keys["s"])
        elif kind == "lease":
            # Never over a later link: from the moment that this one is known to be down, leases run out.
            self.book.answer("lease", at=keys["at"])
        elif kind == "warn":
            self._warn(keys["msg"])
        elif kind == "pulse":
            self._take_pulse(keys, now)
        elif kind == "shared":
            self._emit(Shared(self._host, keys["slots"], tuple(Holder(**one) for one in keys["who"]), keys["stalled"],
                              {one["what"]: Part(one["has"], one["stalled"]) for one in keys["parts"]}))
        elif kind == "gpus":
            self._take_gpus(keys)
        elif kind == "manner":
            self._emit(Manner(self._host, keys["why"], keys["seconds"], keys["value"]))
        elif kind == "stuck":
            self._warn(self._stuck(keys["id"], keys["pids"]))
        elif kind == "clearing":
            self.cleared = max(self.cleared, keys["pieces"])
        elif kind == "gone":
            # The agent is about to hang up; that must not look like a broken connection.
            if self.on_gone is not None:
                self.on_gone(keys["processes"], keys["files"], keys["kept"] or 0)
        elif kind == "stale":
            raise HostError("stale", self._host, "a newer manager of this run is at work",
                            hint="look for another sshjobs that resumed this run", lasting=True)
        elif kind == "refused":
            # Marked as the host's own words: a host must not speak in our name.
            error = HostError(keys["kind"], self._host, "the agent cannot work there", why=keys["why"],
                              hint=f"it says: {keys['hint']}", lasting=keys["kind"] not in PASSING)
            if keys["kind"] == "waits":
                error.waits, error.reached = True, False
            raise error
        elif kind == "error":
            raise ProtocolError("the agent did not understand", why=keys["msg"])

    def _take_pong(self, seq: int, now: float) -> bool:
        """Note a sign of life; tell whether it was asked for."""
        if seq == MARK and self.upload is not None and self.upload.mark():
            self.answers += 1
            return True
        if seq != self._ping:
            return False
        self.answers += 1
        self._ping = None
        if self.upload is None or not self.upload.busy:
            # Behind an upload it does not tell how long a round trip takes.
            self._emit(RoundTrip(self._host, now - self._asked))
        return True

    def _take_pulse(self, keys: dict[str, Any], now: float) -> None:
        """Pass on how the host fares.

        :raises ProtocolError: its lists do not go together
        """
        if not len(keys["ids"]) == len(keys["cpu"]) == len(keys["rss"]) or len(keys["gpus"]) != len(keys["gpu_memory"]):
            raise ProtocolError("a pulse frame whose lists do not go together")
        if self._pulse_at is not None and now - self._pulse_at < PULSE_LEAST:
            return
        self._pulse_at = now
        jobs = {uid: (cpu, rss * 1024) for uid, cpu, rss in zip(keys["ids"], keys["cpu"], keys["rss"], strict=True)
                if uid in self.book.live}
        told = {key: keys[key] for key in ("load", "memory", "disk", "gpus", "gpu_memory")}
        self._emit(Pulse(self._host, {**told, "jobs": jobs, "sent": self.book.sent, "received": self.book.received}))

    def _take_gpus(self, keys: dict[str, Any]) -> None:
        """Pass on what GPUs there are.

        :raises ProtocolError: one is told twice
        """
        gpus = tuple(Gpu(**unit) for unit in keys["units"])
        if len({gpu.uuid for gpu in gpus}) < len(gpus):
            raise ProtocolError("a gpus frame with two of one name")
        self._emit(GpusTold(self._host, GpuReport(gpus, keys["trouble"])))

    def _warn(self, text: str) -> None:
        told = self.book.allowance.warn(text)
        if told is not None:
            self._emit(Warned(self._host, told))

    def _stuck(self, uid: str, pids: list[Any]) -> str:
        attempt = self.book.live.get(uid)
        name = f"attempt {uid}" if attempt is None else attempt.keys["job"]
        more = f" and {len(pids) - _PIDS_TOLD:,} more" if len(pids) > _PIDS_TOLD else ""
        alive = ", ".join(str(pid) for pid in pids[:_PIDS_TOLD] if isinstance(pid, int)) + more
        return f"processes of {name} cannot be killed: {alive}; its slot stays taken until they are gone"

    # -- what it is told -----------------------------------------------------------------------------------------

    def hello(self, batch: Mapping[str, Any] | None = None) -> bytes:
        """Return the first frame of a link to the host.

        :param batch: what a scheduler is told that carries the jobs out, where it is not the host itself
        """
        self._slots_said = self.slots
        return words.hello(run=self._run.uid, name=self._run.name, host=self._host, epoch=self._run.epoch,
                           slots=self.slots, batch=batch)

    @property
    def waits_for_pong(self) -> bool:
        """Whether a sign of life was asked for that has not come."""
        return self._ping is not None

    def ping(self, seq: int, now: float) -> None:
        """Ask for a sign of life."""
        self._asked, self._ping = now, seq
        self._say(functools.partial(words.Link.say, kind="ping", seq=seq))

    def set_slots(self, slots: int) -> None:
        """Change how many jobs the host takes at a time, now and with every later connection."""
        self.slots = slots
        if self.book.open:
            self._say(lambda link: link.say("slots", slots=slots))

    def _say_share(self) -> None:
        """Tell what people have said of how much the host has, and of what share they want of it, before any launch."""
        machine = self._machine
        if machine is None or not (machine.memory or machine.scratch or machine.counts or machine.share < 1):
            return
        sizes = ("memory", machine.memory), ("scratch", machine.scratch)
        figures = {what: size for what, size in sizes if size is not None}
        figures.update((f"count.{name}", number) for name, number in machine.counts)
        share = machine.share
        self._say(lambda link: link.say("share", figures=figures, share=share))

    def ask_gpus(self) -> None:
        """Ask how the GPUs of the host are, if it listens."""
        if self.book.open:
            self._say(lambda link: link.say("gpus"))

    def _say_manners(self) -> None:
        if self._machine is None or not has_manners(self._machine):
            return
        manners = manners_of(self._machine, self._clock.time())
        self._say(lambda link: link.say("manners", **manners))

    def is_wanted(self, attempt: LiveAttempt) -> bool:
        """Tell whether a launch that waited to be worded is still to be sent."""
        return attempt.uid in self.book.live and not attempt.over

    def word_launch(self, link: words.Link, attempt: LiveAttempt, manifest: Manifest | None = None) -> None:
        """Add a launch to what is to be written; the files that it names have gone before."""
        line = frames.launch(attempt.keys, self._worded(attempt, manifest))
        if len(line) > frames.MAX_LINE:
            error = SshjobsError("its script, arguments and environment are too long to be sent",
                                 why=f"{len(line):,} bytes of at most {frames.MAX_LINE:,}", hint="put text into files")
            self.book.end(attempt, never_started(attempt, str(error)))
            return
        attempt.sent_on = self.book.boot
        link.say_bytes(line)

    def _worded(self, attempt: LiveAttempt, manifest: Manifest | None) -> str:
        """Return as JSON what a launch says of its spec."""
        spec = attempt.spec
        if manifest is not None or attempt.gpus or spec.values:
            said = launch_spec(spec, self._machine)
            if attempt.gpus:
                busy = None if self._machine is None else self._machine.gpu_busy
                said["gpus"] = {"uuids": list(attempt.gpus), "busy": BUSY_FROM if busy is None else busy}
            return frames.dumps(said if manifest is None else {**said, **manifest.keys()})
        if self._newest is None or not self._newest[0].repeats(spec):
            # A copy is kept, since who changes a spec that has a copy gets a part of its own: the text stays right.
            self._newest = spec.named(spec.name), frames.dumps(launch_spec(spec, self._machine))
        return self._newest[1]

    # -- its ends ------------------------------------------------------------------------------------------------

    def broken(self, error: SshjobsError) -> HostError:
        """Return what a link that ended by an error of the host's means for the host."""
        if isinstance(error, HostError):
            return error
        self._nonsense += 1
        self._nonsense_of_all += 1
        lasting = self._nonsense >= MAX_NONSENSE or self._nonsense_of_all >= MAX_NONSENSE_OF_ALL
        return HostError("nonsense", self._host, "the host said what it must not say", why=str(error),
                         hint="see what runs there, and whether a start-up file (~/.bashrc) prints in the background"
                         + ("" if lasting else "; trying again"), lasting=lasting)

    def patience(self) -> tuple[float, float]:
        """Return after how many seconds of silence to ask for a sign of life, and after how many the link is dead."""
        if self.upload is not None and self.upload.busy:
            return PING_BUSY, DEAD_UPLOAD
        return (PING_BUSY, DEAD_BUSY) if self.book.live else (PING_AFTER, DEAD_AFTER)


def too_old(host: str, kind: str, what: str) -> HostError:
    """Return the error for a host that cannot run the far side."""
    if kind == "old-python":
        return HostError(kind, host, f"its python is too old: {what}",
                         hint="set python=PATH of Python 3.6 or newer in the hosts file", lasting=True)
    return HostError(kind, host, f"hosts must run Linux, this one runs {what}", hint="leave it out", lasting=True)
