"""RunReader: what any process may ask of a run's store while its manager writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import groupby
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sshjobs.model.after import Awaited, Member
from sshjobs.model.outputs import Brought
from sshjobs.model.selection import Selection
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

#: Jobs that are read at a time, so that a long list holds neither a lock nor memory.
_PAGE = 2_000
#: Names that a suggestion is looked for among: alphabetical neighbours, and the first of all.
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

    On local disks it never holds the writer up. On network file systems, where readers and the writer have to
    take turns, it reads in short pieces.
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
        """Let everything that is read in the body be of one moment, where the disk is a local one."""
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
        """Return where the run stands; takes as long for a million jobs as for ten."""
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

        :param after: only jobs with a higher number; the last one of a page leads to the next page
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
        """Return the jobs that a selection means, by number. It reads every job of the run once."""
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
        """Return names of jobs that somebody who typed another one may have meant, the nearest first."""
        found: dict[str, None] = {}
        for start in (name[:-1], name[: len(name) // 2], name[:1], ""):
            found.update(dict.fromkeys(self.names_from(start, _CANDIDATES)))
        return get_close_matches(name, found, n=n, cutoff=0.6)

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
        """Return which files were brought of the attempts of a range of jobs, by numbers of job and attempt."""
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
        """Yield every job with what its newest attempt came to, by number, a page at a time."""
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
        """Return the jobs of some numbers likewise, in order."""
        return self._index_jobs("select_index_params", (json.dumps(numbers),))

    def _index_jobs(self, query: str, parameters: tuple[Any, ...]) -> list[IndexJob]:
        with damage_told(self.paths.store):
            rows = self._all(query, parameters)
            # By ranges: a run may have as many specs as jobs.
            specs = [row for first, last in ranges(sorted({row[5] for row in rows}))
                     for row in self._all("select_index_entries", (first, last))]
            return index_jobs(rows, specs)

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all jobs, in order. Those that were taken back are missing."""
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
        """Return what a job is to run.

        :raises KeyError: there is no job of that number
        """
        rows = self._all("select_spec_of", (number,))
        if not rows:
            raise KeyError(number)
        with translated(self.paths.store), damage_told(self.paths.store):
            return SpecReader(self._connection).spec(*rows[0])

    def any_memory(self) -> bool:
        """Tell whether any job says how much memory it needs."""
        return bool(self._all("any_memory")[0][0])

    def memory_of(self, first: int, last: int) -> dict[int, int]:
        """Return the bytes of memory that jobs of a range need, by number, as far as they say so."""
        return {number: int(size) for number, size in self._all("select_memory", (first, last))}

    def news(self) -> bool:
        """Tell in microseconds whether anything was committed since the last call (the first says yes)."""
        before = self._data_version
        with translated(self.paths.store):
            (self._data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return before != self._data_version

    def hosts(self) -> list[HostRow]:
        """Return the hosts in the order of the hosts file."""
        with damage_told(self.paths.store):
            return [host_row(row) for row in self._all("select_hosts")]

    def setups(self) -> list[SetupRow]:
        """Return how hosts were prepared, by host, the first attempt first."""
        with damage_told(self.paths.store):
            return list(map(read_setup, self._all("select_setups")))

    def notices(self) -> list[Notice]:
        """Return all that was to be told of the run, oldest first."""
        with damage_told(self.paths.store):
            return list(map(read_notice, self._all("select_notices")))

    def size(self) -> int:
        """Return the bytes of all outputs and files of the run, of jobs that are over."""
        return int(self._all("select_size")[0][0])

    def host_count(self) -> int:
        """Return how many hosts the run has, without those that a person has taken out of it."""
        return int(self._all("count_hosts")[0][0])

    def hosts_in_use(self) -> set[str]:
        """Return the hosts on which something is left of an attempt."""
        return {name for (name,) in self._all("select_hosts_in_use")}

    def load(self, names: Iterable[str]) -> list[Job]:
        """Return jobs by name, in the order of the names, each as it was committed. Names of no job are left out."""
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
        """Tell jobs which files were brought of their attempts."""
        for job in jobs:
            if job.attempts and job.spec.outputs:
                found = self.brought(job.index + 1, job.index + 1)
                for attempt in job.attempts:
                    attempt.brought = found.get((job.index + 1, attempt.n))

    def last_number(self) -> int:
        """Return the number of the last job that the run has or had, 0 where there is none."""
        last = int(self._all("select_last_number")[0][0])
        with damage_told(self.paths.store):
            withdrawn = int(read_object(self._all("select_options")[0][0]).get("last_number", 0))
        # A number is never used again: hosts may remember attempts of a job that was withdrawn.
        return max(last, withdrawn)

    def cancelled(self) -> set[int]:
        """Return the numbers of the jobs that are to be ended because a person has cancelled them."""
        return {number for (number,) in self._all("select_cancelled")}

    def load_unfinished(self) -> list[Job]:
        """Return the jobs that a new manager has to know, by number.

        They are those not at their end, and those with an attempt that is not released. Each is as it was
        committed, attempts included; ``id_`` is the newest attempt's uid.
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
        """Return the jobs that were skipped, by number, each as it was committed."""
        return self.load([name for (name,) in self._all("select_skipped")])

    def entries(self) -> set[str]:
        """Return the names that jobs of this run may be waited for by."""
        with self.snapshot(), damage_told(self.paths.store):
            specs = {id_: entry for id_, entry, _ in self._all("select_entries")}
            return {specs.get(spec) or name for name, spec, *_ in self._all("select_members")}

    def awaited(self, entries: Collection[str]) -> dict[str, Awaited]:
        """Return the entries of these names, with all their jobs. It reads every job of the run once."""
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
        """Yield each job of these entries of which files were brought, with the host that these were made on and their
        bytes; of several attempts the newest last."""
        specs = {id_: entry for id_, entry, _ in self._all("select_entries")}
        for name, spec, host, size in self._all("select_left"):
            if (specs.get(spec) or name) in entries:
                yield name, host, size

    def contradictions(self) -> Iterator[str]:
        """Yield in words what in the store contradicts itself; reads all of it.

        A store that only this package wrote to has none, whatever died while it did. Of each kind at most 100
        jobs are named.
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
        """Carry out a query to its end: a cursor left half read would hold a lock."""
        with translated(self.paths.store):
            return self._connection.execute(queries()[name], parameters).fetchall()
