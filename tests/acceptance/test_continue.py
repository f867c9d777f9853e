"""Edit and continue, over real ssh: what is new runs, by the ledgers that the jobs write, and nothing else does."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.here import call_here
from tests.lab import BaseLab
from tests.lab.waiting import wait_until

LEDGER, GO = "continue-ledger", "continue-go"
#: Rates of the sweep, and how many jobs there are of each.
RATES, EACH = ["0.1", "0.2", "0.3"], 4


class Sweep:
    """A jobfile that is edited, and the ledgers of its jobs on the hosts."""

    def __init__(self, lab: BaseLab, cwd: Path):
        self._lab, self._cwd = lab, cwd
        self.hosts = ["--hosts", ",".join(host.name for host in lab.hosts)]
        self.rates, self.tail, self.hold = list(RATES), "echo fitted", ""
        self.input("1")

    def input(self, text: str) -> None:
        (self._cwd / "data.txt").write_text(text)

    def write(self) -> None:
        """Write the jobfile: a stage that reads the input, the sweep, and what collects all of it."""
        def job(name: str, *commands: str, **keys: object) -> dict[str, object]:
            return {"name": name, "commands": [f'echo "$SSHJOBS_JOB" >> ~/{LEDGER}', *commands], **keys}

        jobs = [job("prep", "cat data.txt", files=["data.txt"]), job("alone", "echo alone"),
                job("fit-${{ rate }}-${{ seed }}", "echo $RATE ${{ seed }}", *([self.hold] if self.hold else []),
                    matrix={"rate": self.rates, "seed": f"1..{EACH}"}, after="prep", env={"RATE": "${{ rate }}"}),
                job("plot", self.tail, after="fit")]
        (self._cwd / "sweep.yaml").write_text(json.dumps({"jobs": jobs}))

    def run(self, *words: str, ok: bool = True) -> dict[str, Any]:
        """Run the jobfile, and return what the new run says of its jobs."""
        told = call_here("run", "sweep.yaml", *self.hosts, "--ssh-config", str(self._lab.ssh_config), "-q", "-j", "2",
                         *words)
        assert (told.returncode == 0) == ok, told.stdout + told.stderr
        return json.loads(call_here("status", "--json").stdout)

    def plan(self, *words: str) -> dict[str, set[str]]:
        """Return the jobs that stand anywhere but at done, by where they stand, and check the sums."""
        told = call_here("plan", "sweep.yaml", *self.hosts, "--json", *words)
        assert told.returncode == 0, told.stderr
        *jobs, total = map(json.loads, told.stdout.splitlines())
        found: dict[str, set[str]] = {}
        for job in jobs:
            found.setdefault(job.get("standing", "orphaned"), set()).add(job["job"])
        assert {name: len(found.get(name, ())) for name in total["counts"]} == total["counts"]
        found.pop("done", None)
        return found

    def ledger(self) -> Counter[str]:
        """Return how often each job has started since this was last asked, over all hosts."""
        starts: Counter[str] = Counter()
        for host in self._lab.hosts:
            if (host.home / LEDGER).exists():
                starts.update((host.home / LEDGER).read_text().splitlines())
                (host.home / LEDGER).unlink()
        return starts

    def fits(self, *rates: str) -> list[str]:
        return [f"fit-{rate}-{n}" for rate in rates for n in range(1, EACH + 1)]


@pytest.fixture
def sweep(lab: BaseLab, clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    monkeypatch.chdir(tmp_path)
    made = Sweep(lab, tmp_path)
    made.ledger()
    made.write()
    yield made
    made.ledger()
    for host in lab.hosts:
        (host.home / GO).unlink(missing_ok=True)


def test_an_edited_jobfile_runs_what_is_new_and_nothing_else(sweep: Sweep) -> None:
    everything = ["prep", "alone", *sweep.fits(*RATES), "plot"]
    assert sweep.plan() == {"new": set(everything)}
    sweep.run()
    assert sweep.ledger() == Counter(everything)
    assert sweep.plan() == {}
    # One value is added.
    sweep.rates.append("0.4")
    sweep.write()
    assert sweep.plan() == {"new": {*sweep.fits("0.4")}, "changed": {"plot"}}
    sweep.run("--continue", "sweep-1")
    assert sweep.ledger() == Counter([*sweep.fits("0.4"), "plot"])
    # One command is changed.
    sweep.tail = "echo drawn"
    sweep.write()
    assert sweep.plan() == {"changed": {"plot"}}
    told = sweep.run("--continue", "sweep-2")
    assert sweep.ledger() == Counter(["plot"])
    origins = {job["name"]: job["attempts"][-1].get("from") for job in told["jobs"]}
    assert origins == {**dict.fromkeys([*everything], "sweep-1"), **dict.fromkeys(sweep.fits("0.4"), "sweep-2"),
                       "plot": None}
    # One input is changed, and with it all that follows from it.
    sweep.input("2")
    assert sweep.plan() == {"changed": {"prep", *sweep.fits(*sweep.rates), "plot"}}
    sweep.run("--continue", "sweep-3")
    assert sweep.ledger() == Counter(["prep", *sweep.fits(*sweep.rates), "plot"])
    # It is changed back, with another value taken out: two runs together have done all but the end.
    sweep.input("1")
    sweep.rates.remove("0.2")
    sweep.write()
    assert sweep.plan("--against", "sweep-1", "--against", "sweep-2")["changed"] == {"plot"}
    sweep.run("--continue", "sweep-1", "--continue", "sweep-2")
    assert sweep.ledger() == Counter(["plot"])
    assert call_here("rm", "sweep-1", "sweep-2", "sweep-3", "sweep-4").returncode == 0
    assert call_here("verify", "sweep-5").returncode == 0
    assert Path("results/sweep-5/jobs/fit-0.1-1/stdout").read_text() == "0.1 1\n"


def test_after_a_kill_of_the_manager_nothing_is_lost_and_nothing_runs_twice(
        sweep: Sweep, lab: BaseLab) -> None:
    sweep.run()
    sweep.ledger()
    sweep.rates += ["0.4", "0.5"]
    sweep.hold = f"until test -e ~/{GO}; do sleep 0.05; done"
    sweep.write()
    new = [*sweep.fits(*sweep.rates), "plot"]
    assert sweep.plan()["new"] | sweep.plan()["changed"] == set(new)
    told = call_here("run", "sweep.yaml", *sweep.hosts, "--ssh-config", str(lab.ssh_config), "-j", "2", "-d", "--json",
                     "--continue", "sweep-1", "--name", "second")
    assert told.returncode == 0, told.stderr
    wait_until(lambda: json.loads(call_here("status", "second", "--json", "--summary").stdout)["counts"]["busy"] > 4,
               30.0, "jobs run")
    os.kill(json.loads(told.stdout)["pid"], signal.SIGKILL)
    # What may run there does not run here as well.
    refused = call_here("run", "sweep.yaml", *sweep.hosts, "--continue", "second")
    assert refused.returncode == 2 and "would run twice" in refused.stderr and refused.stderr.count("\n") == 1
    for host in lab.hosts:
        (host.home / GO).touch()
    told = call_here("resume", "second", "-q")
    assert told.returncode == 0, told.stdout + told.stderr
    assert sweep.ledger() == Counter(new)
    assert sweep.plan("--against", "second") == {}
    assert call_here("verify", "second").returncode == 0
    sweep.run("--continue", "second")
    assert sweep.ledger() == Counter()
