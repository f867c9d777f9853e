"""The files that ``gjob remote start`` takes along: found, checked, and sent as they are."""

import os
import stat

from .jobdir import OURS
from .say import Trouble, reason, usage

MYPY = False
if MYPY:
    from typing import Iterator

_PIECE = 1 << 18


class Parcel:
    """The script and the files of a job.

    :ivar listing: of each its path in the job directory, size (``None`` for a directory) and mode
    """

    def __init__(self, script: bytes, paths: "list[str]"):
        self._script = script
        self._sources: "list[str]" = []
        self.listing: "list[tuple[str, int | None, int]]" = [(".cmds", len(script), 0o644)]
        seen: "dict[str, str]" = {}
        for path in paths:
            name = os.path.basename(os.path.abspath(path))
            if name in OURS or name.startswith(".gjob"):
                raise usage("%s: a job directory has a file of that name already" % path, None, "rename it")
            if name in seen:
                raise usage("%s and %s have the same name" % (seen[name], path), None, "rename one of them")
            seen[name] = path
            self._add(path, name)

    def _add(self, path: str, name: str) -> None:
        try:
            found = os.stat(path)
            if stat.S_ISDIR(found.st_mode):
                self._list(path, name, None, found.st_mode)
                for entry in sorted(os.listdir(path)):
                    self._add(os.path.join(path, entry), name + "/" + entry)
                return
            if not stat.S_ISREG(found.st_mode):
                raise usage("%s: it is neither a file nor a directory" % path, None, "name files that can be copied")
            if not os.access(path, os.R_OK):
                raise usage("%s: it cannot be read" % path, None, "see its mode")
        except OSError as error:
            raise usage("%s: it cannot be read" % path, reason(error), "check the path")
        self._list(path, name, found.st_size, found.st_mode)

    def _list(self, path: str, name: str, size: "int | None", mode: int) -> None:
        self._sources.append(path)
        self.listing.append((os.fsencode(name).decode("utf-8", "surrogateescape"), size, stat.S_IMODE(mode) & 0o777))

    def pieces(self) -> "Iterator[bytes]":
        """Yield all contents, in the order of the listing.

        :raises Trouble: a file became shorter since it was listed
        """
        yield self._script
        for path, (_, size, _) in zip(self._sources, self.listing[1:]):
            if size is None:
                continue
            with open(path, "rb") as file:
                while size:
                    piece = file.read(min(size, _PIECE))
                    if not piece:
                        raise Trouble("%s: it became shorter while it was sent" % path, None, "nothing was started")
                    yield piece
                    size -= len(piece)
