"""RunReader: reads a run's store, from any process, while its manager writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sshjobs.model.after import Awaited, Member
from sshjobs.model.outputs import Brought
from sshjobs.model.selection import Selection
from sshjobs.model.similar import similar
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import (
    FINAL_STATES,
    STATE_DONE,
    STATE_ERROR,
    STATES,
)
from sshjobs.model.telling import Notice
from sshjobs.store.damage import check_row, damage_told
from sshjobs.store.database import connect_reader, translated
from sshjobs.store.identity import ManagerIdentity
from sshjobs.store.indexrows import IndexAttempt, IndexJob, index_jobs
from sshjobs.store.notices import read_notice
from sshjobs.store.paging import no_collections, pages, ranges
from sshjobs.store.queries import queries
from sshjobs.store.rows import (
    AttemptRow,
    HostRow,
    JobRow,
    ResultRow,
    SpecReader,
    attempt_row_of,
    host_row,
    job_row_of,
    outcome_of,
    read_job,
    read_object,
    result_row_of,
    values_of,
)
from sshjobs.store.rundir import RunPaths
from sshjobs.store.setups import SetupRow, read_setup
from sshjobs.store.summary import Summary, shown_state

if TYPE_CHECKING:
    from typing_extensions import Self

#: So many jobs are read at a time, so that a long list holds no lock and takes little memory.
_PAGE = 2_000
#: Suggestions come from so many names: alphabetical neighbours, and the first ones of the run.
_CANDIDATES = 1_000
_CHECKS = {
    "check_outcomes": "its outcome does not fit its state",
    "check_busy": "it should be on a host, but none of its attempts is",
    "check_idle": "one of its attempts is on a host, but it should not be",
    "check_doubled": "two of its attempts are on a host at once",
    "check_gaps": "an attempt is missing",
}


class RunReader:
    """The store of one run, open for reading. It sees whole commits only, and belongs to one thread.

    On local disks it never blocks the writer. On network file systems, where readers and the writer block each other,
    it reads in short pieces.
    """

    def __init__(self, connection: sqlite3.Connection, paths: RunPaths,
                 is_alive: Callable[[ManagerIdentity], bool]):
        self._connection, self.paths, self._is_alive = connection, paths, is_alive
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        self._snapshots = mode == "wal"
        self._data_version = -1

    @classmethod
    def open(cls, paths: RunPaths, *,
             is_alive: Callable[[ManagerIdentity], bool] = ManagerIdentity.is_alive) -> Self:
        """Open the store of a run.

        :param is_alive: whether the recorded manager may still be there
        :raises StoreError: it is missing, damaged, or a newer sshjobs made it
        """
        with damage_told(paths.store):
            connection = connect_reader(paths.store)
        with translated(paths.store):
            return cls(connection, paths, is_alive)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that the body reads be from one moment, if the disk is local."""
        if not self._snapshots or self._connection.in_transaction:
            yield
            return
        with translated(self.paths.store):
            self._connection.execute(queries()["begin_snapshot"])
        try:
            yield
        finally:
            with translated(self.paths.store):
                self._connection.execute(queries()["commit"])

    def summary(self) -> Summary:
        """Return a summary of the run; takes as long for a million jobs as for ten."""
        with damage_told(self.paths.store):
            return self._summary()

    def _summary(self) -> Summary:
        with self.snapshot():
            run = self._all("select_run")[0]
            rows = self._all("select_counts")
            managers = self._all("select_manager")
        check_row(run, "ssfissi")
        uid, name, created, epoch, stored, options, commit = run
        for row in rows:
            check_row(row, "sSi")
        for row in managers:
            check_row(row, "iissfF")
        counts = dict.fromkeys(STATES, 0)
        outcomes: dict[str, int] = {}
        for state, outcome, n in rows:
            counts[state] += n
            if outcome and n and state in (STATE_DONE, STATE_ERROR):
                outcomes[outcome] = outcomes.get(outcome, 0) + n
        manager = ManagerIdentity(*managers[0][:5]) if managers else None
        until = managers[0][5] if managers else None
        attended = manager is not None and until is None and self._is_alive(manager)
        chosen = read_object(options)
        state = shown_state(stored, counts, attended, stays_open=bool(chosen.get("stays_open")))
        return Summary(name, uid, created, state, stored, counts, outcomes, epoch, manager, until, chosen, commit)

    def jobs(self, states: Iterable[str] = STATES, *, after: int = 0,
             limit: int | None = None) -> Iterator[JobRow]:
        """Yield the jobs in some states by number, a page at a time.

        :param after: only jobs with a higher number: for the next page, that of the last job of this one
        :param limit: at most so many
        """
        wanted = list(states)
        if not wanted:
            return
        wanted += wanted[:1] * (len(STATES) - len(wanted))
        while limit is None or limit > 0:
            size = _PAGE if limit is None else min(_PAGE, limit)
            rows = self._job_rows("select_jobs", (after, *wanted, size))
            yield from rows
            if len(rows) < size:
                return
            after = rows[-1].number
            limit = None if limit is None else limit - size

    def job(self, name: str) -> JobRow | None:
        """Return the job of that name."""
        rows = self._job_rows("select_job", (name,))
        return rows[0] if rows else None

    def parameters(self) -> dict[str, list[str]]:
        """Return the names of the parameters of each entry that has any."""
        with damage_told(self.paths.store):
            return {entry: json.loads(names) for _, entry, names in self._all("select_entries") if entry and names}

    def selected(self, selection: Selection) -> list[JobRow]:
        """Return the jobs of a selection, by number. Reads every job of the run once."""
        found = []
        with self.snapshot(), damage_told(self.paths.store):
            specs = {id_: (entry, json.loads(names)) for id_, entry, names in self._all("select_entries") if names}
            for name, spec, params, *_ in self._all("select_members"):
                entry, names = specs.get(spec, (None, []))
                if params is not None and (entry or name) == selection.entry:
                    values = values_of(params, len(names))
                    if selection.selects({key: value for key, value in zip(names, values, strict=True)
                                          if value is not None}):
                        found.append(name)
            return [row for name in found if (row := self.job(name)) is not None]

    def names_from(self, start: str, n: int) -> list[str]:
        """Return the next names of jobs in their order, beginning at a text."""
        return [row[0] for row in self._all("select_names_from", (start, n))]

    def near_names(self, name: str, n: int = 3) -> list[str]:
        """Return names of jobs that are similar to a mistyped one, the most similar first."""
        found: dict[str, None] = {}
        for start in (name[:-1], name[: len(name) // 2], name[:1], ""):
            found.update(dict.fromkeys(self.names_from(start, _CANDIDATES)))
        return similar(name, found, n)

    def attempts_of(self, numbers: Iterable[int]) -> dict[int, list[AttemptRow]]:
        """Return the attempts of some jobs, by number of the job; a job without any has an empty list."""
        return {
            number: self._attempt_rows(number, number)
            for number in numbers
        }

    def jobs_with_attempts(self, states: Iterable[str] = STATES) -> Iterator[tuple[JobRow, list[AttemptRow]]]:
        """Yield the jobs in some states by number, each with its attempts."""
        for page in pages(self.jobs(states), _PAGE):
            rows = self._attempt_rows(page[0].number, page[-1].number)
            attempts = {number: list(group) for number, group in groupby(rows, attrgetter("job"))}
            for job in page:
                yield job, attempts.get(job.number, [])

    def brought(self, first: int, last: int) -> dict[tuple[int, int], Brought]:
        """Return the fetched files of the attempts of a range of jobs, by numbers of job and attempt."""
        with damage_told(self.paths.store):
            rows = self._all("select_brought", (first, last))
            for row in rows:
                check_row(row, "iiiis")
            return {(job, n): Brought(*rest) for job, n, *rest in rows}

    def changed_since(self, commit: int) -> tuple[int, list[JobRow]]:
        """Return the number of the newest commit, and the jobs that changed after an earlier one.

        The oldest change comes first. A follower begins with ``summary().commit`` and goes on with the number
        that this returned.
        """
        with self.snapshot(), damage_told(self.paths.store):
            newest = int(self._all("select_commit")[0][1])
            if newest == commit:
                return newest, []
            return newest, [job_row_of(row[:-1]) for row in self._all("select_changed", (commit, newest))]

    def newest_commit(self) -> int:
        """Return the number of the newest commit."""
        return int(self._all("select_commit")[0][1])

    def job_results(self) -> Iterator[ResultRow]:
        """Yield every job with the result of its newest attempt, by number, a page at a time."""
        with damage_told(self.paths.store):
            specs = {id_: (entry, json.loads(names or "[]")) for id_, entry, names in self._all("select_spec_names")}
        after = 0
        while True:
            with damage_told(self.paths.store):
                page = [result_row_of(row, specs) for row in self._all("select_results", (after, _PAGE))]
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].number

    def index_page(self, after: int, limit: int) -> list[IndexJob]:
        """Return the jobs that follow a number, as an index holds them."""
        return self._index_jobs("select_index", (after, limit))

    def index_jobs(self, numbers: Sequence[int]) -> list[IndexJob]:
        """Return the jobs with these numbers as an index holds them, in order."""
        return self._index_jobs("select_index_params", (json.dumps(numbers),))

    def _index_jobs(self, query: str, parameters: tuple[Any, ...]) -> list[IndexJob]:
        with damage_told(self.paths.store):
            rows = self._all(query, parameters)
            # By ranges: a run may have as many specs as jobs.
            specs = [row for first, last in ranges(sorted({row[5] for row in rows}))
                     for row in self._all("select_index_entries", (first, last))]
            return index_jobs(rows, specs)

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all jobs, in order, without withdrawn ones."""
        with translated(self.paths.store):
            yield from (number for (number,) in self._connection.execute(queries()["select_numbers"]))

    def numbers_by_name(self) -> Iterator[int]:
        """Yield the numbers of all jobs in the order of their names, by code point."""
        with translated(self.paths.store):
            yield from (number for (number,) in self._connection.execute(queries()["select_numbers_by_name"]))

    def index_attempts(self, first: int, last: int) -> list[IndexAttempt]:
        """Return the attempts of a range of jobs, in order, as an index holds them."""
        return [IndexAttempt._make(row) for row in self._all("select_index_attempts", (first, last))]

    def job_numbered(self, number: int) -> JobRow | None:
        """Return the job of that number."""
        rows = self._all("select_full_row", (number,))
        return JobRow._make(rows[0]) if rows else None

    def spec_of(self, number: int) -> JobSpec:
        """Return the spec of a job.

        :raises KeyError: there is no job of that number
        """
        rows = self._all("select_spec_of", (number,))
        if not rows:
            raise KeyError(number)
        with translated(self.paths.store), damage_told(self.paths.store):
            return SpecReader(self._connection).spec(*rows[0])

    def any_memory(self) -> bool:
        """Return whether any job says how much memory it needs."""
        return bool(self._all("any_memory")[0][0])

    def memory_of(self, first: int, last: int) -> dict[int, int]:
        """Return the bytes of memory that jobs of a range need, by number, for those that say so."""
        return {number: int(size) for number, size in self._all("select_memory", (first, last))}

    def news(self) -> bool:
        """Return whether anything was committed since the last call (True the first time). Takes microseconds."""
        before = self._data_version
        with translated(self.paths.store):
            (self._data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return before != self._data_version

    def hosts(self) -> list[HostRow]:
        """Return the hosts in the order of the hosts file."""
        with damage_told(self.paths.store):
            return [host_row(row) for row in self._all("select_hosts")]

    def setups(self) -> list[SetupRow]:
        """Return the setups of hosts, by host, the first attempt first."""
        with damage_told(self.paths.store):
            return list(map(read_setup, self._all("select_setups")))

    def notices(self) -> list[Notice]:
        """Return all notices of the run, oldest first."""
        with damage_told(self.paths.store):
            return list(map(read_notice, self._all("select_notices")))

    def size(self) -> int:
        """Return the bytes of all outputs and fetched files of ended jobs."""
        return int(self._all("select_size")[0][0])

    def host_count(self) -> int:
        """Return how many hosts the run has, without removed ones."""
        return int(self._all("count_hosts")[0][0])

    def hosts_in_use(self) -> set[str]:
        """Return the hosts with attempts that are not released."""
        return {name for (name,) in self._all("select_hosts_in_use")}

    def load(self, names: Iterable[str]) -> list[Job]:
        """Return the committed jobs with these names, in the order of the names. Unknown names are left out."""
        jobs = []
        with self.snapshot(), translated(self.paths.store), damage_told(self.paths.store):
            specs = SpecReader(self._connection)
            for name in names:
                row = self._connection.execute(queries()["select_full_job"], (name,)).fetchone()
                if row is not None:
                    jobs.append(read_job(row, specs, self._attempt_rows(row[0], row[0])))
            self._note_brought(jobs)
        return jobs

    def _note_brought(self, jobs: Iterable[Job]) -> None:
        """Set the fetched files of jobs' attempts."""
        for job in jobs:
            if job.attempts and job.spec.outputs:
                found = self.brought(job.index + 1, job.index + 1)
                for attempt in job.attempts:
                    attempt.brought = found.get((job.index + 1, attempt.n))

    def last_number(self) -> int:
        """Return the highest number of a job, including withdrawn ones; 0 if there is none."""
        last = int(self._all("select_last_number")[0][0])
        with damage_told(self.paths.store):
            withdrawn = int(read_object(self._all("select_options")[0][0]).get("last_number", 0))
        # A number is never used again: hosts may remember attempts of a withdrawn job.
        return max(last, withdrawn)

    def cancelled(self) -> set[int]:
        """Return the numbers of jobs that a person has cancelled and that have not ended yet."""
        return {number for (number,) in self._all("select_cancelled")}

    def load_unfinished(self) -> list[Job]:
        """Return the jobs that a new manager has to know, by number.

        They are the unfinished ones, and those with an attempt that is not released, as they were committed with all
        attempts. ``id_`` is the newest attempt's uid.
        """
        with self.snapshot(), translated(self.paths.store), damage_told(self.paths.store), no_collections():
            attempts = self._connection.execute(queries()["select_unfinished_attempts"])
            groups = groupby(map(attempt_row_of, attempts), attrgetter("job"))
            number, group = next(groups, (0, iter(())))
            specs, jobs = SpecReader(self._connection), []
            for row in self._connection.execute(queries()["select_unfinished"]):
                if row[0] == number:
                    jobs.append(read_job(row, specs, group))
                    number, group = next(groups, (0, iter(())))
                else:
                    jobs.append(read_job(row, specs, ()))
            self._note_brought(jobs)
        return jobs

    def load_skipped(self) -> list[Job]:
        """Return the skipped jobs, by number, as they were committed."""
        return self.load([name for (name,) in self._all("select_skipped")])

    def entries(self) -> set[str]:
        """Return the names of all entries, for which jobs may wait."""
        with self.snapshot(), damage_told(self.paths.store):
            specs = {id_: entry for id_, entry, _ in self._all("select_entries")}
            return {specs.get(spec) or name for name, spec, *_ in self._all("select_members")}

    def awaited(self, entries: Collection[str]) -> dict[str, Awaited]:
        """Return the entries of these names with all their jobs. Reads every job of the run once."""
        found: dict[str, tuple[list[str], list[Member]]] = {}
        with self.snapshot(), damage_told(self.paths.store):
            specs = {id_: (entry, json.loads(names or "[]")) for id_, entry, names in self._all("select_entries")}
            for name, spec, params, state, outcome in self._all("select_members"):
                entry, names = specs.get(spec, (None, []))
                if (entry := entry or name) in entries:
                    values = values_of(params, len(names))
                    found.setdefault(entry, (names, []))[1].append(Member(
                        name, {key: value for key, value in zip(names, values, strict=True) if value is not None},
                        outcome_of(outcome) if state in FINAL_STATES else None))
        return {entry: Awaited(names, members) for entry, (names, members) in found.items()}

    def left_on(self, entries: Collection[str]) -> Iterator[tuple[str, str, int]]:
        """Yield each job of these entries with fetched files, with the host where they were made and their bytes; the
        newest attempt of a job comes last."""
        specs = {id_: entry for id_, entry, _ in self._all("select_entries")}
        for name, spec, host, size in self._all("select_left"):
            if (specs.get(spec) or name) in entries:
                yield name, host, size

    def contradictions(self) -> Iterator[str]:
        """Yield contradictions within the store, in words. Reads all of it.

        A store that only this package wrote to has none, whatever was killed meanwhile. At most 100 jobs are named for
        each kind.
        """
        yield from (f"the file is damaged: {text}" for (text,) in self._all("check_file") if text != "ok")
        with self.snapshot():
            counted = {row[:2]: row[2] for row in self._all("select_counts") if row[2]}
            found = {row[:2]: row[2] for row in self._all("recount")}
            if counted != found:
                yield f"the counts are wrong: they say {counted}, there are {found}"
            for query, what in _CHECKS.items():
                yield from (f"job {name}: {what}" for (name,) in self._all(query))

    def _job_rows(self, name: str, parameters: tuple[Any, ...]) -> list[JobRow]:
        with damage_told(self.paths.store):
            return list(map(job_row_of, self._all(name, parameters)))

    def _attempt_rows(self, first: int, last: int) -> list[AttemptRow]:
        with damage_told(self.paths.store):
            return list(map(attempt_row_of, self._all("select_attempts", (first, last))))

    def _all(self, name: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """Run a query to its end: a half-read cursor would hold a lock."""
        with translated(self.paths.store):
            return self._connection.execute(queries()[name], parameters).fetchall()


def summary_of(paths: RunPaths) -> Summary:
    """Return where a run stands."""
    with RunReader.open(paths) as reader:
        return reader.summary()
