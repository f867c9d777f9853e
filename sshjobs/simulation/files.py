"""Where output lands in a simulated world: files in memory, of which a loss of power takes what was not synced."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sshjobs.network.session.arrivals import FILES, PART
from sshjobs.network.session.output_files import OutputFiles


class VirtualFiles(OutputFiles):
    """The output files of the manager's machine.

    :ivar trouble: the number of the error that everything fails with that is to be written; ``None`` where all is well
    """

    def __init__(self) -> None:
        super().__init__()
        self.arrivals = VirtualArrivals(self)
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
        self.check(directory)
        for name in ("stdout", "stderr"):
            self._file(f"{directory}/{name}")

    def _file(self, path: str) -> bytearray:
        if path not in self._data:
            self._data[path] = bytearray()
            self._named.append(("", path))
        return self._data[path]

    def write(self, uid: str, stream: int, path: Path, offset: int, data: bytes) -> None:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""
        self.check(path)
        file = self._file(str(path))
        if len(file) < offset:
            file.extend(bytes(offset - len(file)))
        file[offset:offset + len(data)] = data
        self._dirty[str(path)] = None

    def check(self, path: str | Path) -> None:
        """Have what is to be written fail as long as there is trouble.

        :raises OSError: there is
        """
        if self.trouble is not None:
            raise OSError(self.trouble, os.strerror(self.trouble), str(path))

    def forget(self, uid: str) -> None:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""

    def size(self, path: Path) -> int:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""
        return len(self._data.get(str(path), b""))

    def put_aside(self, directory: Path, aside: Path) -> None:
        """See :class:`sshjobs.network.session.output_files.OutputFiles`."""
        for name in (PART, FILES):
            self.check(aside)
            self.rename(f"{directory}/{name}", f"{aside}/{name}")
        for name in ("stderr", "stdout"):
            self.check(aside)
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

    def rename(self, old: str, new: str) -> None:
        """Give a directory another name."""
        for path in [path for path in self._data if path.startswith(f"{old}/")]:
            target = new + path[len(old):]
            self._named.append((path, target))
            self._data[target] = self._data.pop(path)
            self._synced[target] = self._synced.pop(path, 0)
            self._dirty[target] = None

    def remove(self, directory: str) -> None:
        """Remove what is in a directory, for good."""
        for path in [path for path in self._data if path.startswith(f"{directory}/")]:
            self._data.pop(path)
            self._synced.pop(path, None)
        self._named = [(old, new) for old, new in self._named if not new.startswith(f"{directory}/")]

    def keep_only(self, directory: str, wanted: Callable[[str], bool]) -> None:
        """Remove files of a directory that are not wanted, by their paths there."""
        for path in [path for path in self._data if path.startswith(f"{directory}/")]:
            if not wanted(path[len(directory) + 1:]):
                self._data.pop(path)
                self._synced.pop(path, None)

    def truncate(self, path: str, size: int) -> None:
        """Have a file end at an offset, which may be behind its end."""
        file = self._file(path)
        del file[size:]
        file.extend(bytes(size - len(file)))

    def below(self, directory: Path) -> dict[str, bytes]:
        """Return the files below a directory by their paths there."""
        return {path[len(f"{directory}/"):]: bytes(data) for path, data in self._data.items()
                if path.startswith(f"{directory}/")}

    def read(self, path: Path) -> bytes:
        """Return what is in a file; nothing where there is none."""
        return bytes(self._data.get(str(path), b""))

    def sync(self, top: Path, places: Iterable[tuple[Path, Path]] | None = None) -> None:
        """Put everything on the disk."""
        self.check(top)
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


class VirtualArrivals:
    """Where files of jobs arrive in memory, see :class:`sshjobs.network.session.arrivals.Arrivals`."""

    def __init__(self, files: VirtualFiles):
        self._files = files

    def prepare(self, directory: str) -> bool:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        self._files.check(directory)
        return True

    def is_here(self, directory: str, path: str, size: int) -> bool:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        found = self._files.below(Path(f"{directory}/{FILES}")).get(path)
        return found is not None and len(found) == size

    def have(self, directory: str, path: str, size: int, link: bool) -> tuple[int, Any]:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        data = self._files.read(Path(f"{directory}/{PART}/{path}")) if link else b""
        if not data:
            data = self._files.read(Path(f"{directory}/{FILES}/{path}"))
            if link and data and len(data) == size:
                self._files.write("", 0, Path(f"{directory}/{PART}/{path}"), 0, data)
        return (len(data), hashlib.sha256(data)) if len(data) <= size else (0, hashlib.sha256())

    def keep(self, directory: str, path: str, size: int) -> bool:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        return False

    def write(self, directory: str, path: str, offset: int, data: bytes, anew: bool) -> None:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        self._files.check(directory)
        where = f"{directory}/{PART}/{path}"
        if anew:
            self._files.truncate(where, 0)
        self._files.write("", 0, Path(where), offset, data)

    def finish(self, directory: str, path: str, size: int, program: bool, anew: bool) -> None:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        self._files.check(directory)
        where = f"{directory}/{PART}/{path}"
        if anew:
            self._files.truncate(where, 0)
        self._files.truncate(where, size)

    def publish(self, directory: str, any_files: bool, came: Callable[[str], bool] | None = None) -> None:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        self._files.check(directory)
        if any_files:
            if came is not None:
                self._files.keep_only(f"{directory}/{PART}", came)
            self._files.remove(f"{directory}/{FILES}")
            self._files.rename(f"{directory}/{PART}", f"{directory}/{FILES}")
        else:
            self._files.remove(f"{directory}/{PART}")

    def close(self) -> None:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""


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
