"""Jobs, attempts, specs and hosts as rows, and rows as them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, NamedTuple

from sshjobs.errors import printable
from sshjobs.model.attempt import Attempt, Inputs, LeftOut
from sshjobs.model.causes import Cause
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATES, Outcome
from sshjobs.model.template import from_shared
from sshjobs.store.damage import Damage, check_row
from sshjobs.store.queries import queries

#: So many specs are remembered at most: enough for any mix of repeated entries, little memory.
_REMEMBERED_SPECS = 10_000
#: The same of hosts, which pages ask about once a second.
_REMEMBERED_HOSTS = 4_096

_CAUSES = {cause.value: cause for cause in Cause}
#: What a pulse tells of each GPU.
_UNIT = ("uuid", "label", "name", "by")
_EMPTY_BY_DEFAULT = {key: value for key, value in JobSpec(["true"]).shared().items() if not value} | {"cmds": []}


#: What a row of an attempt consists of, and which of it a host has told.
_ATTEMPT, _TOLD_BY_HOST = "iisssSIISFFIIIFIiIISSSSSS", frozenset((9, 10, 11, 12, 13, 14, 15))
#: Longest reason that is shown, in characters; longer ones stand in older stores. No number from a host is so large.
LONGEST_REASON, _NO_NUMBER = 2000, 1 << 63


class JobRow(NamedTuple):
    """Where a job stands, as stored."""

    number: int
    name: str
    state: str
    outcome: str | None
    exit_status: int | None
    signal: int | None
    host: str | None
    reason: str | None
    only_host: str | None
    paused: int | None
    not_before: float | None


class AttemptRow(NamedTuple):
    """An attempt, as stored. Times are seconds since the epoch by the host's clock."""

    job: int
    n: int
    host: str
    token: str
    state: str
    outcome: str | None
    exit_status: int | None
    signal: int | None
    reason: str | None
    started: float | None
    ended: float | None
    pid: int | None
    out_size: int | None
    err_size: int | None
    cpu: float | None
    rss: int | None
    released: int
    out_crc: int | None
    err_crc: int | None
    cause: str | None
    result: str | None
    inputs: str | None
    origin: str | None
    gpus: str | None = None
    left_out: str | None = None


class ResultRow(NamedTuple):
    """A job with what its newest attempt came to. Times are seconds since the epoch by the host's clock.

    :ivar entry: name of the entry that it is of
    :ivar attempts: how often it was launched
    :ivar rss: bytes, the most that was resident
    :ivar result: what it left, a line of JSON
    :ivar origin: the run that this was carried over from
    """

    number: int
    name: str
    entry: str
    params: dict[str, str]
    state: str
    outcome: str | None
    exit_status: int | None
    signal: int | None
    reason: str | None
    host: str | None
    attempts: int
    started: float | None
    ended: float | None
    cpu: float | None
    rss: int | None
    result: str | None
    origin: str | None


class HostRow(NamedTuple):
    """A host, as stored. ``facts`` is what it last told about itself, ``since`` when its state began, ``pulse`` how it
    fares (see :class:`sshjobs.network.contract.Pulse`) with ``at``, when that came, ``silent`` since when it does not
    answer although its connection is there."""

    host: Host
    facts: dict[str, Any] | None
    state: str | None
    reason: str | None
    since: float | None
    pulse: dict[str, Any] | None = None
    silent: float | None = None


def new_job_row(job: Job, spec: int) -> tuple[Any, ...]:
    """Return the parameters of the query ``insert_job``."""
    return (job.index + 1, job.name, spec, job.spec.index, job.only_host, job.state, job.outcome,
            job.exit_status, job.signal, clean_text(job.reason), job.host, job.paused,
            json.dumps(job.spec.values) if job.spec.values else None)


def job_row(job: Job, commit: int) -> tuple[Any, ...]:
    """Return the parameters of the query ``update_job``."""
    return (job.state, job.outcome, job.exit_status, job.signal, clean_text(job.reason), job.host, job.paused,
            job.not_before, commit, job.index + 1)


def attempt_row(job: Job, attempt: Attempt) -> tuple[Any, ...]:
    """Return the parameters of the query ``write_attempt``."""
    return (job.index + 1, attempt.n, attempt.host, attempt.token, attempt.state, attempt.outcome,
            attempt.exit_status, attempt.signal, clean_text(attempt.reason), attempt.started, attempt.ended,
            attempt.pid, attempt.out_size, attempt.err_size, attempt.cpu, attempt.rss, int(attempt.released),
            attempt.out_crc, attempt.err_crc, attempt.cause, attempt.result_json,
            attempt.inputs and attempt.inputs.digest, attempt.origin, " ".join(attempt.gpus) if attempt.gpus else None,
            " ".join(map(str, attempt.left_out)) if attempt.left_out else None)


def host_json(host: Host) -> str:
    """Return a host as JSON."""
    return json.dumps(asdict(host))


def host_row(row: tuple[str, str, str | None, str | None, str | None, float | None, str | None, float | None],
             ) -> HostRow:
    """Return a row of the query ``select_hosts`` as objects."""
    check_row(row, "ssSSSFSF")
    return HostRow(_host(row[1]), None if row[2] is None else dict(_facts(row[2])), *row[3:6],
                   None if row[6] is None else sound_pulse(read_object(row[6])), row[7])


@lru_cache(_REMEMBERED_HOSTS)
def _host(text: str) -> Host:
    return Host.from_dict(read_object(text))


@lru_cache(_REMEMBERED_HOSTS)
def _facts(text: str) -> dict[str, Any]:
    return sound_facts(read_object(text))


def job_row_of(row: Sequence[Any]) -> JobRow:
    """Return a row of a query for jobs, checked."""
    check_row(row, "issSIISSSIF")
    if row[2] not in STATES:
        raise Damage(f"no job can be {repr(row[2])[:40]}")
    if row[7] is not None and len(row[7]) > LONGEST_REASON:
        row = (*row[:7], row[7][:LONGEST_REASON], *row[8:])
    return JobRow._make(row)


def attempt_row_of(row: Sequence[Any]) -> AttemptRow:
    """Return a row of a query for attempts, checked. What a host once said of it and cannot be is not known."""
    try:
        check_row(row, _ATTEMPT)
    except Damage:
        row = [value if n not in _TOLD_BY_HOST or _is_sound(value) else None for n, value in enumerate(row)]
        check_row(row, _ATTEMPT)
    if row[8] is not None and len(row[8]) > LONGEST_REASON:
        row = (*row[:8], row[8][:LONGEST_REASON], *row[9:])
    if row[4] not in STATES:
        raise Damage(f"no attempt can be {repr(row[4])[:40]}")
    if row[-1] is not None:
        read_left_out(row[-1])
    return AttemptRow._make(row)


def result_row_of(row: Sequence[Any], specs: Mapping[int, tuple[str | None, list[str]]]) -> ResultRow:
    """Return a row of the query ``select_results``, checked. What a host once said and cannot be is not known.

    :param specs: the name of the entry and the names of parameters, by the id of a spec
    """
    check_row(row[:11], "isiSsSIISSI")
    entry, names = specs.get(row[2], (None, []))
    values = values_of(row[3], len(names))
    params = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    told = [value if isinstance(value, int | float) and _is_sound(value) else None for value in row[11:15]]
    texts = [value if isinstance(value, str) else None for value in row[15:17]]
    return ResultRow._make((*row[:2], entry or row[1], params, *row[4:10], row[10] or 0, *told, *texts))


def sound_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what a host told about itself without what cannot be: older stores hold it as it was said."""
    sound: dict[str, Any] = {}
    for key, value in facts.items():
        if isinstance(value, str):
            sound[key] = printable(value[:LONGEST_REASON])
        elif isinstance(value, list):
            sound[key] = [printable(one[:LONGEST_REASON]) for one in value[:LONGEST_REASON] if isinstance(one, str)]
        elif isinstance(value, int | float) and _is_sound(value) and value >= (1 if key == "cores" else 0):
            sound[key] = value
    return sound


def sound_pulse(pulse: dict[str, Any]) -> dict[str, Any]:
    """Return how a host fares without values that cannot be, wherever they come from."""
    sound: dict[str, Any] = {key: float(value) if key in ("load", "at") else int(value)
                             for key, value in pulse.items() if _is_amount(value)}
    for key in ("gpus", "gpu_memory"):
        if isinstance(pulse.get(key), list):
            sound[key] = [int(value) if _is_amount(value) else None for value in pulse[key]]
    if isinstance(pulse.get("units"), list):
        units = (unit for unit in pulse["units"] if isinstance(unit, dict) and isinstance(unit.get("uuid"), str))
        sound["units"] = [{key: printable(one[key][:LONGEST_REASON]) for key in _UNIT if isinstance(one.get(key), str)}
                          for one in units]
    if isinstance(pulse.get("jobs"), dict):
        sound["jobs"] = {uid: (float(use[0]), int(use[1])) for uid, use in pulse["jobs"].items()
                         if isinstance(use, list) and len(use) == 2 and all(map(_is_amount, use))}
    return sound


def _is_amount(value: Any) -> bool:
    """Tell whether something is a number, not below zero, that can be counted with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _NO_NUMBER


def _is_sound(value: Any) -> bool:
    """Tell whether a number is one that can be counted with."""
    return not isinstance(value, int | float) or -_NO_NUMBER < value < _NO_NUMBER


def read_object(text: str) -> dict[str, Any]:
    """Return the object that a JSON text of the store describes."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise Damage(f"{repr(text)[:40]} is no JSON object")
    return found


class SpecWriter:
    """Stores specs, each once as far as it remembers; those of repeats are recognised without looking inside.

    It belongs to one transaction: after a rollback what it remembers is not in the store.
    """

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        self._last: tuple[JobSpec | None, int] = (None, 0)
        self._known: dict[str, int] = {}

    def number_of(self, spec: JobSpec) -> int:
        """Return the id of a spec's row, which is made where it is missing."""
        last, number_of_last = self._last
        if last is not None and spec.repeats(last):
            return number_of_last
        text = spec_json(spec)
        number = self._known.get(text)
        if number is None:
            number = int(self._connection.execute(queries()["insert_spec"], (text,)).lastrowid or 0)
            if len(self._known) >= _REMEMBERED_SPECS:
                self._known.clear()
            self._known[text] = number
        self._last = (spec, number)
        return number


class SpecReader:
    """Reads specs, each once as far as it remembers."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        self._known: dict[int, JobSpec] = {}

    def spec(self, number: int, name: str, index: int, params: str | None) -> JobSpec:
        """Return the spec of a row for one job.

        :param params: the values of its parameters, as stored
        """
        base = self._known.get(number)
        if base is None:
            (text,) = self._connection.execute(queries()["select_spec"], (number,)).fetchone()
            if len(self._known) >= _REMEMBERED_SPECS:
                self._known.clear()
            base = self._known[number] = from_shared(read_object(text))
        return base.named(name, index, values_of(params, len(base.param_names)))


def values_of(params: str | None, number: int) -> tuple[str | None, ...]:
    values = [] if params is None else json.loads(params)
    if not (isinstance(values, list) and len(values) == number and all(
            value is None or isinstance(value, str) for value in values)):
        raise Damage(f"these are no values of {number} parameters: {repr(params)[:40]}")
    return tuple(values)


def spec_json(spec: JobSpec) -> str:
    """Return what repeats of a spec share as JSON; what is empty, and is so by default, is left out."""
    return json.dumps({key: value for key, value in spec.shared().items()
                       if value or value != _EMPTY_BY_DEFAULT.get(key, _NO_NUMBER)})


def read_job(row: tuple[Any, ...], specs: SpecReader, attempts: Iterable[AttemptRow]) -> Job:
    """Return a row of the query ``select_unfinished`` with its attempts as a job."""
    check_row(row, "isiiSsSIISSISF")
    (number, name, spec, repeat, only_host, state, outcome, exit_status, signal, reason, host, paused, params,
     not_before) = row
    if state not in STATES:
        raise Damage(f"no job can be {repr(state)[:40]}")
    job = Job(specs.spec(spec, name, repeat, params), number - 1, name)
    job.only_host, job.state, job.outcome = only_host, state, outcome_of(outcome)
    job.exit_status, job.signal, job.reason, job.host = exit_status, signal, reason, host
    job.paused, job.not_before = None if paused is None else bool(paused), not_before
    for attempt in attempts:
        job.attempts.append(read_attempt(attempt))
        job.id_ = job.attempts[-1].uid
    return job


def read_attempt(row: AttemptRow) -> Attempt:
    """Return a stored attempt as the object it was."""
    attempt = Attempt(row.n, f"{row.job}.{row.n}", row.host, row.token)
    attempt.state, attempt.outcome = row.state, outcome_of(row.outcome)
    attempt.exit_status, attempt.signal, attempt.reason = row.exit_status, row.signal, row.reason
    attempt.cause = _cause(row.cause)
    attempt.started, attempt.ended, attempt.pid = row.started, row.ended, row.pid
    attempt.out_size, attempt.err_size = row.out_size, row.err_size
    attempt.cpu, attempt.rss = row.cpu, row.rss
    attempt.released = bool(row.released)
    attempt.out_crc, attempt.err_crc = row.out_crc, row.err_crc
    attempt.result_json = row.result
    attempt.inputs, attempt.origin = None if row.inputs is None else Inputs(row.inputs), row.origin
    attempt.gpus = tuple(row.gpus.split()) if row.gpus else None
    attempt.left_out = left_out_of(row)
    return attempt


def left_out_of(row: AttemptRow) -> LeftOut | None:
    """Return what was left out of the outputs of an attempt; ``None`` where that is nothing."""
    return None if row.left_out is None else read_left_out(row.left_out)


def read_left_out(text: str) -> LeftOut:
    """Return what a store says was left out."""
    numbers = text.split()
    if len(numbers) != len(LeftOut._fields) or not all(one.isdigit() and len(one) < 20 for one in numbers):
        raise Damage(f"nothing can be left out like that: {repr(text)[:40]}")
    return LeftOut(*map(int, numbers))


def facts_json(facts: Mapping[str, Any] | None) -> str | None:
    """Return what a host told about itself as JSON."""
    return None if facts is None else json.dumps(facts)


def clean_text(text: str | None) -> str | None:
    """Return a text without lone surrogates, which SQLite cannot hold (they come from undecodable bytes)."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cause(value: str | None) -> Cause | None:
    # One that a newer sshjobs has written says nothing here; what was said about the end stands beside it.
    return _CAUSES.get(value) if value is not None else None


def outcome_of(value: str | None) -> Outcome | None:
    return None if value is None else Outcome(value)
