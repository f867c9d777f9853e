"""Carries over into a new run what earlier runs have done: the records of jobs, their outputs and their files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sshjobs.errors import SshjobsError, UsageError
from sshjobs.model.attempt import Attempt
from sshjobs.model.spec import Job
from sshjobs.network.session.output_files import sync_tree
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.comparison import Comparison, Standing, compare
from sshjobs.planning.earlier import Earlier
from sshjobs.store.ownership import check_own
from sshjobs.store.rundir import RunPaths

#: How many bytes are copied at a time.
_PIECE = 1 << 20
#: How many jobs are loaded at a time.
_PAGE = 1_000
#: The errors that say that a file cannot be hard-linked there; it is copied instead.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, errno.ENOTSUP, errno.ENOSYS)


@dataclass
class Carried:
    """What a new run takes over.

    :ivar counts: how many jobs, by the name of the earlier run
    """

    comparison: Comparison
    counts: dict[str, int]

    def bring_files(self, paths: RunPaths) -> None:
        """Give the new run the outputs and files of its jobs, as hard links, or as copies where links are impossible.
        They are on the disk when this returns.

        :raises SshjobsError: they cannot be written, or are not there any more
        """
        for place in self.comparison.standing(Standing.DONE):
            job, source = self.comparison.jobs[place], self.comparison.sources[place]
            old, new = self.comparison.runs[source.run].paths.job(source.name), paths.job(job.name)
            try:
                _bring(old, new)
            except OSError as error:
                raise SshjobsError(f"what {job.name} has done cannot be carried over", where=str(error.filename or old),
                                   why=error.strerror, hint="see to it, then start again") from error
        if self.counts:
            try:
                sync_tree(paths.jobs)
            except OSError as error:
                raise SshjobsError("what earlier runs have done cannot be carried over", where=str(paths.jobs),
                                   why=error.strerror, hint="see to the disk, then start again") from error


@contextmanager
def carried_over(jobs: Sequence[Job], earlier: Sequence[RunPaths], staging: Staging) -> Iterator[Carried]:
    """Mark the jobs of a new run that earlier runs have done as done. Nothing is written yet.

    The earlier runs are open while the block lasts.

    :raises UsageError: a job that is to run here is running there
    :raises StoreError: an earlier run cannot be read
    """
    for paths in earlier:
        check_own(paths)
    with ExitStack() as opened:
        runs = [opened.enter_context(Earlier(paths, staging)) for paths in earlier]
        comparison = compare(jobs, runs, staging)
        _refuse_running(comparison)
        yield Carried(comparison, _take_records(comparison))


def _refuse_running(comparison: Comparison) -> None:
    """Make sure that no job is started a second time.

    :raises UsageError: a job of the file runs in an earlier run, or may do so
    """
    places = list(comparison.standing(Standing.RUNNING))
    if not places:
        return
    run = comparison.runs[comparison.sources[places[0]].run]
    number = sum(comparison.sources[place].run == comparison.sources[places[0]].run for place in places)
    word = run.paths.root
    what = "job of this jobfile runs" if number == 1 else "jobs of this jobfile run"
    hint = (f"wait for it: sshjobs attach {word}; or end it: sshjobs cancel {word} --all" if run.live else
            f"collect them: sshjobs resume {word}; or end them: sshjobs cancel {word} --all")
    raise UsageError(f"{number:,} {what} in {run.name} or may run there, and would run twice", where=str(word),
                     why=f"such as {comparison.jobs[places[0]].name}", hint=hint)


def _take_records(comparison: Comparison) -> dict[str, int]:
    """Give jobs the records of the earlier jobs that they are equal to; return how many, by the name of the run."""
    counts: dict[str, int] = {}
    for number, run in enumerate(comparison.runs):
        places = [place for place in comparison.standing(Standing.DONE) if comparison.sources[place].run == number]
        for first in range(0, len(places), _PAGE):
            page = places[first:first + _PAGE]
            known = {job.name: job for job in run.load([comparison.sources[place].name for place in page])}
            for place in page:
                _take_record(comparison.jobs[place], known[comparison.sources[place].name], run)
        if places:
            counts[run.name] = len(places)
    return counts


def _take_record(job: Job, then: Job, run: Earlier) -> None:
    job.state, job.outcome, job.host = then.state, then.outcome, then.host
    job.exit_status, job.signal = then.exit_status, then.signal
    job.attempts = [_copied(attempt, job, run) for attempt in then.attempts]


def _copied(then: Attempt, job: Job, run: Earlier) -> Attempt:
    attempt = Attempt(then.n, f"{job.index + 1}.{then.n}", then.host, "")
    for name in Attempt.__slots__:
        if name not in ("n", "uid", "host", "token"):
            setattr(attempt, name, getattr(then, name))
    # What its host still keeps of it belongs to the earlier run.
    attempt.released, attempt.origin = True, then.origin or run.name
    if then.inputs is not None:
        attempt.inputs = run.inputs(then.inputs.digest)
    return attempt


def _bring(old: Path, new: Path) -> None:
    """Make a copy of a directory, with hard links to its files. What is neither file nor directory is left out."""
    waiting = [(old, new)]
    while waiting:
        source, target = waiting.pop()
        os.mkdir(target, 0o700)
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), target / entry.name))
                elif entry.is_symlink():
                    os.symlink(os.readlink(entry.path), target / entry.name)
                elif stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                    _link(entry.path, target / entry.name)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as read:
            mode = stat.S_IMODE(os.fstat(read.fileno()).st_mode)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(target, flags, mode), "wb", buffering=0) as written:
                _copy(read.fileno(), written.fileno())


def _copy(source: int, target: int) -> None:
    """Copy the bytes of a file and keep its holes: a file of terabytes may be nearly all hole."""
    size, at = os.fstat(source).st_size, 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = os.lseek(source, at, os.SEEK_HOLE)
        while at < end:
            data = os.pread(source, min(_PIECE, end - at), at)
            at += os.pwrite(target, data, at)
    os.ftruncate(target, size)
