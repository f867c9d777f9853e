"""Prints what one command wrote on many hosts: an output that several hosts share is printed once, below their names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sshjobs.errors import printable
from sshjobs.inputs.hostranges import fold
from sshjobs.views.base import Event
from sshjobs.views.output import Layout, Printer, Stream
from sshjobs.views.wording import count

_CHUNK = 1 << 16


class Folded(Printer):
    """Prints at the end of the run each different output, with the hosts that wrote it."""

    def __init__(self, streams: tuple[Stream, Stream], layout: Layout):
        super().__init__(streams, layout)
        self._order: dict[str, int] = {}
        #: The jobs with the same output, by command, value and a digest of the output.
        self._equal: dict[tuple[str, bytes], list[str]] = {}

    def take(self, event: Event) -> None:
        if event["event"] == "run":
            self._order = {name: n for n, name in enumerate(event["hosts"])}
        super().take(event)

    def ended(self, name: str) -> None:
        digest = hashlib.sha256()
        size = 0
        for path in (self.paths.stdout(name), self.paths.stderr(name)):
            size += _feed(digest, path)
        if size:
            self._equal.setdefault((name.partition("@")[0], digest.digest()), []).append(name)

    def over(self) -> None:
        commands = {command for command, _ in self._equal}
        for (command, _), names in sorted(self._equal.items(), key=lambda item: (item[0][0], self._place(item[1]))):
            hosts = sorted((name.partition("@")[2] for name in names), key=lambda host: self._order.get(host, 0))
            title = f"{fold(hosts)} ({count(len(hosts), 'host')})" if len(hosts) > 1 else hosts[0]
            title = f"{title}: {command}" if len(commands) > 1 else title
            self.streams[0].write(f"---- {printable(title)} ----\n".encode("utf-8", "backslashreplace"))
            self.print_whole(names[0])
        self._equal.clear()

    def _place(self, names: Sequence[str]) -> int:
        return min(self._order.get(name.partition("@")[2], 0) for name in names)


def _feed(digest: hashlib._Hash, path: Path) -> int:
    """Add a file to a digest, with its length first, and return the length; a missing file counts as empty."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            digest.update(b"%d:" % size)
            while data := file.read(_CHUNK):
                digest.update(data)
            return size
    except FileNotFoundError:
        digest.update(b"0:")
        return 0
