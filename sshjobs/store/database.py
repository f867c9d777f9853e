"""Connections to a run's database: opens, checks and migrates it, and translates its errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sshjobs.errors import StoreError
from sshjobs.store import queries
from sshjobs.store.disk import network_file_system

#: The application id ("sshj") of our SQLite files, so that no other program's file is touched.
APPLICATION_ID = 0x7373686A
#: The oldest SQLite that has everything that the queries use (UPSERT).
OLDEST_SQLITE = (3, 24, 0)
#: How long to wait for a lock that another process holds, in seconds.
LOCK_TIMEOUT = 10.0

#: SQLite's messages for errors where trying again later can help. (Python has no error codes before 3.11.)
_PASSING = ("database or disk is full", "disk I/O error", "locked", "attempt to write a readonly database",
            "unable to open database file")
_BROKEN = ("file is not a database", "malformed")
_TAKEN = {"jobs.name": "two jobs have one name", "jobs.number": "two jobs have one number"}


class StoreBlockedError(StoreError):
    """Nothing could be written for the moment: no room, an I/O error, a lock.

    The store is unchanged, and the changes are kept: the same call may be repeated later.
    """

    passing = True


class StoreLockedError(StoreBlockedError):
    """Another process writes, or reads on a disk where readers block the writer. That passes in moments."""


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return our error for one of SQLite's."""
    text = str(error)
    if any(word in text for word in _BROKEN):
        return StoreError("the store is damaged or is none", where=str(path), why=text,
                          hint="bring it back from a copy; the outputs under jobs/ are unharmed")
    if any(word in text for word in _PASSING):
        if "locked" in text:
            return StoreLockedError("the store is in use by another process", where=str(path), why=text)
        hint = "make room" if "full" in text else "see whether the disk works and can be written to"
        return StoreBlockedError("the store cannot be used at present", where=str(path), why=text, hint=hint)
    taken = _TAKEN.get(text.removeprefix("UNIQUE constraint failed: "))
    return StoreError(taken or "the store cannot be used", where=str(path), why=text)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    :raises StoreError: with the cause; :class:`StoreBlockedError` if it may pass
    """
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    except UnicodeEncodeError as error:
        raise StoreError(f"the text {error.object!r} cannot be stored", where=str(path), why="it is not Unicode",
                         hint="rename the job or host") from error


def connect_writer(path: Path, *, network_disk: bool | None = None) -> sqlite3.Connection:
    """Open a store that exists, for writing, in the journal mode that fits its disk. It may be of an older version.

    :param network_disk: whether the path is on a network file system; ``None`` finds out
    :raises StoreError: it is not there, is no store, is damaged, or a newer sshjobs made it
    """
    _check_library()
    if not path.is_file():
        raise StoreError("there is no store", where=str(path))
    with translated(path):
        connection = _connect(f"{_uri(path)}?mode=rw")
        try:
            check_identity(connection, path)
            set_journal(connection, path, network_disk)
            # Off by default, and it cannot be set within a transaction.
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a store for reading only. A store of an older version is migrated as a copy in memory.

    :raises StoreError: as for :func:`connect_writer`
    """
    _check_library()
    if not path.is_file():
        raise StoreError("there is no store", where=str(path))
    with translated(path):
        connection = _open_for_reading(path)
        try:
            version = check_identity(connection, path)
            if version < queries.newest_version():
                copy = _connect(":memory:")
                connection.backup(copy)
                connection.close()
                connection = copy
                connection.execute("BEGIN")
                migrate(connection, path)
                connection.execute("COMMIT")
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection


def create_database(path: Path) -> sqlite3.Connection:
    """Open a new, empty store to be filled. It is neither crash-safe nor durable yet.

    :raises StoreError: it cannot be made
    """
    _check_library()
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError("the store cannot be made", where=str(path), why=error.strerror) from error
    with translated(path):
        connection = _connect(f"{_uri(path)}?mode=rw")
        try:
            # If it crashes while it is filled, nobody looks at the file, so nothing need be undone.
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {queries.newest_version()}")
            # In one transaction: each statement by itself would write the file's header again.
            connection.executescript(f"BEGIN; {queries.schema()} COMMIT;")
        except BaseException:
            connection.close()
            path.unlink(missing_ok=True)
            raise
        return connection


def set_journal(connection: sqlite3.Connection, path: Path, network_disk: bool | None) -> None:
    """Make commits durable, and keep readers from blocking the writer where the disk allows it.

    WAL on local disks, where all processes can share memory; a rollback journal on network file systems.
    """
    if network_disk is None:
        network_disk = network_file_system(path) is not None
    if network_disk:
        # Exclusive during the change: a store in WAL mode is then opened without shared memory.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA locking_mode = NORMAL")
        connection.execute("SELECT count(*) FROM run").fetchone()
    else:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # For macOS, where fsync alone leaves data in the drive's cache.
    connection.execute("PRAGMA fullfsync = ON")


def check_identity(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a store's schema.

    :raises StoreError: it is no store of ours, or too new
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID or version < 1:
        raise StoreError("this is not a store of sshjobs", where=str(path),
                         hint="bring run.db back from a copy; the outputs under jobs/ are unharmed")
    if version > queries.newest_version():
        raise StoreError("a newer sshjobs made this store", where=str(path),
                         why=f"its version is {version}, this sshjobs knows {queries.newest_version()}",
                         hint="use that sshjobs, or a newer one")
    return int(version)


def migrate(connection: sqlite3.Connection, path: Path, steps: Mapping[int, str] | None = None) -> None:
    """Migrate a store of an older version to the newest, within the open transaction. Steps may lack numbers."""
    steps = queries.migrations() if steps is None else steps
    version = check_identity(connection, path)
    for number in sorted(number for number in steps if number > version):
        for statement in _statements(steps[number]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """Split a script; ``executescript`` would commit the transaction that it runs in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _connect(address: str) -> sqlite3.Connection:
    """Open a connection that trusts nothing in the file and begins no transaction by itself."""
    connection = sqlite3.connect(address, uri=True, timeout=LOCK_TIMEOUT, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    defensive = getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE", None)
    if defensive is not None and hasattr(connection, "setconfig"):  # Python >= 3.12
        connection.setconfig(defensive, True)
    return connection


def _open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a store for reading. Nothing is written, except to roll back an unfinished commit of a killed writer."""
    log, journal = (path.with_name(path.name + suffix) for suffix in ("-wal", "-journal"))
    mine = os.stat(path).st_uid == os.geteuid()
    if not mine and not log.exists() and not journal.exists():
        # As root, SQLite would make files in another user's run; not with immutable.
        return _connect(f"{_uri(path)}?immutable=1")
    connection = _connect(f"{_uri(path)}?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if log.exists():
            raise
        if not journal.exists():
            # In a read-only directory no shared memory can be made. Nobody writes there, so none is needed.
            return _connect(f"{_uri(path)}?immutable=1")
        mode = "truncate"
    if mode != "wal" and os.access(path, os.W_OK) and mine:
        # The next process that opens the file rolls back what a killed writer left: maybe we, now or later.
        connection.close()
        connection = _connect(f"{_uri(path)}?mode=rw")
    return connection


def _uri(path: Path) -> str:
    return f"file:{quote(os.fsencode(path.absolute()))}"


def _check_library() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError("SQLite is too old", why=f"this Python comes with {sqlite3.sqlite_version}",
                         hint=f"use a Python with SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer")
