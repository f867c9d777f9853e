"""Setups of hosts, to rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause, explain
from sshjobs.model.spec import Job
from sshjobs.model.states import STATES
from sshjobs.store.damage import Damage, check_row
from sshjobs.store.rows import JobRow, clean_text, outcome_of


def setup_name(host: str) -> str:
    """Return the name of a host's setup, which is also that of its directory in the run directory."""
    return f"setup@{host}"


class SetupRow(NamedTuple):
    """One attempt of a host's setup.

    :ivar number: the job number under which the host runs it; no job of the run has it
    :ivar boot: boot id of the host to which it was sent
    """

    host: str
    number: int
    boot: str
    attempt: Attempt


def setup_row(job: Job, attempt: Attempt, boot: str) -> tuple[Any, ...]:
    """Return the parameters of the query ``write_setup``."""
    return (attempt.host, attempt.n, job.index + 1, attempt.token, boot, attempt.state, attempt.outcome,
            attempt.exit_status, attempt.signal, clean_text(attempt.reason), attempt.cause, attempt.started,
            attempt.ended)


def read_setup(row: Sequence[Any]) -> SetupRow:
    """Return a row of the query ``select_setups``."""
    check_row(row, "siisssSIISSFF")
    host, n, number, token, boot, state, outcome, exit_status, signal, reason, cause, started, ended = row
    if state not in STATES:
        raise Damage(f"no setup can be {repr(state)[:40]}")
    attempt = Attempt(n, f"{number}.{n}", host, token)
    attempt.state, attempt.outcome = state, outcome_of(outcome)
    attempt.exit_status, attempt.signal = exit_status, signal
    attempt.reason, attempt.cause = reason, None if cause is None else Cause(cause)
    attempt.started, attempt.ended = started, ended
    return SetupRow(host, number, boot, attempt)


def as_job(row: SetupRow) -> JobRow:
    """Return a setup as the row of a job."""
    attempt = row.attempt
    why = explain(attempt.cause, attempt.reason)
    return JobRow(row.number, setup_name(row.host), attempt.state, attempt.outcome and attempt.outcome.value,
                  attempt.exit_status, attempt.signal, row.host, why, None, None, None)
