"""What workers say of themselves, whatever the engine, and what they may be told to do."""

from __future__ import annotations

import math
import os
import platform
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sshjobs.errors import printable

COMMAND_PING = "ping"
COMMAND_QUIT = "quit"
COMMAND_RESTART = "restart"


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself.

    :ivar worker: what tells it from all others, also from the one that ran in its place before
    :ivar name: name of its job where ``up`` launched it
    :ivar requests: how many it has processed, in ``elapsed`` seconds altogether
    :ivar started: when it started, in seconds since 1970
    """

    worker: str
    host: str
    pid: int
    name: str | None = None
    requests: int = 0
    elapsed: float = 0.0
    started: float = 0.0
    python: str = ""

    @property
    def mean(self) -> float:
        """Seconds for each request."""
        return self.elapsed / self.requests if self.requests else 0.0

    @classmethod
    def of_this_process(cls) -> WorkerFacts:
        """Return the facts of a worker that starts here and now."""
        return cls(uuid.uuid4().hex, socket.getfqdn(), os.getpid(), os.environ.get("SSHJOBS_JOB"), 0, 0.0, time.time(),
                   ".".join(platform.python_version_tuple()[:2]))

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> WorkerFacts | None:
        """Return what a message says, ``None`` where it is none of a worker's."""
        try:
            name = message.get("name")
            facts = cls(_text(message["worker"]), _text(message["host"]), int(message["pid"]),
                        None if name is None else _text(name), int(message["requests"]), float(message["elapsed"]),
                        float(message["started"]), _text(message["python"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return facts if math.isfinite(facts.elapsed) and math.isfinite(facts.started) else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return printable(value)[:255]
