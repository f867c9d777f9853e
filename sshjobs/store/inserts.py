"""Inserts of a store: hosts, managers, jobs with their attempts, inputs and fetched files."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import Any

from sshjobs.model.attempt import Attempt
from sshjobs.model.host import Host
from sshjobs.model.spec import Job
from sshjobs.store.identity import ManagerIdentity
from sshjobs.store.queries import queries
from sshjobs.store.rows import SpecWriter, attempt_row, host_json, new_job_row


def insert_hosts(connection: sqlite3.Connection, hosts: Iterable[Host]) -> None:
    """Add hosts; the description of an existing one is replaced."""
    connection.executemany(queries()["insert_host"], ((host.name, host_json(host)) for host in hosts))


def insert_manager(connection: sqlite3.Connection, epoch: int, manager: ManagerIdentity) -> None:
    """Record the new manager of the run, and its epoch."""
    connection.execute(queries()["update_epoch"], {"epoch": epoch})
    connection.execute(queries()["insert_manager"], {
        "epoch": epoch, "pid": manager.pid, "start_ticks": manager.start_ticks,
        "boot_id": manager.boot_id, "hostname": manager.hostname, "since": manager.since,
    })


def insert_jobs(connection: sqlite3.Connection, jobs: Iterable[Job]) -> None:
    """Add jobs with their specs and attempts, and count them. The iterable is read once."""
    specs = SpecWriter(connection)
    counts: Counter[tuple[str, str]] = Counter()
    carried: list[Job] = []

    def rows() -> Iterator[tuple[Any, ...]]:
        for job in jobs:
            counts[job.state, job.outcome or ""] += 1
            if job.attempts:
                carried.append(job)
            yield new_job_row(job, specs.number_of(job.spec))

    connection.executemany(queries()["insert_job"], rows())
    _insert_attempts(connection, carried)
    connection.executemany(queries()["add_count"], ((*key, n) for key, n in counts.items()))


def _insert_attempts(connection: sqlite3.Connection, jobs: Iterable[Job]) -> None:
    """Add all attempts of jobs, with their inputs."""
    told = dict[str, str]()
    for job in jobs:
        told.update(listings(job.attempts, told))
        connection.executemany(queries()["write_attempt"], (attempt_row(job, attempt) for attempt in job.attempts))
        write_brought(connection, ((attempt, job) for attempt in job.attempts))
    connection.executemany(queries()["insert_inputs"], told.items())


def write_brought(connection: sqlite3.Connection, attempts: Iterable[tuple[Attempt, Job]]) -> None:
    """Write which files of attempts were fetched."""
    rows = [(job.index + 1, one.n, *one.brought) for one, job in attempts if one.brought is not None]
    if rows:
        connection.executemany(queries()["write_brought"], rows)


def listings(attempts: Iterable[Attempt], known: Container[str]) -> dict[str, str]:
    """Return the listings of attempts' inputs by digest, those that are here and not in the store yet."""
    found: dict[str, str] = {}
    for attempt in attempts:
        inputs = attempt.inputs
        if inputs is not None and inputs.listing is not None and not (
                inputs.digest in known or inputs.digest in found):
            found[inputs.digest] = json.dumps(inputs.listing)
    return found
