"""Where output lands in a simulated world: files in memory, of which a loss of power takes what was not synced."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path

from sshjobs.network.session.output_files import OutputFiles


class VirtualFiles(OutputFiles):
    """The output files of the manager's machine.

    :ivar trouble: the number of the error that everything fails with that is to be written; ``None`` where all is well
    """

    def __init__(self) -> None:
        super().__init__()
        self.trouble: int | None = None
        self._data: dict[str, bytearray] = {}
        self._synced: dict[str, int] = {}
        self._dirty: dict[str, None] = {}
        #: What names were made since the last sync: where from (empty for what is new), and where.
        self._named: list[tuple[str, str]] = []
        #: Passes a point at which the process that works here may die.
        self.point: Callable[[str], None] = lambda name: None

    def hold(self, jobs: Path) -> None:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""

    def create(self, directory: str | Path) -> None:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""
        self._check(directory)
        for name in ("stdout", "stderr"):
            self._file(f"{directory}/{name}")

    def _file(self, path: str) -> bytearray:
        if path not in self._data:
            self._data[path] = bytearray()
            self._named.append(("", path))
        return self._data[path]

    def write(self, uid: str, stream: int, path: Path, offset: int, data: bytes) -> None:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""
        self._check(path)
        file = self._file(str(path))
        if len(file) < offset:
            file.extend(bytes(offset - len(file)))
        file[offset:offset + len(data)] = data
        self._dirty[str(path)] = None

    def _check(self, path: str | Path) -> None:
        if self.trouble is not None:
            raise OSError(self.trouble, os.strerror(self.trouble), str(path))

    def forget(self, uid: str) -> None:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""

    def size(self, path: Path) -> int:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""
        return len(self._data.get(str(path), b""))

    def put_aside(self, directory: Path, aside: Path) -> None:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""
        for name in ("stderr", "stdout"):
            self._check(aside)
            self.point("manager.aside")
            old, new = f"{directory}/{name}", f"{aside}/{name}"
            if old in self._data:
                self._named.append((old, new))
                self._data[new] = self._data.pop(old)
                self._synced[new] = self._synced.pop(old, 0)
                self._dirty[new] = None
            else:
                self._file(new)

    def is_aside(self, aside: Path) -> bool:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""
        return f"{aside}/stdout" in self._data

    def read(self, path: Path) -> bytes:
        """Return what is in a file; nothing where there is none."""
        return bytes(self._data.get(str(path), b""))

    def sync(self, top: Path, places: Iterable[tuple[Path, Path]] | None = None) -> None:
        """Put everything on the disk."""
        self._check(top)
        for path in self._dirty:
            self._synced[path] = len(self._data.get(path, b""))
        self._dirty.clear()
        self._named.clear()

    def lose_power(self, rng: random.Random) -> None:
        """Lose what was not synced, or some of it; of the names all from some moment on, as with a journal."""
        for old, new in reversed(self._named[rng.choice((0, rng.randint(0, len(self._named)), len(self._named))):]):
            data, synced = self._data.pop(new), self._synced.pop(new, 0)
            if old:
                self._data[old], self._synced[old], self._dirty[old] = data, synced, None
        self._named.clear()
        for path, data in self._data.items():
            synced = min(self._synced.get(path, 0), len(data))
            del data[rng.randint(synced, len(data)):]


class NoFiles(VirtualFiles):
    """Files of which nothing is kept, for questions about time alone."""

    def create(self, directory: str | Path) -> None:
        pass

    def write(self, uid: str, stream: int, path: Path, offset: int, data: bytes) -> None:
        pass

    def sync(self, top: Path, places: Iterable[tuple[Path, Path]] | None = None) -> None:
        pass

    def put_aside(self, directory: Path, aside: Path) -> None:
        pass

    def is_aside(self, aside: Path) -> bool:
        return True
