"""A small run on two hosts, on this machine and without ssh, whose events are read while something goes wrong here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sshjobs.store.rundir import RunPaths
from tests.conftest import cli_environment, sshjobs_argv
from tests.lab.waiting import wait_until

NAME = "r"
#: Seconds within which a person is to be heard, as tests have to allow for on a machine at work.
HEARD = 20.0


class LocalScene:
    """A run of some jobs in a directory. Each job writes a line into a ledger when it starts.

    :param directory: the working directory, with nothing in it
    :param jobs: entries of a jobfile
    :param env: of all its processes
    """

    def __init__(self, directory: Path, jobs: Sequence[dict[str, Any]], env: dict[str, str] | None = None):
        self._env = env or {}
        self._skipped = 0
        self.directory, self.results = directory, directory / "results"
        self.paths = RunPaths(self.results, NAME)
        for job in jobs:
            job["commands"] = [f'echo "$SSHJOBS_JOB" >> {directory}/ledger', *job["commands"]]
        (directory / "jobs.yaml").write_text(json.dumps({"jobs": list(jobs)}))
        self._log = directory / "events.jsonl"
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self, *options: str, env: dict[str, str] | None = None, hosts: str = "h0,h1") -> None:
        """Start the run."""
        self._start("run", "jobs.yaml", "--name", NAME, "--hosts", hosts, "--transport", "local", "--slots", "1",
                    "--json", *options, env=env)

    def resume(self, env: dict[str, str] | None = None) -> None:
        """Start a further manager."""
        self._start("resume", NAME, "--json", env=env)

    def _start(self, *words: str, env: dict[str, str] | None) -> None:
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(sshjobs_argv(words), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **cli_environment(), **self._env, **(env or {})})

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Carry out another command."""
        return subprocess.run(sshjobs_argv(words), cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=HEARD, env={**os.environ, **cli_environment(), **self._env}, check=False)

    def signal(self, number: signal.Signals) -> None:
        """Send the manager a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def ends(self, within: float = 60.0) -> int:
        """Return the exit code of the manager when it has ended."""
        assert self.process is not None
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end in {within} s: {self.said()}") from None

    def kill(self) -> None:
        """End what runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def events(self) -> list[dict[str, Any]]:
        """What all managers told."""
        return [json.loads(line) for line in self._lines() if line.startswith("{")]

    def said(self) -> list[str]:
        """What they said besides: the lines of standard error."""
        return [line for line in self._lines() if not line.startswith("{")]

    def _lines(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines()[self._skipped:] if self._log.exists() else []

    def forget_lines(self) -> None:
        """Look only at what is told from now on."""
        self._skipped += len(self._lines())

    def tail(self) -> list[str]:
        """The last lines."""
        return self._lines()[-8:]

    def of(self, event: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [one for one in self.events() if one["event"] == event]

    def warnings(self) -> str:
        """What was warned of, a line each, with whom it is about."""
        return "\n".join(f"{one['host']}: {one['reason']}" for one in self.of("warning"))

    def wait_for(self, event: str, number: int = 1) -> None:
        """Wait until something was told so many times."""
        wait_until(lambda: len(self.of(event)) >= number, 60, lambda: f"{number} × {event}: {self._lines()[-8:]}")

    def wait_for_warning(self, text: str) -> None:
        """Wait until this machine was warned of."""
        wait_until(lambda: text in self.warnings(), 60, lambda: f"a warning of {text}: {self._lines()[-8:]}")

    def starts(self) -> Counter[str]:
        """How often each job was started, by the ledger."""
        ledger = self.directory / "ledger"
        return Counter(ledger.read_text().split() if ledger.exists() else ())

    def blamed(self) -> list[str]:
        """What was held against a host or a job: there must be none of it."""
        found = [f"{one['host']}: {one['reason']}" for one in self.of("host") if one["state"] != "up"]
        found += [f"{one['host']}: {one['reason']}" for one in self.of("warning") if one["host"] != "this machine"
                  and "is the same machine as" not in one["reason"]]
        found += [f"{one['job']} {one['event']}: {one['reason']}" for one in self.events()
                  if one["event"] in ("error", "retry", "unknown")
                  and "taken back before it started" not in (one["reason"] or "")]
        return found

    def is_all_done(self, jobs: int) -> None:
        """Assert that every job ran once and is done."""
        (end,) = self.of("end")[-1:]
        assert end["counts"]["done"] == jobs, (end, self._lines())
        assert set(self.starts().values()) == {1} and len(self.starts()) == jobs, self.starts()
