"""All that can be said of one job: why each of its attempts ended so, what differs from jobs that passed, what it
waits for.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sshjobs.diagnosis.blame import Common, in_common
from sshjobs.diagnosis.ends import Diagnosis, End, diagnose
from sshjobs.diagnosis.groups import Kind
from sshjobs.diagnosis.setups import FailedSetups, end_of_setup
from sshjobs.diagnosis.signs import MOST_LINES
from sshjobs.diagnosis.waiting import Wait, WaitsFor, wants_index, why_it_waits
from sshjobs.model.attempt import LeftOut
from sshjobs.model.causes import Cause
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, Outcome
from sshjobs.store.failed import FailureReader, outputs_of
from sshjobs.store.index import JobIndex
from sshjobs.store.rows import AttemptRow, JobRow, left_out_of
from sshjobs.store.setups import SetupRow, setup_name
from sshjobs.views.wording import told_lines

#: Attempts of a job that are told of, the newest of them.
MOST_ATTEMPTS = 50


class AttemptTold(NamedTuple):
    """An attempt, or the setup of a host, with why it ended so.

    :ivar what: ``attempt 2``, or ``setup@gpu1``
    :ivar diagnosis: ``None`` where it has not ended, and where it succeeded
    :ivar blamed: the host was found to be at fault, not the job
    :ivar lines: the last that it wrote, not cleaned; ``file``: where they stand
    :ivar left_out: what was left out of its outputs
    """

    what: str
    n: int
    host: str
    state: str
    end: End
    started: float | None
    ended: float | None
    diagnosis: Diagnosis | None
    blamed: bool
    lines: list[str]
    file: Path | None
    left_out: LeftOut | None = None


class JobTold(NamedTuple):
    """What is known of a job.

    :ivar diagnosis: why it ended without success; ``None`` where it did not
    :ivar waits: what it waits for; ``None`` where it does not wait
    :ivar attempts: the newest of them; ``left_out`` is how many there are before these
    :ivar setups: failed setups of the hosts that it may run on, where none of them could be used because of that
    :ivar common: what it has and none of the jobs of its entry that passed has, beside what some of them have
    """

    row: JobRow
    diagnosis: Diagnosis | None
    waits: Wait | None
    attempts: list[AttemptTold]
    left_out: int
    setups: list[AttemptTold]
    common: list[Common]


def told_of(reader: FailureReader, row: JobRow) -> JobTold:
    """Return what is known of a job of the run."""
    rows = reader.attempts_of([row.number])[row.number]
    attempts = [_attempt(reader, row, one, rows[-1].n) for one in rows[-MOST_ATTEMPTS:]]
    spec, waits, setups = reader.spec_of(row.number), None, list[SetupRow]()
    if row.state in (STATE_FREE, STATE_BUSY):
        index = JobIndex()
        if row.state == STATE_FREE and wants_index(spec):
            index.follow(reader)
        waits = why_it_waits(row, spec, reader, index)
    failed = FailedSetups(reader)
    if row.outcome == Outcome.SKIPPED.value or (waits is not None and waits.what is WaitsFor.HOST):
        setups = failed.of(row.number, row.only_host)
    return JobTold(row, _of_job(row, attempts, failed.why(setups)), waits, attempts,
                   max(0, len(rows) - MOST_ATTEMPTS), [told_setup(reader, one) for one in setups],
                   _common(reader, row) if row.state == STATE_ERROR else [])


def _of_job(row: JobRow, attempts: list[AttemptTold], setup: Diagnosis | None) -> Diagnosis | None:
    if row.state != STATE_ERROR:
        return None
    newest = attempts[-1] if attempts else None
    if newest is not None and newest.diagnosis is not None and newest.end.outcome == row.outcome:
        return newest.diagnosis
    return setup or diagnose(End(row.outcome, row.exit_status, row.signal, None, row.reason))


def _attempt(reader: FailureReader, row: JobRow, one: AttemptRow, newest: int) -> AttemptTold:
    files = outputs_of(reader.paths, row.name, one.n, newest)
    lines, file = told_lines(*files, MOST_LINES) if files is not None else ([], None)
    end = End(one.outcome, one.exit_status, one.signal, one.cause, one.reason)
    failed = one.state in FINAL_STATES and one.state != STATE_DONE
    return AttemptTold(f"attempt {one.n}", one.n, one.host, one.state, end, one.started, one.ended,
                       diagnose(end, lines) if failed else None, one.cause == Cause.HOSTS_FAULT.value, lines,
                       file if lines else None, left_out_of(one))


def _common(reader: FailureReader, row: JobRow) -> list[Common]:
    entries = reader.entries_by_spec()
    found = reader.failed_one(row.number)
    if found is None or found.host is None:
        return []
    kind = Kind(diagnose(End(row.outcome, row.exit_status, row.signal, None, row.reason)), "", "", None, None, None)
    entry = entries.get(found.spec)
    kind.add(found, () if entry is None else entry.values(found.params))
    # Of one job nothing is enough to blame: what is told is that nothing passed with it.
    return [one for one in in_common(reader, [kind])[0] if not one.passed_with and one.passed_without]


def told_setup(reader: FailureReader, one: SetupRow) -> AttemptTold:
    """Return what is known of a setup of a host."""
    name, attempt = setup_name(one.host), one.attempt
    lines, file = told_lines(reader.paths.stdout(name), reader.paths.stderr(name), MOST_LINES)
    end = end_of_setup(one)
    return AttemptTold(name, attempt.n, one.host, attempt.state, end, attempt.started, attempt.ended,
                       diagnose(end, lines) if attempt.state == STATE_ERROR else None, False, lines,
                       file if lines else None)
