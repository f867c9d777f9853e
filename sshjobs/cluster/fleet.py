"""The jobs of an engine cluster: a run that stays open and is managed by a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from sshjobs.errors import SshjobsError, printable
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import FINAL_STATES, STATE_FREE
from sshjobs.running.cancelling import cancel
from sshjobs.running.detach import detach, last_words, prepare
from sshjobs.running.receipts import Receipt, receipt
from sshjobs.running.unattended import carry_out
from sshjobs.store import JobRow, RunReader
from sshjobs.store.rundir import RunPaths

#: How often, in seconds, the run is looked at.
LOOK_S = 0.1
#: For how many seconds a host that cannot be reached is waited for while the cluster comes up.
PATIENCE_S = 15.0
#: How many seconds the manager gets to clean up on the hosts after the last job has ended.
PARTING_S = 60.0


class Fleet:
    """The run of an engine cluster."""

    def __init__(self, paths: RunPaths):
        self.paths = paths

    @classmethod
    def prepare(cls, specs: Sequence[JobSpec], hosts: Sequence[Host], *, results: Path, stem: str,
                options: dict[str, Any]) -> Fleet:
        """Make a run with its first jobs. Nothing is started.

        :param options: from :func:`sshjobs.running.forms.options_of`
        :raises SshjobsError: the run cannot be made
        """
        return cls(prepare(specs, hosts, results=results, stem=stem, options=options))

    def launch(self) -> None:
        """Start the run. It goes on when this process ends.

        :raises SshjobsError: it cannot be started
        """
        detach(self.paths)

    @property
    def attended(self) -> bool:
        """Whether the run has a manager: without one no job is started or restarted."""
        with RunReader.open(self.paths) as reader:
            manager = reader.summary().manager
        return manager is not None and manager.is_alive()

    def add(self, specs: Sequence[JobSpec]) -> None:
        """Add jobs.

        :raises SshjobsError: they cannot be added
        """
        carry_out(self.paths, {"do": "add", "specs": [spec.as_dict() for spec in specs]})

    def remove_hosts(self, names: Sequence[str]) -> None:
        """Remove hosts from the run, so that they are no longer tried."""
        if names:
            carry_out(self.paths, {"do": "hosts-remove", "hosts": list(names)})

    def cancel(self, names: Sequence[str]) -> None:
        """Ask for jobs to be ended. They may still be running when this returns."""
        if names:
            carry_out(self.paths, {"do": "cancel", "jobs": list(names)})

    def jobs(self) -> list[JobRow]:
        """Return all jobs with their present states."""
        with RunReader.open(self.paths) as reader:
            return list(reader.jobs())

    def wait(self, until: Callable[[list[JobRow]], bool], seconds: float) -> bool:
        """Wait until a condition is true for the jobs; tell whether it is.

        :raises SshjobsError: the manager is gone
        """
        deadline = time.monotonic() + seconds
        with RunReader.open(self.paths) as reader:
            while not until(list(reader.jobs())):
                if time.monotonic() >= deadline:
                    return False
                summary = reader.summary()
                if summary.until is not None or summary.manager is None or not summary.manager.is_alive():
                    return until(list(reader.jobs()))
                time.sleep(LOOK_S)
        return True

    def settled(self, names: Collection[str], seconds: float) -> dict[str, str | None]:
        """Wait until jobs have ended or cannot start. Return for each why it did not succeed, ``None`` where it did.

        A job cannot start when its host has been away for :data:`PATIENCE_S` seconds, or cannot be used until a person
        acts.
        """
        fates: dict[str, str | None] = {}

        def look(rows: list[JobRow]) -> bool:
            troubles = self.troubles()
            for row in rows:
                if row.name in names and row.state in FINAL_STATES:
                    fates[row.name] = None if row.outcome == "succeeded" else self.why(row)
                elif row.name in names and row.state == STATE_FREE and (trouble := troubles.get(_host_of(row.name))):
                    fates[row.name] = trouble
            return len(fates) == len(names)

        self.wait(look, seconds)
        troubles = self.troubles()
        return {name: fates[name] if name in fates else troubles.get(_host_of(name), "it does not answer in time")
                for name in names}

    def troubles(self) -> dict[str, str]:
        """Return the hosts that cannot be used, each with the reason."""
        with RunReader.open(self.paths) as reader:
            now = time.time()
            return {row.host.name: _about(row.host.name, row.reason) for row in reader.hosts() if row.reason and (
                row.state == "blocked" or (row.state == "away" and now - (row.since or now) >= PATIENCE_S))}

    def why(self, row: JobRow) -> str:
        """Return in one line why a job ended: the last line that it wrote, or its outcome."""
        said = last_words(self.paths.stderr(row.name))
        if row.outcome == "failed" and said:
            return printable(said)[:500]
        status = f", exit status {row.exit_status}" if row.exit_status is not None else ""
        return _about(_host_of(row.name), row.reason or f"it has {row.outcome}{status}")

    def end(self, again: str) -> Receipt:
        """End all jobs and the run, and ask the hosts what is left over.

        :param again: the command with which the user can try again
        :raises SshjobsError: it could not be ended
        """
        cancel(self.paths, None)
        over = self.wait(lambda rows: all(row.state in FINAL_STATES for row in rows), PARTING_S)
        deadline = time.monotonic() + PARTING_S
        with RunReader.open(self.paths) as reader:
            while (manager := reader.summary().manager) is not None and manager.is_alive() and (
                    reader.summary().until is None and time.monotonic() < deadline):
                time.sleep(LOOK_S)
        if not over:
            left = [row.name for row in self.jobs() if row.state not in FINAL_STATES]
            raise SshjobsError(f"{len(left)} jobs have not ended yet", where=self.paths.name,
                               why=", ".join(left[:5])[:300], hint=f"when their hosts can be reached: {again}")
        return receipt(self.paths)


def _host_of(job: str) -> str:
    return job.partition("@")[2]


def _about(host: str, text: str) -> str:
    """Return what is told of a host without its name, which stands before it anyway."""
    return printable(text.removeprefix(f"{host}: "))
