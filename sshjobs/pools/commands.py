"""The command channel of an engine cluster: ping, quit and restart, and what workers answer.

A message is one frame of JSON, never a pickle. The user's side repeats a command until it is answered, because a
channel that was just opened loses what is sent before the broker knows of it. A worker carries out each command once.
Quit and restart name the workers that they are for, so a worker that has just been started again is not restarted once
more.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import zmq

from sshjobs.pools.channels import Channels
from sshjobs.pools.chunks import ANSWER_S
from sshjobs.pools.config import Endpoint
from sshjobs.pools.facts import COMMAND_PING, COMMAND_QUIT, COMMAND_RESTART, WorkerFacts
from sshjobs.pools.keys import Key

#: How many seconds pass before a command that was not answered is sent again.
REPEAT_S = 0.1
#: How many bytes a message has at most; longer ones are ignored.
MAX_MESSAGE = 65536
#: How many milliseconds a worker that ends waits for its answer to be sent.
LINGER_MS = 1000
#: How often, in milliseconds, a listener checks whether it is to end.
_LOOK_MS = 200


@dataclass
class CommandListener:
    """The worker's side: answers commands in a thread of its own.

    :ivar stats: returns the present ``requests`` and ``elapsed``
    :ivar act: called in that thread, once for each ``quit`` or ``restart`` that is for this worker
    """

    command: Endpoint
    log: Endpoint
    key: Key | None
    stats: Callable[[], Mapping[str, float]]
    act: Callable[[str], None]
    facts: WorkerFacts = field(default_factory=WorkerFacts.of_this_process)

    def __post_init__(self) -> None:
        self._ending = threading.Event()
        self._acted: set[str] = set()
        self._thread = threading.Thread(target=self._listen, name="sshjobs-commands", daemon=True)

    def start(self) -> None:
        """Start listening.

        :raises BrokerError: the broker does not answer, or the key does not fit
        """
        self._channels = Channels(self.key)
        try:
            self._channels.check(zmq.SUB, self.command)
            self._in = self._channels.open(zmq.SUB, self.command)
            self._in.setsockopt(zmq.SUBSCRIBE, b"")
            self._out = self._channels.open(zmq.PUB, self.log)
        except BaseException:
            self._channels.close()
            raise
        self._thread.start()

    def close(self) -> None:
        """Stop listening. A command that is being answered is answered first."""
        self._ending.set()
        self._thread.join()
        self._out.close(LINGER_MS)
        self._channels.close()

    def _listen(self) -> None:
        while not self._ending.is_set():
            if self._in.poll(_LOOK_MS):
                self._answer(_message(self._in.recv_multipart()))

    def _answer(self, message: dict[str, Any]) -> None:
        do, number, to = message.get("do"), message.get("id"), message.get("to")
        for_all = to is None and do == COMMAND_PING
        if not isinstance(number, str) or not (for_all or isinstance(to, list) and self.facts.worker in to):
            return
        facts = {**vars(self.facts), **self.stats()}
        self._out.send(json.dumps({"did": do, "id": number, **facts}).encode())
        if do in (COMMAND_QUIT, COMMAND_RESTART) and number not in self._acted:
            self._acted.add(number)
            self.act(do)


class Commander:
    """The user's side: sends commands and collects what workers answer.

    :raises BrokerError: the broker does not answer, or the key does not fit
    """

    def __init__(self, command: Endpoint, log: Endpoint, key: Key | None):
        self._channels = Channels(key)
        try:
            self._channels.check(zmq.PUB, command)
            self._out = self._channels.open(zmq.PUB, command)
            self._in = self._channels.open(zmq.SUB, log)
            self._in.setsockopt(zmq.SUBSCRIBE, b"")
        except BaseException:
            self._channels.close()
            raise

    def ping(self, wait: float = 1.0, enough: Callable[[Collection[WorkerFacts]], bool] | None = None
             ) -> list[WorkerFacts]:
        """Return the facts of all workers that answer within ``wait`` seconds, in the order of their hosts.

        :param enough: ends the wait early, once it returns true for the answers so far
        """
        found = self._ask(COMMAND_PING, None, wait, enough or (lambda answers: False))
        return sorted(found.values(), key=lambda facts: (facts.host, facts.pid))

    def tell(self, do: str, workers: Collection[str], wait: float = ANSWER_S) -> set[str]:
        """Have workers quit or restart. Return those that have confirmed it; they do it after their present request.

        :param workers: their ids, see :class:`WorkerFacts`
        """
        # A worker that quits answers once. So the way back has to be open before it is told, which a ping shows.
        there = self._ask(COMMAND_PING, sorted(workers), wait, lambda answers: len(answers) == len(set(workers)))
        return set(self._ask(do, sorted(there), wait, lambda answers: len(answers) == len(there))) if there else set()

    def _ask(self, do: str, to: list[str] | None, wait: float,
             enough: Callable[[Collection[WorkerFacts]], bool]) -> dict[str, WorkerFacts]:
        number, found = uuid.uuid4().hex, dict[str, WorkerFacts]()
        request = json.dumps({"do": do, "id": number, "to": to}).encode()
        deadline, next_time = time.monotonic() + wait, 0.0
        while (now := time.monotonic()) < deadline and not enough(found.values()):
            if now >= next_time:
                self._out.send(request)
                next_time = now + REPEAT_S
            if not self._in.poll(int(max(0.0, min(next_time, deadline) - now) * 1000) + 1):
                continue
            message = _message(self._in.recv_multipart())
            facts = WorkerFacts.from_message(message) if message.get("id") == number else None
            if facts is not None and (to is None or facts.worker in to):
                found[facts.worker] = facts
        return found

    def close(self) -> None:
        """Close the channels."""
        self._channels.close()

    def __enter__(self) -> Commander:
        return self

    def __exit__(self, *of: object) -> None:
        self.close()


def _message(frames: list[bytes]) -> dict[str, Any]:
    """Return a message that was received; empty where it is no message of ours."""
    if len(frames) != 1 or len(frames[0]) > MAX_MESSAGE:
        return {}
    try:
        found = json.loads(frames[0])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
