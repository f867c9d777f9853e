"""RunStore: the one writer of a run's store, in the thread of its manager."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sshjobs.errors import RunBusyError, StoreError
from sshjobs.model.attempt import Attempt
from sshjobs.model.host import Host
from sshjobs.model.spec import Job
from sshjobs.model.telling import Notice
from sshjobs.store.change import Change
from sshjobs.store.database import (
    StoreBlockedError,
    connect_writer,
    create_database,
    migrate,
    set_journal,
    translated,
)
from sshjobs.store.disk import sync_directory
from sshjobs.store.identity import ManagerIdentity
from sshjobs.store.inserts import insert_hosts, insert_jobs, insert_manager, listings, write_brought
from sshjobs.store.notices import write_notices
from sshjobs.store.ownership import check_own
from sshjobs.store.queries import queries
from sshjobs.store.results import put_aside
from sshjobs.store.rows import attempt_row, clean_text, facts_json, job_row
from sshjobs.store.rundir import RunPaths
from sshjobs.store.setups import setup_row

#: The stored states of a run. The state that is shown also depends on whether its manager lives.
RUN_STATES = ("running", "interrupted", "done", "failed", "cancelled")


class RunStore:
    """The store of one run, open for writing.

    Changes are collected by ``touch`` and its siblings, which only note *what* has changed; :meth:`commit` reads the
    objects and writes them in one durable transaction. After a ``StoreBlockedError`` all notes are kept, and a later
    commit writes the objects as they are then. :meth:`take_over` must come before the first commit.
    """

    def __init__(self, connection: sqlite3.Connection, paths: RunPaths):
        self._connection, self.paths = connection, paths
        self.epoch = 0
        self._jobs: dict[Job, None] = {}
        self._attempts: dict[Attempt, Job] = {}
        self._released: dict[Attempt, Job] = {}
        self._setups: dict[Attempt, tuple[Job, str]] = {}
        self._hosts: dict[str, tuple[str, str | None, float | None, str | None]] = {}
        self._pulses: dict[str, str] = {}
        self._silences: dict[str, float | None] = {}
        self._notices: dict[str, Notice] = {}
        self._state: str | None = None
        self._options: dict[str, Any] = {}
        self._cancelled: list[Job] = []
        self._no_more_cancelled: list[Job] = []
        self._left = False
        #: The digests of inputs whose listings are in the store.
        self._inputs: set[str] = set()
        self._place = _identity(paths.store)

    @classmethod
    def create(cls, paths: RunPaths, *, uid: str, name: str, jobs: Iterable[Job], hosts: Sequence[Host],
               options: Mapping[str, Any], created: float, manager: ManagerIdentity | None = None,
               network_disk: bool | None = None) -> RunStore:
        """Make the store of a new run and open it. It appears complete and durable, or not at all.

        :param paths: the run's directory, which exists
        :param uid: 32 hex digits by which the hosts know the run
        :param jobs: read once, one at a time; their indexes count from 0
        :param options: the options of the run; stored as JSON
        :param created: seconds since the epoch
        :param manager: the first manager, which takes the run over at once, as by :meth:`take_over`
        :param network_disk: whether the directory is on a network file system; ``None`` finds out
        :raises StoreError: it cannot be written, or two jobs have one name
        """
        if paths.store.exists():
            raise StoreError("there is a store already", where=str(paths.store))
        aside = paths.store.with_name("run.db.new")
        connection = create_database(aside)
        try:
            with translated(aside):
                connection.execute("BEGIN")
                # Indexes are made at the end, which takes half the time of updating them for each job.
                connection.execute("DROP INDEX jobs_by_name")
                row = {"uid": uid, "name": name, "created": created, "options": json.dumps(dict(options))}
                connection.execute(queries()["insert_run"], row)
                insert_hosts(connection, hosts)
                insert_jobs(connection, jobs)
                connection.execute("CREATE UNIQUE INDEX jobs_by_name ON jobs (name)")
                if manager is not None:
                    insert_manager(connection, 1, manager)
                connection.execute("COMMIT")
                set_journal(connection, aside, network_disk)
        except BaseException:
            connection.close()
            aside.unlink(missing_ok=True)
            raise
        connection.close()
        _publish(aside, paths.store)
        store = cls.open(paths, network_disk=network_disk)
        store.epoch = 0 if manager is None else 1
        return store

    @classmethod
    def open(cls, paths: RunPaths, *, network_disk: bool | None = None) -> RunStore:
        """Open the store of a run that is there.

        :raises StoreError: it is missing, damaged, or a newer sshjobs made it
        :raises NotYoursError: the run belongs to another user, or others may change it
        """
        check_own(paths)
        return cls(connect_writer(paths.store, network_disk=network_disk), paths)

    def take_over(self, identity: ManagerIdentity, *, is_alive: Callable[[ManagerIdentity], bool] =
                  ManagerIdentity.is_alive, force: bool = False) -> int:
        """Make a process the run's manager. An earlier manager can commit nothing from then on.

        The store of an older sshjobs is migrated here, and not earlier: its manager might be alive.

        :param is_alive: whether the recorded manager may still be there
        :param force: take the run from a manager that may be alive
        :returns: the manager's epoch, one more than that of the one before
        :raises RunBusyError: another manager works on the run
        :raises StoreError: it cannot be written
        """
        with self._transaction(fenced=False):
            row = self._execute("select_manager").fetchone()
            if row is not None and row[5] is None and not force:
                recorded = ManagerIdentity(*row[:5])
                if is_alive(recorded):
                    error = RunBusyError("another manager works on this run", where=str(self.paths.root),
                                         why=str(recorded), hint="attach to it, or end it first")
                    error.elsewhere = recorded.hostname != identity.hostname
                    raise error
            migrate(self._connection, self.paths.store)
            epoch = int(self._execute("select_commit").fetchone()[0]) + 1
            insert_manager(self._connection, epoch, identity)
        self.epoch = epoch
        return epoch

    def apply(self, change: Change) -> None:
        """Write the change of a person, all of it or nothing; durable when it returns. Noted changes stay noted.

        :raises StoreBlockedError: not now (disk full, I/O error); nothing was changed
        :raises StoreError: nothing was changed: a name or number is taken, or a job does not exist
        """
        if change == Change():
            return
        with self._transaction() as number:
            insert_jobs(self._connection, change.add)
            self._connection.executemany(queries()["insert_cancelled"], ((job.index + 1,) for job in change.cancel))
            write_brought(self._connection, ((one, job) for job in change.brought for one in job.attempts))
            for job in change.withdraw:
                for name in ("delete_brought", "delete_attempts", "delete_job"):
                    self._connection.execute(queries()[name], (job.index + 1,))
                self._connection.execute(queries()["add_count"], (job.state, job.outcome or "", -1))
            if change.jobs:
                cursor = self._connection.executemany(
                    queries()["update_job"], (job_row(job, number) for job in change.jobs))
                self._all_known(cursor.rowcount, len(change.jobs), "job")
            insert_hosts(self._connection, change.hosts)
            if change.state is not None:
                self._execute("update_run_state", {"state": change.state})
            self._write_options(change.options)

    def add_jobs(self, jobs: Sequence[Job]) -> None:
        """Add jobs after all others, all of them or none; durable when it returns.

        :raises StoreError: nothing was changed: it cannot be written, or a name or number is taken
        """
        self.apply(Change(add=jobs))

    def add_hosts(self, hosts: Sequence[Host]) -> None:
        """Add hosts, or replace the description of existing ones; durable when it returns.

        :raises StoreError: nothing was added
        """
        self.apply(Change(hosts=hosts))

    def touch(self, job: Job) -> None:
        """Note that a job changed. Those who follow the run see it with the next commit."""
        self._jobs[job] = None

    def touch_attempt(self, job: Job, attempt: Attempt) -> None:
        """Note that an attempt is new or changed. Followers learn of it only when its job is touched too."""
        self._attempts[attempt] = job

    def touch_setup(self, job: Job, attempt: Attempt, boot: str) -> None:
        """Note that an attempt of a host's setup is new or changed.

        :param boot: boot id of the host to which it was sent
        """
        self._setups[attempt] = job, boot

    def touch_released(self, job: Job, attempt: Attempt) -> None:
        """Note that an attempt was released and has not changed otherwise. Called for every job, so it is cheap."""
        self._released[attempt] = job

    def note_cancelled(self, jobs: Iterable[Job]) -> None:
        """Note that a person has cancelled jobs on hosts; they are touched as well."""
        self._cancelled += jobs

    def forget_cancelled(self, job: Job) -> None:
        """Note that a job that a person has cancelled has ended; it was touched as well."""
        self._no_more_cancelled.append(job)

    def set_host(self, name: str, state: str, reason: str | None = None, *,
                 facts: Mapping[str, Any] | None = None, since: float | None = None) -> None:
        """Note the state of a host.

        :param facts: the facts in its ``welcome``; ``None``: unchanged
        :param since: when the state began, seconds since the epoch
        """
        told = facts_json(facts)
        if told is None and name in self._hosts:
            told = self._hosts[name][3]
        self._hosts[name] = (state, clean_text(reason), since, told)
        self._silences.pop(name, None)

    def set_pulse(self, name: str, pulse: Mapping[str, Any]) -> None:
        """Note the pulse of a host; only the newest is kept."""
        self._pulses[name] = json.dumps(pulse)

    def set_silence(self, name: str, since: float | None) -> None:
        """Note since when a host does not answer although its connection is open; ``None``: it answers again.

        A new state of the host ends the silence, too.
        """
        self._silences[name] = since

    def note_notice(self, notice: Notice) -> None:
        """Note that a notice is new or has changed."""
        self._notices[notice.id] = notice

    def set_run_state(self, state: str) -> None:
        """Note the state of the run.

        :raises StoreError: it is none of :data:`RUN_STATES`
        """
        if state not in RUN_STATES:
            raise StoreError(f"a run cannot be {state!r}", hint=f"use one of {', '.join(RUN_STATES)}")
        self._state = state

    def set_options(self, **options: Any) -> None:
        """Note changed options of the run; those that are not named stay."""
        self._options.update(options)

    def wait_for_locks(self, seconds: float) -> None:
        """Wait so long for a lock that another process holds, from now on, before :class:`StoreBlockedError`."""
        with translated(self.paths.store):
            self._connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def check_place(self) -> None:
        """Make sure that the store is still found where it was opened.

        :raises StoreError: it was moved, removed or replaced; what was committed went with it
        :raises StoreBlockedError: it cannot be looked at for the moment
        """
        try:
            there = _identity(self.paths.store)
        except (FileNotFoundError, NotADirectoryError):
            there = None
        except OSError as error:
            raise StoreBlockedError("the run's directory cannot be looked at", where=str(self.paths.root),
                                    why=error.strerror) from error
        if there != self._place:
            raise StoreError("the run's directory is gone", where=str(self.paths.root),
                             why="it was moved or removed while the run was at work",
                             hint=f"put it back, then: sshjobs resume {self.paths.name}")

    @property
    def dirty(self) -> bool:
        """Whether anything is noted that is not committed."""
        return bool(self._jobs or self._attempts or self._setups or self._released or self._hosts or self._pulses
                    or self._silences or self._notices or self._options or self._state is not None)

    def commit(self, until: float | None = None) -> None:
        """Write all that is noted, in one transaction that is on the disk when this returns.

        :param until: the manager leaves by itself at that time, as for :meth:`close`
        :raises StoreBlockedError: not now (disk full, I/O error); all stays noted
        :raises RunBusyError: another manager took the run; this one must stop
        :raises StoreError: never, for a job that was not added; all stays noted
        """
        if not self.dirty and until is None:
            return
        told: dict[str, str] = {}
        with self._transaction() as number:
            if self._jobs:
                cursor = self._connection.executemany(
                    queries()["update_job"], (job_row(job, number) for job in self._jobs))
                self._all_known(cursor.rowcount, len(self._jobs), "job")
            if self._attempts:
                rows = (attempt_row(job, attempt) for attempt, job in self._attempts.items())
                self._connection.executemany(queries()["write_attempt"], rows)
                told = listings(self._attempts, self._inputs)
                self._write("insert_inputs", told.items())
                write_brought(self._connection, self._attempts.items())
            self._write("write_setup", [setup_row(job, attempt, boot) for attempt, (job, boot) in self._setups.items()])
            self._write("release_attempt", [(job.index + 1, one.n) for one, job in self._released.items()])
            self._write("insert_cancelled", [(job.index + 1,) for job in self._cancelled])
            self._write("delete_cancelled", [(job.index + 1,) for job in self._no_more_cancelled])
            if self._hosts:
                cursor = self._connection.executemany(
                    queries()["update_host"], ((*row, name) for name, row in self._hosts.items()))
                self._all_known(cursor.rowcount, len(self._hosts), "host")
            self._write("update_pulse", [(pulse, name) for name, pulse in self._pulses.items()])
            self._write("update_silence", [(since, name) for name, since in self._silences.items()])
            if self._notices:
                write_notices(self._connection, self._notices.values())
            if self._state is not None:
                self._execute("update_run_state", {"state": self._state})
            self._write_options(self._options)
            if until is not None:
                self._execute("end_manager", {"until": until, "epoch": self.epoch})
        self._left = until is not None
        self._inputs.update(told)
        # Only now: a transaction that failed leaves everything to be written again.
        put_aside(self._attempts, self.paths)
        self._jobs.clear()
        self._attempts.clear()
        self._setups.clear()
        self._released.clear()
        self._cancelled.clear()
        self._no_more_cancelled.clear()
        self._hosts.clear()
        self._pulses.clear()
        self._silences.clear()
        self._notices.clear()
        self._options.clear()
        self._state = None

    def close(self, until: float | None = None) -> None:
        """Close the store. What is noted and not committed is dropped: commit first.

        :param until: the manager leaves by itself at that time, so that the next one need not ask whether it
            lives; ``None`` leaves it recorded as working (what a crash does)
        :raises StoreError: that it left could not be recorded; the store is closed nevertheless
        """
        try:
            if until is not None and self.epoch and not self._left:
                with self._transaction():
                    self._execute("end_manager", {"until": until, "epoch": self.epoch})
        finally:
            self._connection.close()

    def _write_options(self, options: Mapping[str, Any]) -> None:
        if options:
            all_of_them = {**json.loads(self._execute("select_options").fetchone()[0]), **options}
            self._execute("update_options", {"options": json.dumps(all_of_them)})

    def _write(self, name: str, rows: Collection[Sequence[Any]]) -> None:
        """Carry a statement out for each row. Where there is none even to prepare it is left out: of most commits that
        is most of them, and a run has a commit for every few jobs."""
        if rows:
            self._connection.executemany(queries()[name], rows)

    def _execute(self, name: str, parameters: Mapping[str, Any] | None = None) -> sqlite3.Cursor:
        return self._connection.execute(queries()[name], parameters or {})

    @contextmanager
    def _transaction(self, *, fenced: bool = True) -> Iterator[int]:
        """Carry out the body in a transaction of its own and yield its number.

        :param fenced: refuse to write for a manager that is not the newest
        """
        with translated(self.paths.store):
            try:
                self._execute("begin")
                epoch, commits = self._execute("select_commit").fetchone()
                if fenced and epoch != self.epoch:
                    why = f"number {epoch} took it, this is number {self.epoch or 'none'}"
                    raise RunBusyError("this manager does not have the run", where=str(self.paths.root), why=why)
                yield commits + 1
                self._execute("update_commit", {"commits": commits + 1})
                self._execute("commit")
            finally:
                # Whatever went wrong, half a transaction must not wait for the next one. After some errors
                # SQLite has undone it by itself.
                if self._connection.in_transaction:
                    self._execute("roll_back")

    def _all_known(self, written: int, noted: int, what: str) -> None:
        if written != noted:
            raise StoreError(f"a {what} was touched that is not in the store", where=str(self.paths.store),
                             why=f"{written} of {noted} are in it")


def _identity(path: Path) -> tuple[int, int]:
    info = os.stat(path)
    return info.st_dev, info.st_ino


def _publish(aside: Path, path: Path) -> None:
    """Give a finished store its name, durably."""
    try:
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
        sync_directory(path.parent)
    except OSError as error:
        raise StoreError("the store cannot be made", where=str(path), why=error.strerror) from error
