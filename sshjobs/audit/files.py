"""Compares the files of a run directory with its store. Changes nothing."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from sshjobs.audit.findings import Disagreement
from sshjobs.model.outputs import Brought
from sshjobs.model.states import FINAL_STATES, Outcome
from sshjobs.store import AttemptRow, JobRow
from sshjobs.store.filesbrought import brought_in
from sshjobs.store.rundir import RunPaths
from sshjobs.store.setups import SetupRow, setup_name

_PIECE = 1 << 20
#: For how many jobs the files that were brought are looked up at a time.
_PAGE = 1000
_STREAMS = ("stdout", "stderr")
#: The names of the directories of files that were brought, and of files that are on their way.
_BROUGHT = ("files", "files.part", "files.old", "files.fetch")
_NOT_OURS = "it is none of the run's"
_MOVE_AWAY = "move it elsewhere"
_NO_COPY = "bring it back from a copy; nothing else has it"


class FileCheck:
    """Compares the files of a run directory with its store, job by job.

    :ivar files: how many outputs were compared
    :ivar unsummed: how many of them were compared by their size only, because the store has no checksum of them
    :param word: what to type for the run in the commands of the hints
    :param brought: returns the files that were brought of the attempts of a range of jobs, by number of job and attempt
    """

    def __init__(self, paths: RunPaths, word: str, brought: Callable[[int, int], Mapping[tuple[int, int], Brought]]):
        self._paths, self._word, self._brought_of = paths, word, brought
        #: The same of jobs up to a number.
        self._brought: Mapping[tuple[int, int], Brought] = {}
        self._until = -1
        self._names: set[str] = set()
        self.files = self.unsummed = 0

    def job(self, job: JobRow, attempts: list[AttemptRow]) -> Iterator[Disagreement]:
        """Compare the files of a job, except those of an attempt that has not ended."""
        self._names.add(job.name)
        if job.number > self._until:
            self._until = job.number + _PAGE
            self._brought = self._brought_of(job.number, self._until)
        directory = self._paths.job(job.name)
        allowed = set(_BROUGHT)
        for attempt in attempts:
            aside = self._paths.attempt(job.name, attempt.n)
            newest = attempt is attempts[-1]
            # The next attempt, about to be launched, may already have put aside the output of the newest one.
            here = newest and (directory / "stdout").exists() or (newest and not aside.is_dir())
            allowed.update(_STREAMS if here else (aside.name,))
            if attempt.state in FINAL_STATES:
                yield from self._attempt(attempt, directory if here else aside)
                if (brought := self._brought.get((job.number, attempt.n))) is not None:
                    yield from self._files(attempt, brought, (directory if here else aside) / "files")
            if not here:
                yield from self._strangers(aside, {*_STREAMS, *_BROUGHT})
        yield from self._strangers(directory, allowed)

    def setups(self, rows: Iterable[SetupRow]) -> None:
        """Allow the outputs of the setups of hosts."""
        self._names.update(setup_name(row.host) for row in rows)

    def rest(self) -> Iterator[Disagreement]:
        """Yield files that belong to no job. To be called after :meth:`job` was called for every job."""
        if not self._paths.marker.is_file():
            yield Disagreement(str(self._paths.marker), "is missing", "every run directory has one", _NO_COPY)
        yield from self._strangers(self._paths.jobs, self._names)

    def _attempt(self, attempt: AttemptRow, directory: Path) -> Iterator[Disagreement]:
        sizes = zip(_STREAMS, (attempt.out_size, attempt.err_size), (attempt.out_crc, attempt.err_crc), strict=True)
        for name, size, crc in sizes:
            # Files are made at the launch. There are none for what was never launched or was put aside empty.
            may_lack = not size and (attempt.outcome in (Outcome.NEVER_STARTED, Outcome.CANCELLED, Outcome.LOST)
                                     or directory.name == f"attempt-{attempt.n}")
            trouble = self._stream(directory / name, size, crc, may_lack)
            if trouble is not None:
                what, why, shorter = trouble
                fetch = shorter and not attempt.released
                hint = f"its host has it still; fetch it: sshjobs resume {self._word}" if fetch else _NO_COPY
                yield Disagreement(str(directory / name), what, why, hint)

    def _files(self, attempt: AttemptRow, brought: Brought, directory: Path) -> Iterator[Disagreement]:
        """Compare the files that were brought of an attempt."""
        hint = _NO_COPY if attempt.released else f"its host has it still; fetch it: sshjobs resume {self._word}"
        try:
            found = brought_in(directory)
        except OSError as error:
            yield Disagreement(str(directory), "cannot be read", error.strerror or str(error), "see to its rights")
            return
        self.files += found.files
        if found != brought:
            what = (f"holds {found.files:,} files of {found.size:,} bytes" if found[:2] != brought[:2]
                    else "holds other files than came from the host")
            said = f"the store says {brought.files:,} files of {brought.size:,} bytes, sha256 {brought.digest[:12]}…"
            yield Disagreement(str(directory), what, said, hint)

    def _stream(self, path: Path, size: int | None, crc: int | None,
                may_lack: bool) -> tuple[str, str, bool] | None:
        """Return what is wrong with a file, why, and whether bytes of it are missing."""
        said = f"the store says {size:,} bytes" if size is not None else "the attempt has ended"
        try:
            info = path.lstat()
            if not stat.S_ISREG(info.st_mode):
                return "is not a file", said, False
            self.files += 1
            if size is None:
                return None
            if info.st_size != size:
                return f"has {info.st_size:,} bytes", said, info.st_size < size
            if crc is None:
                self.unsummed += size > 0
            elif _checksum(path) != crc:
                return "has other bytes than came from the host", f"their crc32 is not {crc:08x}", False
        except FileNotFoundError:
            return None if may_lack else ("is missing", said, True)
        except OSError as error:
            return "cannot be read", error.strerror or str(error), False
        return None

    def _strangers(self, directory: Path, allowed: set[str]) -> Iterator[Disagreement]:
        try:
            names = [entry.name for entry in os.scandir(directory) if entry.name not in allowed]
        except FileNotFoundError:
            return
        except OSError as error:
            yield Disagreement(str(directory), "cannot be read", error.strerror or str(error), "see to its rights")
            return
        for name in sorted(names):
            yield Disagreement(str(directory / name), "should not be there", _NOT_OURS, _MOVE_AWAY)


def _checksum(path: Path) -> int:
    crc = 0
    # Opened without following links, as it was looked at.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        while data := file.read(_PIECE):
            crc = zlib.crc32(data, crc)
    return crc
