"""Compares what hosts tell of a run with its store. Changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from sshjobs.audit.findings import Disagreement
from sshjobs.model.states import FINAL_STATES
from sshjobs.network.traces import AttemptTrace, DirectoryTrace, HostTraces, ProcessTrace, host_key
from sshjobs.store import AttemptRow, JobRow
from sshjobs.store.setups import SetupRow
from sshjobs.views.wording import MOST_TOLD

_AGAIN = "look again when the run is over: sshjobs verify {word}"


class HostCheck:
    """Compares the jobs of a run one by one; what is known only after all jobs comes from :meth:`rest`.

    :param traces: what each host told, by its name
    :param attended: a manager works on the run, so an end that it has yet to hear of is no disagreement
    :param over: the run has ended
    :param word: what to type for the run in the commands of the hints
    :ivar kept: how many directories jobs keep on hosts on purpose; known at the end
    :ivar moving: how many attempts host and store will agree about when the manager has heard from the host
    """

    def __init__(self, uid: str, traces: Mapping[str, HostTraces], *, attended: bool, over: bool, word: str):
        self._attended, self._over, self._word = attended, over, word
        self._directories: dict[str, DirectoryTrace] = {
            host: directory for host, told in traces.items() for directory in told.directories
            if directory.run == uid and directory.host == host_key(host)}
        self._there: dict[tuple[str, str], AttemptTrace] = {
            (host, attempt.uid): attempt for host, one in self._directories.items() for attempt in one.attempts}
        self._alive: dict[str, list[tuple[str, ProcessTrace]]] = {}
        for host, told in traces.items():
            for process in told.processes:
                if process.token:
                    self._alive.setdefault(process.token, []).append((host, process))
        self._asked = set(traces)
        #: How many processes were reported for each host.
        self._named = Counter[str]()
        self.moving = self.kept = 0
        #: Jobs with processes of ended attempts. Their specs tell which of them keep these on purpose.
        self.survivors: dict[str, list[Disagreement]] = {}

    def job(self, job: JobRow, attempts: Iterable[AttemptRow]) -> Iterator[Disagreement]:
        """Compare the attempts of a job."""
        for attempt in attempts:
            there = self._there.pop((attempt.host, f"{attempt.job}.{attempt.n}"), None)
            ended = attempt.state in FINAL_STATES
            where = f"{job.name}, attempt {attempt.n}, on {attempt.host}"
            self._processes(job, attempt, ended)
            if ended and there is not None:
                yield from self._both(attempt, there, where)
            elif not ended and attempt.host in self._asked:
                yield from self._busy(attempt, there, where)

    def _both(self, attempt: AttemptRow, there: AttemptTrace, where: str) -> Iterator[Disagreement]:
        if there.state == "running":
            yield Disagreement(where, "has not ended there", f"the store says that it has: {attempt.outcome}",
                               self._gc())
        elif attempt.exit_status is not None and there.status is not None and attempt.exit_status != there.status:
            yield Disagreement(where, f"ended with status {there.status} there", f"the store says "
                               f"{attempt.exit_status}", "believe the host, and bring run.db back from a copy")
        elif attempt.released:
            if self._attended:
                self.moving += 1
            elif not self._over:
                yield Disagreement(where, "is kept there", "the store says that it was released",
                                   f"to go on with the run: sshjobs resume {self._word}")

    def _busy(self, attempt: AttemptRow, there: AttemptTrace | None, where: str) -> Iterator[Disagreement]:
        directory = self._directories.get(attempt.host)
        served = directory is not None and directory.agent
        if there is not None and there.state == "running":
            return
        if self._attended:
            self.moving += 1
        elif there is not None:
            yield Disagreement(where, "has ended there", f"the store says {attempt.state}",
                               f"collect it: sshjobs resume {self._word}")
        elif not served:
            yield Disagreement(where, "is not there", f"the store says {attempt.state}",
                               f"have that settled: sshjobs resume {self._word}")

    def _processes(self, job: JobRow, attempt: AttemptRow, ended: bool) -> None:
        for host, process in self._alive.pop(attempt.token, ()):
            where = f"{job.name}, attempt {attempt.n}, on {host}"
            if host != attempt.host:
                why = f"the store says that it was launched on {attempt.host}"
                found = Disagreement(where, f"process {process.pid} lives there", why, "look who started it there")
            elif ended:
                why = f"the store says that it has ended: {attempt.outcome}"
                found = Disagreement(where, f"process {process.pid} still lives", why, self._gc())
            else:
                continue
            self._named[host] += 1
            if self._named[host] > MOST_TOLD:
                continue
            self.survivors.setdefault(job.name, []).append(found)

    def setups(self, rows: Iterable[SetupRow]) -> None:
        """Allow the setups of hosts: hosts may still have traces of them."""
        for row in rows:
            self._there.pop((row.host, row.attempt.uid), None)

    def rest(self) -> Iterator[Disagreement]:
        """Yield what hosts have of the run that the store knows nothing about."""
        named = Counter[str]()
        for host, uid in self._there:
            named[host] += 1
            if named[host] > MOST_TOLD:
                continue
            yield Disagreement(f"attempt {uid} on {host}", "is there", "the store knows no such attempt",
                               "bring run.db back from a copy, or look at what it wrote in "
                               f"{self._directories[host].base}/o")
        for what, counted in (("attempts are", named), ("processes live", self._named)):
            for host, number in counted.items():
                if number > MOST_TOLD:
                    yield Disagreement(host, f"{number - MOST_TOLD:,} more {what} there", "only the first are named",
                                       self._gc())
        self.kept = sum(len(directory.kept) for directory in self._directories.values())
        if self._over and not self._attended:
            for host, directory in self._directories.items():
                if directory.kept and not directory.left:
                    continue
                yield Disagreement(host, f"{directory.left:,} files of the run are in {directory.base}",
                                   "the run is over", self._gc())

    def _gc(self) -> str:
        return _AGAIN.format(word=self._word) if self._attended else f"remove it: sshjobs gc {self._word}"
