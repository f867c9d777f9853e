"""One link to the agent on a host, without any input or output: bytes in, events out, and back.

A Link lives as long as one connection. What must outlive it (which attempts are on the host, how much of their
output has come) belongs to the session, which tells it to the next Link by :meth:`Link.sync`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sshjobs.errors import ProtocolError
from sshjobs.network.protocol import frames

_SYNC_PIECE = 1000
#: Bytes of a header that take as long as many frames.
_MUCH = 1 << 14
#: How much is told of what a host says that cannot run the agent, in characters.
_TOLD = 80


class Ready(NamedTuple):
    """The agent's marker has come: frames may follow."""


class TooOld(NamedTuple):
    """The far side cannot run the agent. ``what`` is the Python version, or the name of the system."""

    kind: str
    what: str


class Welcome(NamedTuple):
    """The agent's answer to hello: what it says of its host."""

    facts: dict[str, Any]


class Output(NamedTuple):
    """The next bytes of one stream (1 stdout, 2 stderr) of an attempt, at offset ``off``; ``crc`` is their crc32."""

    uid: str
    stream: int
    off: int
    data: bytes
    crc: int


class Part(NamedTuple):
    """The next bytes of a file of an attempt: of that with this number on the page, at offset ``off``."""

    uid: str
    file: int
    off: int
    data: bytes


class Frame(NamedTuple):
    """Any other frame: its type, its checked keys, and its size in bytes."""

    type: str
    keys: dict[str, Any]
    size: int = 0


Event = Ready | TooOld | Welcome | Output | Part | Frame


def hello(*, run: str, name: str, host: str, epoch: int, slots: int | None,
          batch: Mapping[str, Any] | None = None) -> bytes:
    """Return the first frame of a link. It travels within the first stage.

    :param batch: what a scheduler is told that carries the jobs out, where it is not the host itself
    """
    return frames.encode({"t": "hello", "v": frames.VERSION, "run": run, "name": name, "host": host, "epoch": epoch,
                          "slots": slots, "root": None} | ({} if batch is None else {"batch": batch}))


class Link:
    """One link: parses the frames of the host, and makes those that are sent to it.

    :param nonce: 32 hex digits, echoed by the first stage so that nothing else can pass for the agent
    """

    def __init__(self, nonce: str):
        self.nonce = nonce
        self._marker = f"\nSSHJOBS-READY {nonce}\n".encode()
        self._refusals = {
            "old-python": f"\nSSHJOBS-OLD {nonce} ".encode(),
            "not-linux": f"\nSSHJOBS-NOT-LINUX {nonce} ".encode(),
        }
        #: What came before the marker, the end of it: a clue when the marker never comes.
        self.noise = bytearray(b"\n")
        self._noise_size = 0
        self._decoder: frames.Decoder | None = None
        #: The frame that comes next has taken some milliseconds.
        self.much = False
        self._out: list[bytes] = []
        #: Bytes that are to be written.
        self.waiting = 0

    @property
    def ready(self) -> bool:
        """Whether the marker has come."""
        return self._decoder is not None

    # -- what comes ---------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> Iterator[Event]:
        """Take bytes from the host and yield what they say.

        :raises ProtocolError: they are no part of this protocol; the connection is of no further use
        """
        if self._decoder is None:
            rest = self._skip_noise(data)
            if rest is None:
                yield from self._look_for_refusal()
                return
            yield Ready()
            data = rest
        assert self._decoder is not None
        for header, body in self._decoder.feed(data):
            kind = header["t"]
            if kind == "out":
                if len(body) != header["n"] or zlib.crc32(body) != header["crc"]:
                    raise ProtocolError("output that was damaged on its way", where=header["id"])
                yield Output(header["id"], header["s"], header["off"], body, header["crc"])
            elif kind == "part":
                yield Part(header["id"], header["i"], header["off"], body)
            elif kind == "welcome":
                if header["v"] != frames.VERSION:
                    raise ProtocolError(f"an agent of version {header['v']}", why=f"this is {frames.VERSION}")
                yield Welcome(header)
            else:
                size = self._decoder.line_size
                self.much = size > _MUCH
                yield Frame(kind, header, size)
                self.much = False

    def _skip_noise(self, data: bytes) -> bytes | None:
        self._noise_size += len(data)
        self.noise += data
        at = self.noise.find(self._marker)
        if at < 0:
            if self._noise_size > frames.MAX_NOISE:
                raise ProtocolError(f"more than {frames.MAX_NOISE >> 20} MiB before the agent's first word")
            # Keep enough to find a marker that is cut in two, and to show to a person.
            del self.noise[:-4096]
            return None
        rest = bytes(self.noise[at + len(self._marker):])
        del self.noise[at:]
        self._decoder = frames.Decoder()
        return rest

    def _look_for_refusal(self) -> Iterator[Event]:
        for kind, marker in self._refusals.items():
            at = self.noise.find(marker)
            end = self.noise.find(b"\n", at + 1)
            if at >= 0 and end >= 0:
                yield TooOld(kind, self.noise[at + len(marker):end][:_TOLD].decode("ascii", "replace"))

    # -- what is said -------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return what is to be written to the host, and forget it."""
        data = b"".join(self._out)
        self._out.clear()
        self.waiting = 0
        return data

    def say(self, kind: str, body: bytes = b"", **keys: Any) -> None:
        """Add a frame to what is to be written."""
        self.say_bytes(frames.encode({"t": kind, **keys}))
        if body:
            self.say_bytes(body)

    def say_bytes(self, data: bytes) -> None:
        """Add a frame, or its body, that is put together already."""
        self._out.append(data)
        self.waiting += len(data)

    def sync(self, attempts: Iterable[tuple[str, int, int]]) -> None:
        """Name every attempt that should be on the host, with the bytes of stdout and stderr that have come."""
        rows: Sequence[tuple[str, int, int]] = list(attempts)
        for start in range(0, max(len(rows), 1), _SYNC_PIECE):
            piece = rows[start:start + _SYNC_PIECE]
            self.say("sync", a=piece, last=start + _SYNC_PIECE >= len(rows))
