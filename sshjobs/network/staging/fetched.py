"""Where files arrive that a person fetches after the end of a job: in its run, or in a directory of the person's.

No file that is there is lost: those that the host does not have (any more) stay.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from typing import Any

from sshjobs.network.session.arrivals import (
    FETCHED,
    FILES,
    OLD,
    ArrivingFiles,
    Directories,
    UnplaceableError,
    files_in,
    made,
    remove,
)

#: Errors that concern one file, and not this machine.
_IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY, errno.EEXIST)

#: Errors where a file cannot be linked.
_NO_LINK = (errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.ENOTSUP)


class IntoRun(ArrivingFiles):
    """Files arrive in ``files.fetch`` in the directory of a job, which no manager uses. :func:`put_in_place` makes it
    the ``files`` of the job; only a process that may change the run calls that.

    :ivar joined: directories of jobs to which files were added that the host does not have
    """

    part = FETCHED

    def __init__(self, outputs: Directories):
        super().__init__(outputs)
        self.joined: set[str] = set()

    def publish(self, directory: str, any_files: bool, came: Callable[[str], bool] | None = None) -> None:
        """Add all files that were there before to those that came."""
        self._close()
        if not any_files:
            remove(f"{directory}/{self.part}")
            return
        self._drop_rest(directory, came)
        for path in files_in(f"{directory}/{self.files}"):
            if self._added(directory, path):
                self.joined.add(directory)

    def _added(self, directory: str, path: str) -> bool:
        """Add a file that was there before, unless it came; return whether it was added."""
        try:
            with self._inside(directory, self.files, path, make=False) as (source, name), \
                    self._inside(directory, self.part, path, make=True) as (target, _):
                os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOENT, *_IN_THE_WAY):
                raise
            return False
        return True


def put_in_place(directory: str) -> None:
    """Make the fetched files of a job its ``files``. The directory before becomes ``files.old``, to be removed.

    :raises FileNotFoundError: nothing was fetched
    :raises OSError: it cannot be done; it may be tried again
    """
    os.stat(f"{directory}/{FETCHED}", follow_symlinks=False)
    with contextlib.suppress(FileNotFoundError):
        try:
            os.rename(f"{directory}/{FILES}", f"{directory}/{OLD}")
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
            # Left by a process that died two steps further.
            remove(f"{directory}/{OLD}")
            os.rename(f"{directory}/{FILES}", f"{directory}/{OLD}")
    os.rename(f"{directory}/{FETCHED}", f"{directory}/{FILES}")


class IntoDirectory(ArrivingFiles):
    """Files arrive in a directory of a person's, with a directory for each job. They are put in place when all files of
    their job have come.

    :param mark: letters that differ from run to run
    :ivar refused: by directory: files that could not be put in place because something else is there
    """

    files = "."

    def __init__(self, outputs: Directories, mark: str):
        super().__init__(outputs)
        self.part = f".sshjobs-fetch-{mark}"
        self.refused: dict[str, list[str]] = {}

    def prepare(self, directory: str) -> bool:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        self._close()
        with self._opened(directory) as top:
            return not made(self.part, top)

    def have(self, directory: str, path: str, size: int, link: bool) -> tuple[int, Any]:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        try:
            return super().have(directory, path, size, link)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            # It is sent again.
            return 0, hashlib.sha256()

    def write(self, directory: str, path: str, offset: int, data: bytes, anew: bool) -> None:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        self._check(path)
        super().write(directory, path, offset, data, anew)

    def finish(self, directory: str, path: str, size: int, program: bool, anew: bool) -> None:
        """See :class:`sshjobs.network.session.arrivals.Arrivals`."""
        self._check(path)
        super().finish(directory, path, size, program, anew)

    def _check(self, path: str) -> None:
        if path.split("/")[0] == self.part:
            raise UnplaceableError("files on their way are called so here")

    def publish(self, directory: str, any_files: bool, came: Callable[[str], bool] | None = None) -> None:
        """Put each file that came in its place; others stay."""
        self._close()
        self._drop_rest(directory, came)
        for path in files_in(f"{directory}/{self.part}"):
            try:
                with self._inside(directory, self.part, path, make=False) as (source, name), \
                        self._inside(directory, self.files, path, make=True) as (target, _):
                    os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            except OSError as error:
                if error.errno not in _IN_THE_WAY:
                    raise
                self.refused.setdefault(directory, []).append(path)
        remove(f"{directory}/{self.part}")
