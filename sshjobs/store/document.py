"""The JSON document of ``sshjobs status --json``, whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sshjobs.store.reader import RunReader
from sshjobs.store.rows import AttemptRow, JobRow, left_out_of

#: Jobs in one piece of the text.
_PIECE = 500


def status(reader: RunReader) -> dict[str, Any]:
    """Return the whole document.

    Keys: ``run``, ``state``, ``counts`` and ``jobs``, each job with its ``attempts``. A job that needs memory has
    ``memory`` in bytes; a delayed job has ``not_before``, by this machine's clock. All other times are seconds since
    the epoch by the host's clock. An attempt that was carried over has ``from``, the name of the run that made it.
    """
    with reader.snapshot():
        document = summary_document(reader)
        document["jobs"] = list(_jobs(reader))
    return document


def summary_document(reader: RunReader) -> dict[str, Any]:
    """Return the document without its jobs."""
    summary = reader.summary()
    untold = sum(one.delivered is None for one in reader.notices())
    return {"run": summary.run, "state": summary.state, "counts": summary.counts,
            **({"untold": untold} if untold else {})}


def iter_status_json(reader: RunReader, only: Iterable[JobRow] | None = None,
                     more: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield the text of the document in pieces, with one job on each line and a newline at the end.

    Takes little memory even for a million jobs.

    :param only: only these jobs
    :param more: keys to add to the document
    """
    with reader.snapshot():
        head = json.dumps({**summary_document(reader), **(more or {})})
        text, separator = [f'{head[:-1]}, "jobs": ['], "\n"
        for n, job in enumerate(_jobs(reader, only), 1):
            text.append(separator + json.dumps(job))
            separator = ",\n"
            if n % _PIECE == 0:
                yield "".join(text)
                text = []
        yield "".join([*text, "]}\n"])


def _jobs(reader: RunReader, only: Iterable[JobRow] | None = None) -> Iterator[dict[str, Any]]:
    needs: dict[int, int] = {}
    any_needs, known = reader.any_memory(), 0
    rows = reader.jobs_with_attempts() if only is None else (
        (row, reader.attempts_of([row.number])[row.number]) for row in sorted(only))
    for row, attempts in rows:
        if any_needs and row.number > known:
            known = row.number + _PIECE
            needs = reader.memory_of(row.number, known)
        job = _job(row, attempts)
        if row.number in needs:
            job["memory"] = needs[row.number]
        if row.not_before is not None:
            job["not_before"] = row.not_before
        yield job


def _job(job: JobRow, attempts: list[AttemptRow]) -> dict[str, Any]:
    return {
        "name": job.name, "state": job.state, "outcome": job.outcome, "exit_status": job.exit_status,
        "signal": job.signal, "host": job.host,
        "attempts": [
            {"n": row.n, "host": row.host, "state": row.state, "outcome": row.outcome,
             "exit_status": row.exit_status, "signal": row.signal, "started": row.started, "ended": row.ended,
             **({} if row.origin is None else {"from": row.origin}),
             **({} if not row.gpus else {"gpus": row.gpus.split()}),
             **({} if (cut := left_out_of(row)) is None else {"left_out": cut._asdict()})}
            for row in attempts
        ],
    }
