"""The cache: large inputs, and outputs that are inputs of later jobs, kept on this host for later runs of the user.

A cached file is never opened for writing and never given to a job: a run has it as a hard link in its own directory,
and jobs get copies. So a file that is dropped from the cache stays with the runs that need it.
"""

import stat

from .. import files, procs, seals, system
from ..light import new_sha256
from ..places import own_directory
from ..trees import remove_tree

MYPY = False
if MYPY:
    from typing import Callable, Iterator

#: Bytes that are compared at a time.
_PIECE = 1 << 22
#: Smaller inputs are not cached: sending them again costs less, and secrets are small.
LEAST = 1 << 18
#: At most so many bytes and files are kept, and at most 1/SHARE of the room on the disk.
MOST, MOST_FILES, SHARE = 10 << 30, 4096, 4
#: Seconds that a file is kept for after it was last needed.
KEPT_FOR = 14 * 86400.0
#: The cache is trimmed after so many new bytes or files.
_OFTEN, _OFTEN_FILES = 1 << 30, 256


class Cache:
    """The cache of this user on this host. Whatever goes wrong with it only costs that inputs are sent again.

    Files are not synced. So a name is good until the host boots: each boot has a directory of its own, because a
    power failure may leave a file with its name and size and without its content.

    :param root: of all of ours on this host
    """

    def __init__(self, root: str):
        self.path = root + "/cache"
        self._here = self.path + "/" + (procs.boot_id() or "boot")
        self._new = self._new_files = 0

    def fetching(self, sha: str, size: int, target: str) -> "Iterator[bool]":
        """Compare a cached file with its digest, a piece at a time, and link it to ``target``. Yields False after each
        piece, and at the end whether the file is there."""
        path, new = self._here + "/" + sha, target + ".try"
        try:
            system.link(path, new, follow_symlinks=False)
        except OSError:
            yield False
            return
        try:
            found = system.stat(new, follow_symlinks=False)
            whole = stat.S_ISREG(found.st_mode) and found.st_size == size and not found.st_mode & 0o222
            if whole:
                for holds in self._comparing(new, sha):
                    whole = holds
                    yield False
            if whole:
                system.rename(new, target)
                yield True
                return
        except OSError:  # it cannot be had, then
            pass
        # It is not what was cached, or it went away meanwhile.
        for name in (new, path):
            _forgive(system.unlink, name)
        yield False

    def _comparing(self, path: str, sha: str) -> "Iterator[bool]":
        """Read a file piece by piece: yield True after each, and at the end whether its digest is right."""
        digest, offset = new_sha256(), 0
        fd = files.open_regular(path)
        try:
            while True:
                data = system.pread(fd, _PIECE, offset)
                if not data:
                    break
                digest.update(data)
                offset += len(data)
                yield True
            if digest.hexdigest() == sha:
                seals.put(fd, sha)
                yield True
            else:
                yield False
        finally:
            files.close_quietly(fd)

    def keep(self, path: str, sha: str, size: int) -> None:
        """Cache a file that has just come over the link, complete and read-only."""
        try:
            own_directory(self.path)
            own_directory(self._here)
            system.link(path, self._here + "/" + sha, follow_symlinks=False)
        except Exception:  # noqa: BLE001  (no hard links, no room, a stranger's directory: then it is not kept)
            return
        self._count(size)

    def keep_output(self, path: bytes, fd: int, sha: str) -> None:
        """Cache an output of a job, which was just read to its end, by a hard link, and make it read-only.

        The job has ended, so nothing of it writes to the file. A file with other hard links is not cached: somebody
        may write to it through those.

        :param path: where it was; it counts only if the same file still stands there
        """
        new = self._here + "/" + sha + ".new"
        try:
            own_directory(self.path)
            own_directory(self._here)
            system.link(path, new, follow_symlinks=False)
        except Exception:  # noqa: BLE001  (as above)
            return
        try:
            found, linked = system.fstat(fd), system.stat(new, follow_symlinks=False)
            if (linked.st_dev, linked.st_ino, found.st_nlink) != (found.st_dev, found.st_ino, 2):
                raise OSError("another file")
            system.fchmod(fd, found.st_mode & 0o555 | 0o400)
            system.rename(new, self._here + "/" + sha)
        except OSError:
            _forgive(system.unlink, new)
            return
        self._count(found.st_size)

    def _count(self, size: int) -> None:
        """See to the bounds now and then."""
        self._new += size
        self._new_files += 1
        if self._new >= _OFTEN or self._new_files >= _OFTEN_FILES:
            self.trim()

    def trim(self) -> None:
        """Delete files that were not needed for long, then the least recently needed ones until the bounds hold."""
        self._new = self._new_files = 0
        found = sorted(self._files(), reverse=True)
        limit, oldest = self._limit(sum(size for _, size, _ in found)), system.time() - KEPT_FOR
        total = 0
        for number, (used, size, path) in enumerate(found):
            total += size
            if used < oldest or total > limit or number >= MOST_FILES:
                total -= size
                _forgive(system.unlink, path)
        for directory in _listed(self.path):
            _forgive(system.rmdir, directory)
        _forgive(system.rmdir, self.path)

    def _limit(self, present: int) -> int:
        try:
            disk = system.statvfs(self.path)
        except OSError:
            return MOST
        return min(MOST, (disk.f_bavail * disk.f_frsize + present) // SHARE)

    def _files(self) -> "list[tuple[float, int, str]]":
        """When each file was last needed (its time of last change is its seal), its size, and its path; another host
        may share them with us."""
        found = []
        for directory in _listed(self.path):
            for path in _listed(directory):
                try:
                    info = system.stat(path, follow_symlinks=False)
                except OSError:  # another agent deleted it
                    continue
                found.append((info.st_atime, info.st_size, path))
        return found

    def count(self) -> int:
        """Return how many files are kept."""
        return len(self._files())

    def clear(self) -> "tuple[int, int]":
        """Delete everything; return how many files that were, and how many bytes."""
        found = self._files()
        remove_tree(self.path)
        gone = [size for _, size, path in found if not files.exists(path)]
        return len(gone), sum(gone)


def _listed(directory: str) -> "list[str]":
    try:
        return [directory + "/" + name for name in system.listdir(directory)]
    except OSError:
        return []


def _forgive(how: "Callable[[str], None]", path: str) -> None:
    try:
        how(path)
    except OSError:  # not empty, or gone: another agent is at it too
        pass
