"""Files of jobs fetched that were not brought: those of a failed job, those whose way home was cut, those of a run
whose manager is gone. A manager that lives is not disturbed: hosts are asked beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sshjobs.errors import LocalError, SshjobsError, UsageError, printable
from sshjobs.model.attempt import Attempt
from sshjobs.model.given import check_path, check_texts
from sshjobs.model.host import Host
from sshjobs.model.outputs import Brought, keeps_directory, outputs_of, wanted_after
from sshjobs.model.spec import Job
from sshjobs.model.states import Outcome
from sshjobs.network.fetching import Came, Wish, fetch
from sshjobs.network.session.arrivals import FETCHED, FILES, OLD, ArrivingFiles, remove
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.output_files import OutputFiles, sync_tree
from sshjobs.network.staging.fetched import IntoDirectory, IntoRun
from sshjobs.running.requests.fetched import is_over
from sshjobs.running.unattended import carry_out
from sshjobs.store import RunReader, Summary
from sshjobs.store.filesbrought import brought_in
from sshjobs.store.named import named_jobs
from sshjobs.store.ownership import check_own
from sshjobs.store.paging import pages
from sshjobs.store.rundir import RunPaths, job_directory_name

#: Jobs that are looked at at a time.
_PAGE = 1000
#: Letters of a run's uid that tell it from others.
_MARK = 12


class FetchedJob(NamedTuple):
    """What came of fetching the files of a job.

    :ivar host: where they were looked for; ``None`` where that was not needed
    :ivar files: how many are here now, ``size`` how many bytes they have
    :ivar directory: where they are; ``None`` where none are
    :ivar trouble: what cannot be had and why, a line; ``None`` where all is here
    """

    job: str
    host: str | None = None
    files: int = 0
    size: int = 0
    directory: Path | None = None
    trouble: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**self._asdict(), "directory": None if self.directory is None else str(self.directory)}


def fetch_files(paths: RunPaths, names: Sequence[str] | None = None, to: Path | None = None, *,
                say: Callable[[str], None] = lambda _: None) -> Iterator[FetchedJob]:
    """Fetch the files that the ``outputs`` of jobs name and that are not here, whatever their ``when`` says, and yield
    what came of each job as soon as that is known. What is here is not fetched again; a file goes on at the byte where
    it was cut. Of several calls for one run the later ones wait for the first.

    :param names: of jobs; ``None``: all that lack files
    :param to: a directory of its own for each job is made in this one; ``None``: with the run
    :param say: takes what is waited for
    :raises NotYoursError: the run belongs to another user
    :raises UsageError: the directory cannot be used
    :raises LocalError: this machine's disk cannot take the files
    """
    check_own(paths)
    with _alone(paths, say), RunReader.open(paths) as reader:
        plan = _Plan(paths, reader, to)
        wanted = (job.name for job in reader.jobs()) if names is None else iter(names)
        for page in pages(wanted, _PAGE):
            for job in reader.load(page):
                told = plan.consider(job, named=names is not None)
                if told is not None:
                    yield told
        yield from plan.carry_out()


def fetch_of(paths: RunPaths, names: Iterable[str] | None, to: str | Path | None) -> list[FetchedJob]:
    """Do what :meth:`Run.fetch` says.

    :raises UsageError: a parameter cannot be, or no job is called so
    """
    check_path("to", to, none=True)
    wanted = None
    if names is not None:
        with RunReader.open(paths) as reader:
            wanted = [job.name for job in named_jobs(reader, check_texts("names", names))]
    return list(fetch_files(paths, wanted, None if to is None else Path(to)))


@contextlib.contextmanager
def _alone(paths: RunPaths, say: Callable[[str], None]) -> Iterator[None]:
    """Keep others from fetching files of a run meanwhile; wait for one who does."""
    try:
        marker = os.open(paths.marker, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise LocalError.of(error, "the run's directory cannot be used", where=str(paths.marker)) from error
    try:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"files of {paths.name} are being fetched already; waiting for that to end")
            fcntl.flock(marker, fcntl.LOCK_EX)
        yield
    finally:
        os.close(marker)


class _Plan:
    """What is to be fetched, by host, and where it goes."""

    def __init__(self, paths: RunPaths, reader: RunReader, to: Path | None):
        self._paths, self._reader = paths, reader
        self._summary: Summary = reader.summary()
        manager, left = self._summary.manager, self._summary.until is not None
        self._attended = manager is not None and not left and manager.is_alive()
        self._hosts: dict[str, Host] = {row.host.name: row.host for row in reader.hosts()}
        self._wishes: dict[Host, list[Wish]] = {}
        self._jobs: dict[str, Job] = {}
        self._outputs = OutputFiles()
        self._to = None if to is None else _usable(to)
        self._into_run, self._into = IntoRun(self._outputs), None if self._to is None else IntoDirectory(
            self._outputs, self._summary.uid[:_MARK])
        self._outputs.hold(paths.jobs if self._to is None else self._to)

    # -- what is to be fetched -----------------------------------------------------------------------------------

    def consider(self, job: Job, *, named: bool) -> FetchedJob | None:
        """Note a job whose files are to be fetched; else return what there is to say of it.

        :param named: a person has named it, and is told also that nothing is to be done
        """
        outputs = outputs_of(job.spec.outputs)
        attempt = job.attempts[-1] if job.attempts else None
        if not outputs:
            return FetchedJob(job.name, trouble="it has no outputs; name them in its entry") if named else None
        if attempt is None or attempt.outcome is Outcome.NEVER_STARTED:
            return FetchedJob(job.name, trouble="it has not started") if named else None
        if attempt.origin is not None:
            return FetchedJob(job.name, trouble=f"it ran in {attempt.origin}: fetch its files there") if named else None
        if self._to is None:
            if self._is_complete(job, attempt):
                found = attempt.brought or Brought(0, 0, "")
                there = self._paths.files(job.name) if found.files else None
                return FetchedJob(job.name, None, found.files, found.size, there) if named else None
            if self._attended and not is_over(job):
                return FetchedJob(job.name, attempt.host, trouble="it is not over, and its files come with its end; "
                                  "with --to DIR those that are there now") if named else None
        if attempt.released and _has_own_directory(job) and not keeps_directory(
                job.spec.keep_directory, attempt.outcome):
            return FetchedJob(job.name, attempt.host, trouble="the directory that it ran in was removed at its end; "
                              "keep_directory: on_failure would keep it")
        host = self._hosts.get(attempt.host)
        if host is None:
            return FetchedJob(job.name, attempt.host, trouble="its host is none of the run's any more")
        self._add(job, attempt, host)
        return None

    def _is_complete(self, job: Job, attempt: Attempt) -> bool:
        """Tell whether all that its host had is here, as far as the store knows."""
        outputs = outputs_of(job.spec.outputs)
        if attempt.brought is None or attempt.outcome is None or attempt.reason is not None:
            return False
        if attempt.brought.files and not self._paths.files(job.name).is_dir():
            return False
        return len(wanted_after(outputs, attempt.outcome)) == len(outputs)

    def _add(self, job: Job, attempt: Attempt, host: Host) -> None:
        place = self._paths.job(job.name) if self._to is None else self._to / job_directory_name(job.name)
        try:
            place.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise LocalError.of(error, "files cannot be put there", where=str(place)) from error
        live = LiveAttempt(attempt.uid, job, attempt.token, place)
        self._jobs[attempt.uid] = job
        self._wishes.setdefault(host, []).append(Wish(live, outputs_of(job.spec.outputs)))

    # -- what came -----------------------------------------------------------------------------------------------

    def carry_out(self) -> Iterator[FetchedJob]:
        """Fetch all that was noted."""
        if not self._wishes:
            return
        options = self._summary.options
        arrivals: ArrivingFiles = self._into_run if self._into is None else self._into
        for came in fetch(self._wishes, (self._summary.uid, self._summary.run), arrivals,
                          transport=options.get("transport"), ssh_config=options.get("ssh_config"),
                          accept_new_host_keys=bool(options.get("accept_new_host_keys"))):
            yield self._arrived(came)

    def _arrived(self, came: Came) -> FetchedJob:
        attempt = came.wish.attempt
        job = self._jobs.pop(attempt.uid)
        host, place = job.attempts[-1].host, attempt.directory
        trouble = f"the directory that it ran in is gone from {host}" if came.gone else came.text
        brought = came.brought
        if brought is None or not brought.files:
            if self._to is not None:
                with contextlib.suppress(OSError):
                    place.rmdir()
            return FetchedJob(job.name, host, trouble=trouble)
        if self._into is not None:
            if refused := self._into.refused.pop(attempt.place, []):
                named = ", ".join(f"'{printable(path)[:120]}'" for path in refused[:5])
                trouble = "; ".join(filter(None, (trouble, f"something else stands in the place of {named}")))
            return FetchedJob(job.name, host, brought.files, brought.size, place, trouble)
        try:
            brought = self._put_in_place(job, attempt.place, brought)
        except SshjobsError as error:
            remove(f"{attempt.place}/{FETCHED}")
            return FetchedJob(job.name, host, trouble=str(error))
        return FetchedJob(job.name, host, brought.files, brought.size, place / FILES, trouble)

    def _put_in_place(self, job: Job, place: str, brought: Brought) -> Brought:
        """Make what came the files of a job, durably; return what these are then.

        :raises SshjobsError: the job was started again meanwhile
        """
        try:
            if place in self._into_run.joined:
                brought = brought_in(Path(place, FETCHED))
            sync_tree(self._paths.root)
        except OSError as error:
            raise LocalError.of(error, "files that came cannot be kept on this machine", where=place) from error
        carry_out(self._paths, {"do": "fetched", "job": job.name, "attempt": job.attempts[-1].n, "files": brought.files,
                                "size": brought.size, "digest": brought.digest})
        remove(f"{place}/{OLD}")
        return brought


def _has_own_directory(job: Job) -> bool:
    """Tell whether a job runs in a directory that is made for it."""
    return job.spec.cwd is None or not job.spec.cwd.startswith(("/", "~"))


def _usable(directory: Path) -> Path:
    """Return a directory of a person's, made where it is missing.

    :raises UsageError: it cannot be used
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return directory.resolve(strict=True)
    except OSError as error:
        raise UsageError("files cannot be put there", where=str(directory), why=error.strerror or str(error),
                         hint="name a directory of yours: --to DIR") from error
