"""Hosts, a run on them, and its managers: each a process of its own that may be killed at any moment."""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sshjobs import cli

# What a manager imports is imported once, before it is forked: a thousand of them start in a tenth of the time.
from sshjobs.cli import carry as _carry  # noqa: F401
from sshjobs.cli import resume as _resume  # noqa: F401
from sshjobs.cli import run as _run  # noqa: F401
from sshjobs.network import failpoints
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views import lines as _lines  # noqa: F401
from tests.faults import ledger
from tests.lab import BaseLab, LabHost
from tests.lab.process import Process, is_alive, start_time

_PDEATHSIG = 1
_RUNS = itertools.count(1)
#: Seconds that a run may take to its end once nothing is done to it any more.
PATIENCE = 240.0


class Manager:
    """A manager in a process of its own, as ``sshjobs run`` and ``sshjobs resume`` make it.

    :param words: the command line after ``sshjobs``
    :param armed: failpoints, as in SSHJOBS_FAILPOINTS
    """

    def __init__(self, words: Sequence[str | Path], directory: Path, armed: str = ""):
        self.log = directory / "manager.log"
        self._status: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._be(list(map(str, words)), directory, armed)

    def _be(self, words: list[str], directory: Path, armed: str) -> None:
        code = 70
        try:
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
            os.setsid()
            os.chdir(directory)
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            null = os.open(os.devnull, os.O_RDONLY)
            for target, descriptor in enumerate((null, log, log)):
                os.dup2(descriptor, target)
            sys.stdout = open(1, "w", buffering=1, closefd=False)
            sys.stderr = open(2, "w", buffering=1, closefd=False)
            failpoints.arm(armed)
            code = cli.main(words)
        except BaseException:  # noqa: BLE001 (the last word of this process)
            traceback.print_exc()
        finally:
            os._exit(code)

    def ended(self, within: float = 0.0) -> bool:
        """Wait so many seconds for its end; tell whether it has come."""
        deadline = time.monotonic() + within
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= deadline:
                return False
            else:
                time.sleep(0.005)
        return True

    @property
    def code(self) -> int:
        """Its exit code, or the number of the signal that ended it, negative."""
        assert self._status is not None
        return self._status

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.ended(30.0)

    def signal(self, number: int) -> None:
        if self._status is None:
            os.kill(self.pid, number)

    def resident(self) -> int:
        """Bytes of memory that it has resident, 0 when it is gone."""
        try:
            with open(f"/proc/{self.pid}/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def said(self) -> str:
        """The end of what all managers of this directory said."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


class Scene:
    """A lab, a directory and a seed. Makes runs one after the other.

    :param slots: jobs at a time on each host
    :param patience: seconds that a run gets to come to its end
    """

    def __init__(self, lab: BaseLab, directory: Path, seed: int, *, slots: int = 8, patience: float = PATIENCE):
        self.patience = patience
        self.lab, self.directory, self.seed, self.slots = lab, directory, seed, slots
        self.rng = random.Random(seed)
        self.user: str | None = None
        self.jobs = ledger.Jobs()
        self.name = ""
        self.ssh_config = lab.ssh_config
        self.manager: Manager | None = None
        self.results = directory / "results"

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.results, self.name)

    def begin(self, jobs: ledger.Jobs, armed: str = "", *words: str, hosts: str = "") -> Manager:
        """Start a further run of these jobs on all hosts of the lab, or on these."""
        # Runs of other tests write into the same ledgers.
        self.jobs, self.name = jobs, f"f{os.getpid()}-{self.seed}-{next(_RUNS)}"
        path = jobs.write(self.directory)
        self.manager = Manager(
            ["run", path, "--hosts", hosts or ",".join(self.lab.names), "--ssh-config", self.ssh_config, "--slots",
             str(self.slots), "--name", self.name, "--results", self.results, "--quiet", *words], self.directory, armed)
        return self.manager

    def resume(self, armed: str = "") -> Manager:
        """Start a further manager of the run."""
        self.manager = Manager(["resume", self.results / self.name, "--quiet"], self.directory, armed)
        return self.manager

    def is_there(self) -> bool:
        """Tell whether the run has been made."""
        return self.paths.store.exists()

    def finish(self) -> None:
        """Let the run come to its end; a manager that was killed gets a successor."""
        assert self.manager is not None
        deadline = time.monotonic() + self.patience
        while not (self.manager.ended(max(0.0, deadline - time.monotonic())) and self.manager.code in (0, 1)
                   and self.is_over()):
            if time.monotonic() >= deadline or self.manager.code not in (0, 1, -signal.SIGKILL):
                self.manager.kill()
                raise AssertionError(f"seed {self.seed}: run {self.name} did not come to its end (code "
                                     f"{self.manager.code}): {self.how()}\n{self.manager.said()}")
            self.resume()

    def is_over(self) -> bool:
        """Tell whether every job of the run has ended."""
        with RunReader.open(self.paths) as reader:
            counts = reader.summary().counts
        return not (counts["free"] or counts["busy"] or counts["unknown"])

    def is_at_work(self) -> bool:
        """Tell whether its manager is there, and has not ended by itself."""
        return self.manager is not None and not self.manager.ended()

    def how(self) -> str:
        """How the run stands, in a line."""
        if not self.is_there():
            return "not made yet"
        with RunReader.open(self.paths) as reader:
            return f"{reader.summary().counts} {[(row.host.name, row.state, row.reason) for row in reader.hosts()]}"

    def check(self) -> ledger.Findings:
        """Hold the run, which is over, against the ledgers; nothing of it may be left on the hosts."""
        found = ledger.check(self.paths, self.jobs, self.ledger())
        for host in self.lab.hosts:
            left = survivors(host, self.name)
            if left:
                found.wrong.append(f"{host.name}: processes of {self.name} are left: {left}")
        return found

    def ledger(self) -> list[ledger.Line]:
        """What the run's jobs have written so far."""
        return ledger.read(self.lab.hosts, self.name, user=self.user)

    def twice(self) -> list[str]:
        """Jobs of which processes of two attempts are alive at this moment, anywhere."""
        alive: dict[str, dict[str, list[Process]]] = defaultdict(lambda: defaultdict(list))
        for host in self.lab.hosts:
            for process in host.processes():
                words = dict(word.split("=", 1) for word in process.environ if word.startswith("SSHJOBS_") and "=" in word)
                if words.get("SSHJOBS_RUN") == self.name and process.state not in "ZX":
                    alive[words["SSHJOBS_JOB"]][words["SSHJOBS_ATTEMPT"]].append(process)
        # One may have ended before the other was looked at: a process counts if it is still there after all were seen.
        return [f"{job}: attempts {' and '.join(attempts)} are alive at the same time" for job, attempts in alive.items()
                if len(attempts) > 1 and sum(any(map(_still, group)) for group in attempts.values()) > 1]


def _still(process: Process) -> bool:
    return start_time(process.pid) == process.start_time and is_alive(process.pid)


def survivors(host: LabHost, run: str) -> list[tuple[str, ...]]:
    """The command lines of living jobs' processes of a run on a host."""
    return [process.argv for process in host.processes()
            if process.state not in "ZX" and f"SSHJOBS_RUN={run}" in process.environ]


def agents(host: LabHost) -> tuple[list[int], list[int]]:
    """The pids of the living agents on a host, and of their runners. Fronts are in neither."""
    ours = {process.pid: process for process in host.processes()
            if process.state not in "ZX" and "-ISc" in process.argv and not any(
                word.startswith("SSHJOBS_TOKEN=") for word in process.environ)}
    leaders = [pid for pid in ours if _leads(pid)]
    runners = [pid for pid in leaders if ours[pid].parent in leaders]
    return [pid for pid in leaders if pid not in runners], runners


def _leads(pid: int) -> bool:
    """Whether a process leads a session; one that is gone does not."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False
