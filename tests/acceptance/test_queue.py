"""A queue over real ssh: jobs are added, hosts come and go, a person pauses and goes on, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.here import call_here
from tests.conftest import cli_environment, sshjobs_argv
from tests.lab import BaseLab, LabHost
from tests.lab.waiting import wait_until

LEDGER = "queue-ledger"


class Queue:
    """A queue that a process of its own manages, and the ledger that its jobs write on the hosts."""

    def __init__(self, lab: BaseLab, cwd: Path):
        self.lab, self.cli, self.cwd = lab, call_here, cwd

    def start(self, hosts: list[LabHost], slots: int) -> None:
        told = self.ok("queue", "start", "-d", "--json", "--name", "q", "--slots", str(slots), "--hosts",
                       ",".join(host.name for host in hosts), "--ssh-config", str(self.lab.ssh_config))
        self.pid = int(json.loads(told)["pid"])

    def ok(self, *words: str) -> str:
        told = self.cli(*words)
        assert told.returncode == 0, f"{words}: {told.stdout}{told.stderr}"
        return told.stdout

    def add(self, name: str, count: int, *commands: str, **keys: object) -> None:
        """Add jobs that first write a line of their own into the ledger of their host."""
        script = [f'echo "$SSHJOBS_JOB" >> ~/{LEDGER}', *commands]
        jobfile = self.cwd / f"{name}.yaml"
        jobfile.write_text(json.dumps({"jobs": [{"name": name, "repeat": count, "commands": script, **keys}]}))
        self.ok("add", "q", jobfile.name)

    def ledger(self, *hosts: LabHost) -> Counter[str]:
        """How often each job has started, on these hosts or all. An attempt that was taken back has not."""
        starts: Counter[str] = Counter()
        for host in hosts or self.lab.hosts:
            if (host.home / LEDGER).exists():
                starts.update((host.home / LEDGER).read_text().splitlines())
        return starts

    def counts(self) -> dict[str, int]:
        return json.loads(self.ok("status", "q", "--json", "--summary"))["counts"]

    def finish(self, code: int = 0) -> dict:
        """Let the queue end, and return what it says of its jobs."""
        self.ok("queue", "finish", "q")
        told = self.cli("attach", "q")
        assert told.returncode == code, told.stdout + told.stderr
        return json.loads(self.ok("status", "q", "--json"))

    def close(self) -> None:
        self.cli("cancel", "q", "--all")
        self.cli("attach", "q", "--quiet")
        try:
            os.kill(self.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError):
            return


@pytest.fixture
def queue(lab: BaseLab, clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.chdir(tmp_path)
    for host in lab.hosts:
        (host.home / LEDGER).unlink(missing_ok=True)
    made = Queue(lab, tmp_path)
    yield made
    made.close()


def files_of_runs(host: LabHost) -> set[Path]:
    return {path for path in (host.home / ".sshjobs").glob("*/*") if len(path.parent.name) == 32}


def test_jobs_added_from_three_shells_at_once_all_run_once(queue: Queue) -> None:
    queue.start(queue.lab.hosts, 4)
    script = (f'echo "$SSHJOBS_JOB" >> ~/{LEDGER}', "sleep 0.05")
    for batch, count in (("small", 1), ("large", 32)):
        jobfile = {"jobs": [{"name": "job", "repeat": count, "commands": script}]}
        (queue.cwd / f"{batch}.yaml").write_text(json.dumps(jobfile))
    words = " ".join(sshjobs_argv(["add", "q"]))
    # Each shell: 3 x 32 + 4 x 1 jobs, all of one name.
    lines = "\n".join(f"{words} {batch}.yaml || exit 1"
                      for batch in ("small", "large", "small", "large", "small", "large", "small"))
    shells = [subprocess.Popen(["sh", "-c", lines], cwd=queue.cwd, env={**os.environ, **cli_environment()},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
              for _ in range(3)]
    told = [shell.communicate(timeout=60)[0] for shell in shells]
    assert [shell.returncode for shell in shells] == [0, 0, 0], told
    assert sum(text.count("added ") for text in told) == 21

    status = queue.finish()
    assert status["counts"] == {"free": 0, "busy": 0, "done": 300, "unknown": 0, "error": 0}
    assert queue.ledger() == Counter(job["name"] for job in status["jobs"])


def test_a_host_drained_and_one_removed_in_mid_run_lose_nothing_and_get_nothing_new(queue: Queue) -> None:
    drained, removed, *rest = queue.lab.hosts
    queue.start(queue.lab.hosts, 2)
    queue.add("job", 80, "sleep 0.3")
    wait_until(lambda: queue.ledger(drained) and queue.ledger(removed), 30, "both hosts to have jobs")
    assert "nothing more starts there" in queue.ok("hosts", "drain", "q", drained.name)
    assert "leaves q" in queue.ok("hosts", "remove", "q", removed.name)
    # What was on the way when the answer came may still have started: of what runs there no more than its slots.
    before = queue.ledger(drained, removed)
    status = queue.finish()
    assert status["counts"]["done"] == 80
    assert queue.ledger() == Counter(f"job-{n}" for n in range(1, 81))
    assert queue.ledger(drained, removed).total() - before.total() <= 2 * 2
    assert queue.ledger(*rest).total() >= 40


def test_a_removed_host_keeps_nothing_of_the_run_and_may_come_again(queue: Queue) -> None:
    first, second, *_ = queue.lab.hosts
    # What other runs have left there is theirs.
    before = files_of_runs(second)
    queue.start([first, second], 2)
    queue.add("early", 8, "sleep 0.2")
    wait_until(lambda: queue.counts()["done"] == 8, 30, "the first jobs to end")
    assert files_of_runs(second) > before
    queue.ok("hosts", "remove", "q", second.name)
    wait_until(lambda: files_of_runs(second) <= before, 60,
               lambda: f"{files_of_runs(second) - before} to go: {queue.ok('status', 'q', '--json')}")
    assert queue.cli("hosts", "remove", "q", first.name).returncode == 2
    queue.add("middle", 4, "sleep 0.1")
    wait_until(lambda: queue.counts()["done"] == 12, 30, "the jobs to end on the other host")
    assert not [line for line in queue.ledger(second) if line.startswith("middle")]
    queue.ok("hosts", "add", "q", second.name)
    queue.add("late", 1, "true", hosts=[second.name])
    status = queue.finish()
    assert status["counts"]["done"] == 13
    assert queue.ledger(second)["late"] == 1


def test_a_host_that_is_added_takes_its_share_and_slots_go_up_and_down(queue: Queue) -> None:
    first, second, *_ = queue.lab.hosts
    queue.start([first], 1)
    queue.add("job", 200, "sleep 0.2")
    wait_until(lambda: queue.ledger(first), 30, "the first job")
    assert running(first) <= 1
    assert "added to q" in queue.ok("hosts", "add", "q", second.name)
    wait_until(lambda: queue.ledger(second), 30, "a job on the new host")
    queue.ok("hosts", "set", "q", first.name, "slots=6")
    wait_until(lambda: running(first) == 6, 30, "six jobs at a time")
    queue.ok("hosts", "set", "q", first.name, "slots=2")
    wait_until(lambda: 0 < running(first) <= 2, 30, "two jobs at a time")
    queue.ok("hosts", "set", "q", f"{first.name},{second.name}", "slots=8")
    assert queue.finish()["counts"]["done"] == 200
    assert queue.ledger() == Counter(f"job-{n}" for n in range(1, 201))


def running(host: LabHost) -> int:
    return sum(1 for process in host.processes() if process.argv == ("sleep", "0.2"))


def test_pause_holds_launching_and_unpause_goes_on(queue: Queue) -> None:
    queue.start(queue.lab.hosts[:2], 2)
    queue.ok("pause", "q")
    queue.add("job", 12, "sleep 0.1")
    assert "paused by a person; to launch again: sshjobs unpause q" in queue.ok("status", "q")
    queue.ok("unpause", "q")
    wait_until(lambda: queue.ledger().total() >= 2, 30, "jobs to start")
    queue.ok("pause", "q")
    wait_until(lambda: queue.counts()["busy"] == 0, 30, "what ran to end")
    started = queue.ledger()
    # Whatever else the manager does meanwhile, it launches nothing: adding is a whole round through it.
    queue.add("more", 1, "true")
    assert (queue.ledger(), queue.counts()["free"]) == (started, 13 - started.total())
    queue.ok("unpause")
    assert queue.finish()["counts"]["done"] == 13


def test_a_paused_job_stands_still_with_all_it_started_and_goes_on(queue: Queue) -> None:
    host = queue.lab.hosts[0]
    queue.start([host], 2)
    queue.add("long", 1, "sleep 271 & sleep 271 & wait")
    queue.add("waiting", 4, "test -e ~/go || sleep 272")

    def states(what: str) -> set[str]:
        return {process.state for process in host.processes() if process.argv == ("sleep", what)}

    wait_until(lambda: states("271") and states("272"), 30, "both to run")
    assert queue.ok("pause", "q", "long", "waiting-4") == "2 jobs paused\n"
    wait_until(lambda: states("271") == {"T"}, 30, "it to stand still")
    assert "paused by a person" in queue.ok("status", "q")
    assert queue.ok("pause", "q", "long") == "0 jobs paused; 1 job had been so before\n"
    assert queue.ok("unpause", "q", "long") == "1 job goes on\n"
    wait_until(lambda: states("271") == {"S"}, 30, "it to go on")
    (host.home / "go").touch()
    try:
        queue.ok("cancel", "q", "long", "waiting-1")
        wait_until(lambda: queue.counts()["done"] == 2, 30, "the others to end")
        assert queue.ledger()["waiting-4"] == 0
        queue.ok("unpause", "q", "waiting-4")
        status = queue.finish(code=1)
    finally:
        (host.home / "go").unlink()
    assert {job["name"]: job["outcome"] for job in status["jobs"]} == {
        "long": "cancelled", "waiting-1": "cancelled", "waiting-2": "succeeded", "waiting-3": "succeeded",
        "waiting-4": "succeeded"}


@pytest.mark.parametrize("kill", [False, True], ids=["left by itself", "killed"])
def test_what_a_person_has_paused_stays_so_over_another_manager(queue: Queue, kill: bool,
                                                                 process_gone: Callable[[int], bool]) -> None:
    host = queue.lab.hosts[0]
    queue.start([host], 2)
    queue.add("long", 1, "sleep 273")

    def states() -> set[str]:
        return {process.state for process in host.processes() if process.argv == ("sleep", "273")}

    wait_until(states, 30, "it to run")
    queue.ok("pause", "q", "long")
    queue.ok("pause", "q")
    wait_until(lambda: states() == {"T"}, 30, "it to stand still")
    os.kill(queue.pid, signal.SIGKILL if kill else signal.SIGTERM)
    wait_until(lambda: process_gone(queue.pid), 30, "the manager to be gone")
    assert "unattended" in queue.ok("ls")
    assert "nobody manages q at present" in queue.ok("add", "q", "--", "true")

    queue.pid = int(json.loads(queue.ok("resume", "q", "-d", "--json"))["pid"])
    wait_until(lambda: [queue.counts()[state] for state in ("busy", "free")] == [1, 1], 30, "both jobs to be known")
    assert states() == {"T"}
    queue.ok("unpause", "q")
    wait_until(lambda: queue.counts()["done"] == 1, 30, "the added job to end")
    assert states() == {"T"}
    assert queue.ok("unpause", "q", "long") == "1 job goes on\n"
    wait_until(lambda: states() == {"S"}, 30, "it to go on")


@pytest.fixture
def process_gone() -> Callable[[int], bool]:
    def gone(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    return gone
