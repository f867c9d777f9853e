"""Fetches files of jobs that the manager has not fetched: of failed jobs, after a broken transfer, or in a run without
a manager. It asks the hosts itself, beside a manager that may be alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sshjobs.errors import LocalError, SshjobsError, UsageError, printable
from sshjobs.model.attempt import Attempt
from sshjobs.model.given import check_path, check_texts
from sshjobs.model.host import Host
from sshjobs.model.outputs import Brought, keeps_directory, outputs_of, wanted_after
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, Outcome
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

#: So many jobs are looked at at a time.
_PAGE = 1000
#: Seconds that a manager gets to note that the hosts keep nothing of jobs that have ended. It takes a fraction of one.
_ENDING_S = 5.0
#: So many letters of a run's uid tell it from other runs.
_MARK = 12


class FetchedJob(NamedTuple):
    """The result of fetching the files of a job.

    :ivar host: the host that was asked; ``None`` if none had to be
    :ivar files: how many files are here now; ``size``: their bytes
    :ivar directory: where they are; ``None`` if there are none
    :ivar trouble: what is missing and why, in a line; ``None`` if nothing is
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
    """Fetch the files that the ``outputs`` of jobs name (whatever their ``when``) and that are not here. Yield the
    result for each job as soon as it is known. Complete files are not fetched again; a partial one continues at its
    end. Later calls for the same run wait for the first.

    :param names: names of jobs; ``None``: all that lack files
    :param to: put the files into a directory for each job in this one; ``None``: into the run
    :param say: told what is waited for
    :raises NotYoursError: the run belongs to another user
    :raises UsageError: the directory cannot be used
    :raises LocalError: this machine's disk cannot take the files
    """
    check_own(paths)
    with _alone(paths, say), RunReader.open(paths) as reader:
        plan = _Plan(paths, reader, to)
        wanted = (job.name for job in reader.jobs()) if names is None else iter(names)
        ending: list[str] = []
        for page in pages(wanted, _PAGE):
            for job in reader.load(page):
                if plan.is_about_to_be_over(job):
                    ending.append(job.name)
                elif (told := plan.consider(job, named=names is not None)) is not None:
                    yield told
        for job in plan.when_over(ending):
            if (told := plan.consider(job, named=names is not None)) is not None:
                yield told
        yield from plan.carry_out()


def fetch_of(paths: RunPaths, names: Iterable[str] | None, to: str | Path | None) -> list[FetchedJob]:
    """Implements :meth:`Run.fetch`.

    :raises UsageError: a parameter is wrong, or no job has such a name
    """
    check_path("to", to, none=True)
    wanted = None
    if names is not None:
        with RunReader.open(paths) as reader:
            wanted = [job.name for job in named_jobs(reader, check_texts("names", names))]
    return list(fetch_files(paths, wanted, None if to is None else Path(to)))


@contextlib.contextmanager
def _alone(paths: RunPaths, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock, so that one process at a time fetches files of a run; wait for it."""
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
    """The files to fetch, by host, and where they go."""

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

    def is_about_to_be_over(self, job: Job) -> bool:
        """Tell whether a job has ended whose manager is about to note that its host keeps nothing of it."""
        return self._to is None and self._attended and job.state in FINAL_STATES and not is_over(job)

    def when_over(self, names: Sequence[str]) -> Iterator[Job]:
        """Yield the jobs with these names once they are over; those that do not come to it as they are then."""
        deadline = time.monotonic() + _ENDING_S
        for page in pages(iter(names), _PAGE):
            while True:
                jobs = self._reader.load(page)
                if time.monotonic() >= deadline or not any(map(self.is_about_to_be_over, jobs)):
                    break
                time.sleep(0.05)
            yield from jobs

    def consider(self, job: Job, *, named: bool) -> FetchedJob | None:
        """Add a job to the plan, or return its result if nothing is to be fetched.

        :param named: a person has named the job, and is told even that there is nothing to do
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
        """Return whether all files of an attempt are here, as far as the store knows."""
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
        """Fetch everything in the plan."""
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
        """Put the fetched files of a job in place, durably; return a description of its files then.

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
    """Return whether a job runs in a directory of its own."""
    return job.spec.cwd is None or not job.spec.cwd.startswith(("/", "~"))


def _usable(directory: Path) -> Path:
    """Return a directory that a person named, after making it if it is missing.

    :raises UsageError: it cannot be used
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return directory.resolve(strict=True)
    except OSError as error:
        raise UsageError("files cannot be put there", where=str(directory), why=error.strerror or str(error),
                         hint="name a directory of yours: --to DIR") from error
