"""The agent of one host: what it knows, what it answers, and to whom it gives what it was given.

It takes the same decisions as ``sshjobs/gjob`` (``agent.py``, ``talk.py``, ``crew.py``) and checks frames by the far
side's own rules, on data instead of processes and files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sshjobs.gjob import wire
from sshjobs.simulation.adoption import recover
from sshjobs.simulation.disk import Record
from sshjobs.simulation.feeding import send_output
from sshjobs.simulation.foster import Foster
from sshjobs.simulation.history import ENDED, QUEUED, RUNNING, Attempt, History, end_of
from sshjobs.simulation.leasing import Leasing
from sshjobs.simulation.leaving import Leaving
from sshjobs.simulation.machine import Machine, Process
from sshjobs.simulation.pipe import Connection
from sshjobs.simulation.runner import Runner

#: Seconds after which output that was written is looked for.
LOOK_AFTER = 0.05


class Agent:
    """Everything of the run on one machine.

    :ivar process: its own; with its death everything here stops
    :ivar spoken_to: a link has brought a frame
    """

    def __init__(self, machine: Machine, hello: dict[str, Any]):
        self.machine, self.world = machine, machine.world
        self.process = machine.spawn("agent")
        self.process.owner = self
        machine.agent = self
        self._resumed = not machine.disk.is_empty
        self._history = History(machine)
        self.attempts: dict[str, Attempt] = {}
        self.queue: dict[str, Attempt] = {}
        self._slots = hello["slots"] or machine.cores
        self._runners: dict[int, Runner] = {}
        self._idle: list[Runner] = []
        self.spoken_to = False
        self._link: Connection | None = None
        self._decoder = wire.Decoder()
        #: What the link was told of, with the offsets that it has; and of these the ones whose end was not sent.
        self._feeds: dict[str, list[int]] = {}
        self._unsent: set[str] = set()
        self.leasing = Leasing(self, machine)
        self._answers: dict[str, Callable[[dict[str, Any]], None]] = {
            "launch": self._on_launch, "sync": self._on_sync, "fence": lambda frame: self._on_fence(frame["id"]),
            "cancel": lambda frame: self._on_cancel(frame["id"], frame["grace"]),
            "release": lambda frame: self._on_release(frame["ids"]),
            "slots": lambda frame: setattr(self, "_slots", frame["slots"]),
            "ping": lambda frame: self.say(t="pong", seq=frame["seq"]), "lease": self.leasing.answered,
            "pause": self._on_pause, "unpause": self._on_pause, "bye": lambda frame: self._on_bye(),
        }
        self._foster = Foster(self, self._history, machine, self._fostered_ended)
        for attempt in recover(self._history, machine):
            self.attempts[attempt.uid] = attempt
            if attempt.state == RUNNING:
                self.leasing.add(attempt.uid, attempt.lease)
                self._foster.take(attempt)
        self._leaving = Leaving(self, self._history)
        self._leaving.consider()

    @property
    def alive(self) -> bool:
        """Whether its process is."""
        return self.process.alive

    @property
    def linked(self) -> bool:
        """Whether a manager is in conversation with it."""
        return self._link is not None

    # -- links ---------------------------------------------------------------------------------------------------

    def welcome(self, connection: Connection, decoder: wire.Decoder, hello: dict[str, Any]) -> None:
        """Take a link that a front brings; it replaces the one before, unless a newer manager has been here."""
        if hello["epoch"] < self._history.epoch:
            connection.down.write(wire.encode({"t": "stale", "epoch": self._history.epoch}))
            connection.close_far()
            return
        if hello["epoch"] > self._history.epoch or self.machine.boot not in self._history.boots:
            self._history.note_epoch(hello["epoch"])
        self.drop_link()
        self._link, self._decoder = connection, decoder
        connection.far_closed = lambda: self.drop_link() if self._link is connection else None
        connection.on_up = lambda data: self.receive(connection, data)
        self._slots = hello["slots"] or self.machine.cores
        self.say(t="welcome", v=wire.VERSION, pid=self.process.pid, resumed=self._resumed, **self.machine.facts())
        self._resumed = True
        self.leasing.new_link()

    def drop_link(self) -> None:
        """Let go of the link; what was sent over it is asked for again by the next."""
        link, self._link = self._link, None
        if link is not None:
            link.close_far()
        self._feeds.clear()
        self._unsent.clear()
        self._leaving.consider(parted=link is not None)

    def say(self, **frame: Any) -> None:
        """Send a frame, where there is somebody to hear it."""
        if self._link is not None:
            self._link.down.write(wire.encode(frame))

    def receive(self, connection: Connection, data: bytes) -> None:
        """Take what the link brings."""
        if self._link is connection and self.alive:
            self.take(connection, self._decoder.feed(data))

    def take(self, connection: Connection, frames: Iterator[tuple[dict[str, Any], bytes, bytes]]) -> None:
        """Obey frame by frame, then see to what follows from all of them."""
        try:
            for frame, _, _ in frames:
                if self._link is not connection or not self.alive:
                    return
                self._obey(frame)
        except wire.WireError as error:
            self.say(t="error", msg=str(error))
            self.drop_link()
        if self.alive:
            self.act()

    def _obey(self, frame: dict[str, Any]) -> None:
        self.spoken_to = True
        answer = self._answers.get(frame["t"])
        if answer is None:
            raise wire.WireError(f"{frame['t']}: not here and now")
        answer(frame)

    def _on_launch(self, frame: dict[str, Any]) -> None:
        uid = frame["id"]
        if uid in self.attempts or uid in self._history.released:
            self._answer(uid)
            return
        attempt = self.attempts[uid] = self.queue[uid] = Attempt(uid, QUEUED, frame)
        self.leasing.add(uid, attempt.lease)
        self._introduce(attempt, (0, 0))
        self.world.point("agent.launch", self.machine)

    def _on_sync(self, frame: dict[str, Any]) -> None:
        for uid, out, err in frame["a"]:
            if uid in self.attempts:
                self._introduce(self.attempts[uid], (out, err))
            self._answer(uid)
        if frame["last"]:
            for uid in [uid for uid in self.attempts if uid not in self._feeds]:
                self._answer(uid)

    def _on_fence(self, uid: str) -> None:
        attempt = self.fence(uid)
        if attempt is None:
            self._answer(uid)
        else:
            self._introduce(attempt, (0, 0))

    def _on_cancel(self, uid: str, grace: float) -> None:
        fenced = self.fence(uid)
        if fenced is not None:
            self._introduce(fenced, (0, 0))
            return
        attempt = self.attempts.get(uid)
        if attempt is None or attempt.state == ENDED:
            self._answer(uid)
            return
        if uid not in self._feeds:
            self._introduce(attempt, (0, 0))
        self.cancel(uid, grace)

    def cancel(self, uid: str, grace: float, why: str = "cancelled") -> None:
        """End an attempt that has started."""
        runner = self.attempts[uid].runner
        if runner is not None:
            runner.give({"t": "cancel", "id": uid, "grace": grace, "why": why})
        elif uid in self._foster.attempts:
            self._foster.attempts[uid].cancel(grace, why)

    def _on_pause(self, frame: dict[str, Any]) -> None:
        kind, uid = frame["t"], frame["id"]
        attempt = self.attempts.get(uid)
        if attempt is not None and attempt.state == RUNNING:
            if attempt.runner is not None:
                attempt.runner.give({"t": kind, "id": uid})
            elif uid in self._foster.attempts:
                (self.machine.stop if kind == "pause" else self.machine.go_on)(self._foster.attempts[uid].members())

    def _on_release(self, uids: list[str]) -> None:
        known = [uid for uid in uids if uid in self.attempts]
        for uid in known:
            if self.attempts[uid].state != ENDED:
                raise wire.WireError(f"release: {uid} has not ended")
        self._history.note_release(list(dict.fromkeys(known)))
        for uid in known:
            self._unsent.discard(uid)
            self._feeds.pop(uid, None)
            self.attempts.pop(uid, None)
            self.machine.disk.discard(uid)

    def _on_bye(self) -> None:
        for uid, attempt in self.attempts.items():
            if attempt.state == RUNNING:
                raise wire.WireError(f"bye: {uid} runs")
        self.machine.disk.clear()
        self.say(t="gone", processes=0, files=0)
        self.drop_link()
        self.leave()

    def leave(self) -> None:
        """Go, in good order."""
        if self.machine.agent is self:
            self.machine.agent = None
        for runner in list(self._runners.values()):
            runner.hang_up()
        self._runners.clear()
        self.machine.end(self.process, 0)

    # -- what the manager is told --------------------------------------------------------------------------------

    def _introduce(self, attempt: Attempt, sent: tuple[int, int]) -> None:
        self._feeds[attempt.uid] = list(sent)
        # A manager that lost what it had asks for what is gone: there is only what is here.
        attempt.lost = [min(attempt.lost[0], sent[0]), min(attempt.lost[1], sent[1])]
        self._unsent.add(attempt.uid)
        if attempt.state != QUEUED:
            self.world.at(0.0 if attempt.state == ENDED else LOOK_AFTER, lambda: self.stream(attempt.uid))

    def _answer(self, uid: str) -> None:
        attempt = self.attempts.get(uid)
        if attempt is None:
            self.say(t="state", id=uid, s="absent")
            return
        if uid not in self._feeds:
            self._introduce(attempt, (0, 0))
        if attempt.state != ENDED:
            self.say(t="state", id=uid, s=attempt.state)
            if attempt.started is not None:
                self.say(**attempt.started)
        elif uid not in self._unsent:
            self._say_end(attempt)

    def output_grew(self, uid: str) -> None:
        """A job has written something."""
        if uid in self._unsent:
            self.world.at(LOOK_AFTER, lambda: self.stream(uid))

    def stream(self, uid: str) -> None:
        """Send what is new of an attempt's output, and its end after the last of it."""
        attempt = self.attempts.get(uid)
        if attempt is None or uid not in self._unsent or self._link is None or not self.alive:
            return
        send_output(self._link, self.machine.disk, attempt, self._feeds[uid])
        if attempt.state == ENDED:
            self._unsent.discard(uid)
            self._say_end(attempt)

    def _say_end(self, attempt: Attempt) -> None:
        end = dict(attempt.end)
        end["out"] += attempt.lost[0]
        end["err"] += attempt.lost[1]
        self.say(t="ended", **end)

    # -- who carries it out --------------------------------------------------------------------------------------

    def fence(self, uid: str) -> Attempt | None:
        """Make sure that an attempt never starts; ``None`` when it is too late for that."""
        attempt = self.attempts.get(uid)
        if uid in self._history.released or (attempt is not None and attempt.state != QUEUED):
            return None
        if attempt is None:
            attempt = self.attempts[uid] = Attempt(uid)
        self.queue.pop(uid, None)
        try:
            if not self.machine.disk.mkdir(uid, self.world.now):
                self._taken(attempt)
                return None
        except OSError:
            pass
        self._history.note(k="fence", id=uid)
        attempt.state, attempt.end = ENDED, end_of(uid, "fenced")
        self.leasing.leases.drop(uid)
        return attempt

    def act(self) -> None:
        """Give what waits to runners that have nothing."""
        while self.queue and len(self._runners) - len(self._idle) < self._slots:
            uid = self.leasing.first()
            if uid is None:
                return
            attempt = self.queue.pop(uid)
            runner = self._idle.pop() if self._idle else self._fork()
            attempt.state, attempt.runner, runner.attempt_uid = RUNNING, runner, attempt.uid
            assert attempt.launch is not None
            launch, attempt.launch = attempt.launch, None
            runner.give(launch)
            if not self.alive:
                return

    def _fork(self) -> Runner:
        slot = 1
        while slot in self._runners:
            slot += 1
        runner = self._runners[slot] = Runner(self.machine, self, slot)
        self._leaving.used = True
        return runner

    def told(self, runner: Runner, frame: Record) -> None:
        """A runner of ours says something of its attempt."""
        attempt = self.attempts.get(frame["id"])
        if not self.alive or attempt is None or attempt.runner is not runner:
            return
        kind = frame["t"]
        if kind == "started":
            attempt.started = frame
            if attempt.uid in self._feeds:
                self.say(**frame)
            return
        self._done(runner, attempt)
        if kind == "ended":
            attempt.end = {key: frame[key] for key in frame if key != "t"}
            self._ended(attempt)
        else:
            self._taken(attempt)
        self.act()

    def _done(self, runner: Runner, attempt: Attempt) -> None:
        attempt.runner, runner.attempt_uid = None, ""
        if runner.slot <= self._slots and runner.alive:
            self._idle.append(runner)
        else:
            self._runners.pop(runner.slot, None)
            runner.hang_up()

    def runner_died(self, runner: Runner) -> None:
        """A runner of ours was killed: its attempt is looked after from here."""
        if not self.alive:
            return
        self._runners.pop(runner.slot, None)
        if runner in self._idle:
            self._idle.remove(runner)
        attempt = self.attempts.get(runner.attempt_uid)
        if attempt is not None and attempt.runner is runner:
            attempt.runner = None
            self._history.refresh()
            self._foster.find_main(attempt)
            self._foster.take(attempt)

    def child_ended(self, process: Process) -> None:
        """A process that came to us when its runner died has ended."""
        if self.alive:
            self._foster.reaped[process.pid] = process

    def _ended(self, attempt: Attempt) -> None:
        attempt.state = ENDED
        self.leasing.leases.drop(attempt.uid)
        self._foster.attempts.pop(attempt.uid, None)
        self._leaving.consider()
        self.stream(attempt.uid)

    def _fostered_ended(self, attempt: Attempt, end: Record) -> None:
        attempt.end = end
        self._ended(attempt)

    def _taken(self, attempt: Attempt) -> None:
        attempt.state = RUNNING
        self._history.refresh()
        self._foster.take(attempt)

    def mine(self) -> set[int]:
        """Return the pids of our runners."""
        return {runner.process.pid for runner in self._runners.values()}

    # -- its death -----------------------------------------------------------------------------------------------

    def die(self) -> None:
        """Be killed. Its runners see their jobs through."""
        if not self.alive:
            return
        self.vanish()
        self.machine.processes.pop(self.process.pid, None)
        self.machine.adopt_orphans(self, None)
        for runner in list(self._runners.values()):
            runner.hang_up()

    def vanish(self) -> None:
        """Be gone, with the machine or without it."""
        self.process.alive = False
        self._history.journal.forget_unwritten()
        if self.machine.agent is self:
            self.machine.agent = None
        link, self._link = self._link, None
        if link is not None:
            link.close_far()
