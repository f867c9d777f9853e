"""Files that attempts have left here, sent to who asks for them, beside an agent that may be at work. Changes nothing.

What is asked are the frames ``pull``, ``get``, ``drop`` and ``ping`` of the link; they are answered as by the agent.
"""

import os
import select

from .. import wire
from ..agent.pulls import Pull
from ..light import sha256
from ..places import Places, usual_roots
from ..values import to_bytes
from .say import write_all
from .traces import directories_of

MYPY = False
if MYPY:
    from typing import Any

_READ = 1 << 16


def main(nonce: str, hello: str) -> int:
    """Serve one connection on standard input and output until its end; return the exit status.

    :param hello: the line of that frame
    """
    write_all(1, b"\nSSHJOBS-READY %s\n" % nonce.encode("ascii"))
    try:
        frame = wire.parse(hello.encode("ascii"))
        wire.check(frame)
        _Service(_places(frame["run"], sha256(to_bytes(frame["host"]))[:16])).serve()
    except wire.WireError as error:
        write_all(1, wire.encode({"t": "error", "msg": str(error)}))
        return 1
    except BrokenPipeError:
        pass
    return 0


def _places(run: str, host: str) -> Places:
    """Return where a run is on this host; where it is not, a place with nothing in it."""
    for places in directories_of(run):
        if os.path.basename(places.base) == host:
            return places
    return Places(usual_roots()[0], run, host)


class _Service:
    """One connection."""

    def __init__(self, places: Places):
        self._places = places
        self._decoder = wire.Decoder()
        self._pulls: "dict[str, Pull]" = {}

    def serve(self) -> None:
        """Answer until nobody asks any more.

        :raises wire.WireError: what came is no frame that may come here
        """
        while True:
            busy = [pull for pull in self._pulls.values() if pull.busy]
            if select.select([0], [], [], 0 if busy else None)[0]:
                data = os.read(0, _READ)
                if not data:
                    return
                for frame, _, _ in self._decoder.feed(data):
                    self._obey(frame)
                continue
            for pull in busy:
                write_all(1, b"".join(pull.step()))

    def _obey(self, frame: "dict[str, Any]") -> None:
        kind = frame["t"]
        if kind == "ping":
            write_all(1, wire.encode({"t": "pong", "seq": frame["seq"]}))
        elif kind == "pull":
            self._drop(frame["id"])
            self._pulls[frame["id"]] = Pull(frame, self._places.cwd(frame["id"]))
        elif kind == "get":
            if frame["id"] in self._pulls:
                self._pulls[frame["id"]].get(frame["files"], frame["more"])
        elif kind == "drop":
            self._drop(frame["id"])
        else:
            raise wire.WireError("%s: not here" % kind)

    def _drop(self, uid: str) -> None:
        pull = self._pulls.pop(uid, None)
        if pull is not None:
            pull.close()
