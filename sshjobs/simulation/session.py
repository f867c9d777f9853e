"""One simulated host over all its connections: moves the bytes for the same dialog that a session over ssh has."""

from __future__ import annotations

from collections import deque

from sshjobs.errors import HostError, ProtocolError, SshjobsError
from sshjobs.model.host import Host
from sshjobs.network.contract import HostDown, RunIdentity, Warned
from sshjobs.network.protocol import link as words
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.book import DISK_FULL, FULL_RETRY, Emit, HostBook, Item
from sshjobs.network.session.dialog import DEAD_AFTER, PING_AFTER, READY_TIMEOUT, Dialog
from sshjobs.network.session.output_files import FULL
from sshjobs.simulation.door import answer_door
from sshjobs.simulation.files import VirtualFiles
from sshjobs.simulation.pipe import Connection
from sshjobs.simulation.world import World


class SimSession:
    """Connects, converses, and connects again. Everything happens in the world's time.

    :ivar gone: what the host said was left of the run at its end
    """

    def __init__(self, world: World, host: Host, run: RunIdentity, files: VirtualFiles, emit: Emit,
                 slots: int | None):
        self._world, self.host, self._emit = world, host, emit
        self.book = HostBook(host.name, files, emit, self._say)
        self.dialog = Dialog(host.name, run, self.book, self._say, emit, slots)
        self.dialog.on_gone = self._note_gone
        self.gone: tuple[int, int] | None = None
        self._todo: deque[Item] = deque()
        self._heard_what: deque[words.Event | ProtocolError] = deque()
        self._link = words.Link("0" * 32)
        self._connection: Connection | None = None
        self._heard = self._began = 0.0
        self._first_heard: float | None = None
        self._flushing = self._waiting_for_room = False
        self._left = False
        #: Counts connections, so that what belongs to an earlier one does nothing.
        self._number = 0

    def start(self) -> None:
        """Begin to connect."""
        self._number += 1
        number = self._number
        self._heard, self._first_heard, self._began = 0.0, None, self._world.now
        self._link = words.Link(f"{self._world.rng.getrandbits(128):032x}")
        # Hosts do not answer in step.
        delay = self._world.handshake * self._world.rng.uniform(0.8, 1.2)
        self._world.at(delay, lambda: self._reach(number))

    def leave(self) -> None:
        """Let go for good."""
        self._left = True
        self._number += 1
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close_near()

    def bye(self) -> bool:
        """Ask for everything of the run to be removed; False where nobody listens."""
        if not self.book.open:
            return False
        self._left = True
        self._say(lambda link: link.say("bye"))
        return True

    def _note_gone(self, processes: int, files: int) -> None:
        self.gone = processes, files

    # -- connecting ----------------------------------------------------------------------------------------------

    def _reach(self, number: int) -> None:
        if number != self._number:
            return
        machine = self._world.machines.get(self.host.name)
        if machine is None or not machine.reachable:
            error = HostError("unreachable", self.host.name, "no route to the host", hint="trying again")
            error.reached = False
            self._down(error)
            return
        connection = self._connection = Connection(self._world, machine.latency)
        connection.on_down = lambda data: self._receive(data, number)
        connection.near_closed = lambda: self._closed(number)
        if machine.door is None:
            answer_door(machine, connection, self._link.nonce)
        else:
            machine.door(connection, self._link.nonce)
        connection.up.write(self.dialog.hello())
        self._world.at(READY_TIMEOUT, lambda: self._check_ready(number))

    def _check_ready(self, number: int) -> None:
        if number == self._number and not self.book.open:
            self._down(HostError("timeout", self.host.name, "no agent came up in time"))

    def _closed(self, number: int) -> None:
        if number == self._number:
            self._down(HostError("link-lost", self.host.name, "the connection broke", hint="trying again"))

    def _down(self, error: HostError) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close_near()
        self._number += 1
        self.book.open = False
        self._todo.clear()
        self._heard_what.clear()
        if self._left:
            return
        self._emit(HostDown(self.host.name, error))
        if error.lasting:
            return
        number = self._number

        def again() -> None:
            if number == self._number:
                self.start()
        pause = self.dialog.backoff.pause(error, self._began, self._world.now, self._world.rng, heard=self._first_heard)
        self._world.at(pause, again)

    def _pulse(self, number: int, seq: int) -> None:
        if number != self._number:
            return
        silence = self._world.now - self._heard
        if silence >= DEAD_AFTER:
            self._down(HostError("timeout", self.host.name, "nothing came for a while", hint="trying again"))
            return
        if silence >= PING_AFTER:
            self.dialog.ping(seq, self._world.now)
        self._world.at(PING_AFTER / 3, lambda: self._pulse(number, seq + 1))

    # -- talking -------------------------------------------------------------------------------------------------

    def _say(self, item: Item) -> None:
        self._todo.append(item)
        if not self._flushing:
            self._flushing = True
            self._world.at(0.0, self._flush)

    def _flush(self) -> None:
        """Word what there is to say, in order; a burst goes out in one piece."""
        self._flushing = False
        while self._todo and self._connection is not None and self._link.ready:
            item = self._todo.popleft()
            if not isinstance(item, LiveAttempt):
                item(self._link)
            elif self.dialog.is_wanted(item):
                try:
                    self.book.create(item)
                except OSError as error:
                    self._todo.appendleft(item)
                    self._wait_for_room(error)
                    break
                self.dialog.word_launch(self._link, item)
        if self._connection is not None:
            self._connection.up.write(self._link.take())

    def _receive(self, data: bytes, number: int) -> None:
        if number != self._number:
            return
        self._heard = self._world.now
        if self._first_heard is None:
            self._first_heard = self._heard
        was_open = self.book.open
        try:
            for event in self._link.receive(data):
                self._heard_what.append(event)
        except ProtocolError as error:
            self._heard_what.append(error)
        if not self._waiting_for_room:
            self._take()
        if self.book.open and not was_open:
            self._pulse(number, 1)

    def _take(self) -> None:
        """Take in what was heard, as far as this machine's disk has room for it."""
        try:
            while self._heard_what:
                event = self._heard_what[0]
                if isinstance(event, ProtocolError):
                    raise event
                self.dialog.take(self._link, event, self._world.now)
                if self._heard_what:
                    self._heard_what.popleft()
        except OSError as error:
            self._wait_for_room(error)
        except SshjobsError as error:
            self._down(self.dialog.broken(error))
            return
        if self._connection is not None:
            self._connection.up.write(self._link.take())

    def _wait_for_room(self, error: OSError) -> None:
        if error.errno not in FULL or self._waiting_for_room:
            return
        self._waiting_for_room = True
        self._emit(Warned(self.host.name, DISK_FULL))

        def again() -> None:
            self._waiting_for_room = False
            if self._left:
                return
            self._take()
            self._flush()
        self._world.at(FULL_RETRY, again)


