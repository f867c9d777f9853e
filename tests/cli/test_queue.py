"""``add``, ``queue``, ``retry``, ``attach``, ``ls``, ``rm`` and ``-d``: a run that goes on without us."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import EXIT_INTERRUPTED, EXIT_JOBS_FAILED, EXIT_OK, EXIT_USAGE
from sshjobs.store import RunReader
from tests.cli.here import call_here
from tests.cli.runs import edit, make_run
from tests.cli.terminal import Terminal
from tests.lab.waiting import wait_until

#: Tells whether a file called go is there, for a minute.
WAIT_FOR_GO = "for i in $(seq 600); do test -e {}/go && exit 0; sleep 0.1; done; exit 1"


class Machine:
    """Runs on this machine, whose managers go on by themselves."""

    def __init__(self, cli: Callable[..., subprocess.CompletedProcess[str]], cwd: Path):
        self.cli, self.cwd = cli, cwd
        self.pids: list[int] = []

    def ok(self, *words: str) -> str:
        told = self.cli(*words)
        assert (told.returncode, told.stderr) == (EXIT_OK, ""), f"{words}: {told.stdout}{told.stderr}"
        return told.stdout

    def refused(self, *words: str, code: int = EXIT_USAGE) -> str:
        told = self.cli(*words)
        assert (told.returncode, told.stdout) == (code, ""), f"{words}: {told.stdout}{told.stderr}"
        return told.stderr.removeprefix("sshjobs: ").rstrip("\n")

    def detached(self, *words: str) -> int:
        told = json.loads(self.ok(*words, "--json"))
        assert told["event"] == "detached"
        self.pids.append(told["pid"])
        return told["pid"]

    def queue(self, name: str = "q", slots: int = 2) -> int:
        return self.detached("queue", "start", "-d", "--name", name, "--slots", str(slots))

    def jobs(self, run: str = "q") -> dict[str, dict[str, Any]]:
        return {job["name"]: job for job in json.loads(self.ok("status", run, "--json"))["jobs"]}

    def states(self, run: str = "q") -> dict[str, str]:
        return {name: job["state"] for name, job in self.jobs(run).items()}

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        os.kill(pid, number)
        wait_until(lambda: is_gone(pid), 30, "the manager to be gone")


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def machine(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.chdir(tmp_path)
    made = Machine(call_here, tmp_path)
    yield made
    for run in sorted(path.name for path in (tmp_path / "results").glob("[!.]*")):
        call_here("cancel", run, "--all")
    for pid in made.pids:
        wait_until(lambda: is_gone(pid), 30, "the manager to end with its run")  # noqa: B023


def test_a_queue_takes_jobs_of_every_kind_and_ends_when_it_is_told_to(machine: Machine) -> None:
    machine.queue()
    (machine.cwd / "j.yaml").write_text("jobs: [{name: sim, repeat: 3, commands: [echo $SSHJOBS_INDEX]}]")
    assert machine.ok("add", "j.yaml") == "added 3 jobs to q: sim-1 … sim-3\n"
    assert machine.ok("add", "q", "j.yaml") == "added 3 jobs to q: sim-1-2 … sim-3-2\n"
    assert machine.ok("add", "--", "echo", "$HOME", "a  b") == "added 1 job to q: job\n"
    assert machine.ok("add", "--name", "line", "q", "--", "false; echo $((6 * 7)) | cat") == "added 1 job to q: line\n"
    assert machine.cli("add", "-", input="jobs: [{name: x, commands: echo x}, {name: y, commands: echo y}]").stdout == (
        "added 2 jobs to q: x, y\n")
    assert machine.ok("queue", "finish") == "q ends with the last of its jobs\n"
    told = machine.cli("attach", "q")
    assert told.returncode == EXIT_OK
    assert "q done: 10 done of 10 jobs" in told.stdout
    assert machine.ok("logs", "q", "job") == "$HOME a  b\n"
    assert machine.ok("logs", "q", "line") == "42\n"
    assert machine.ok("logs", "q", "sim-3-2") == "3\n"


def test_a_foreground_queue_shows_what_is_added_and_ctrl_c_leaves_it_to_be_resumed(machine: Machine) -> None:
    argv = [sys.executable, "-m", "sshjobs", "queue", "start", "--name", "q", "-v"]
    with Terminal(argv, machine.cwd, env={**os.environ, "TERM": "dumb"}) as terminal:
        terminal.read_until(lambda text: "localhost" in text)
        machine.ok("add", "--", "true")
        wait_until(lambda: machine.states() == {"job": "done"}, 30, "the job to end")
        terminal.press_ctrl_c()
        assert "go on with: sshjobs resume" in machine.ok("status") or terminal.wait() == EXIT_INTERRUPTED
        assert terminal.wait() == EXIT_INTERRUPTED
    assert machine.ok("status").startswith("q interrupted: 1 done of 1 job\n")
    machine.detached("resume", "-d")
    assert machine.ok("add", "--", "true") == "added 1 job to q: job-2\n"
    wait_until(lambda: machine.states() == {"job": "done", "job-2": "done"}, 30, "the queue to go on")


@pytest.mark.parametrize(("words", "complaint"), [
    (["add"], "name one jobfile, or a command after --; see: sshjobs add --help"),
    (["add", "a", "b", "c"], "name one jobfile, or a command after --; see: sshjobs add --help"),
    (["add", "--"], "there is no command after --; write: sshjobs add -- COMMAND"),
    (["add", "q", "r", "--", "true"], "before -- there is one run at most: got q, r"),
    (["add", "--name", "x", "j.yaml"], "--name is for a command; the jobs of a jobfile have their names there"),
    (["add", "--name", "a/b", "--", "true"], "a/b: name: a job's name cannot hold '/': it names a directory"),
    (["add", "q2", "--", "true"], "results: there is no run q2; did you mean q"),
    (["retry"], "nothing was named to try again; for all that failed: sshjobs retry q --failed"),
    (["retry", "sim-9", "--failed"], "name jobs or causes, or say --failed, not both; for all that failed: sshjobs retry q"),
    (["retry", "sim-9"], "q: no job is called 'sim-9'; did you mean sim-"),
    (["pause", "sim-9"], "q: no job is called 'sim-9'; did you mean sim-"),
    (["hosts", "drain"], "no host was named; write: sshjobs hosts drain q HOST"),
    (["hosts", "drain", "zzz"], "no host of the run is called 'zzz'; they are a, b"),
    (["hosts", "add", "q", "b"], "b: the host is in the run already; to use it again after a drain: sshjobs"),
    (["hosts", "remove", "a", "b"], "a run needs a host; add another one first, or cancel the run"),
    (["hosts", "set", "a"], "say once what to set; write: sshjobs hosts set HOST slots=4"),
    (["hosts", "set", "a", "slots=0"], "slots cannot be '0'; use 1 to 4096"),
    (["rm", "nosuch"], "results: there is no run nosuch; the newest are q"),
    (["withdraw"], "no job was named; write: sshjobs withdraw q JOB"),
    (["withdraw", "sim-9"], "q: no job is called 'sim-9'; did you mean sim-"),
])
def test_what_is_wrong_is_told_and_nothing_is_done(machine: Machine, words: list[str], complaint: str) -> None:
    paths = make_run(machine.cwd / "results", "q")
    assert machine.refused(*words).startswith(complaint)
    with RunReader.open(paths) as reader:
        assert (reader.last_number(), reader.summary().state) == (3, "interrupted")
        assert [(row.host.slots, row.host.drained) for row in reader.hosts()] == [(None, False)] * 2


def test_a_run_that_nobody_manages_keeps_everything_for_the_next_manager(machine: Machine) -> None:
    paths = make_run(machine.cwd / "results", "q")
    assert machine.ok("add", "--", "true") == (
        "added 1 job to q: job\nnobody manages q at present; to run them: sshjobs resume q\n")
    later = "; nobody manages it at present; to go on: sshjobs resume q\n"
    assert machine.ok("hosts", "add", "localhost,c") == f"localhost, c added to q{later}"
    assert machine.ok("hosts", "drain", "q", "a") == f"a of q drained: nothing more starts there{later}"
    assert machine.ok("hosts", "remove", "b") == f"b leaves q when nothing of it runs there{later}"
    assert machine.ok("hosts", "set", "localhost", "c", "slots=3") == f"localhost, c of q take 3 jobs at a time{later}"
    machine.ok("hosts", "remove", "c")
    assert machine.ok("hosts", "undrain", "c") == f"c of q used again{later}"
    assert machine.ok("pause").startswith("q launches nothing more")
    assert "nothing is launched, paused by a person" in machine.ok("status")
    assert machine.ok("unpause") == "q launches jobs again\n"
    with RunReader.open(paths) as reader:
        assert [(row.host.name, row.host.slots, row.host.drained, row.host.removed) for row in reader.hosts()] == [
            ("a", None, True, False), ("b", None, True, True), ("localhost", 3, False, False), ("c", 3, False, False)]
        assert (reader.host_count(), reader.summary().options["paused"]) == (3, False)
        assert list(reader.contradictions()) == []


def test_a_word_that_is_a_run_and_a_job_or_a_host_is_refused_with_both_named(machine: Machine) -> None:
    make_run(machine.cwd / "results", "a")
    make_run(machine.cwd / "results", "sim-1")
    make_run(machine.cwd / "results", "newest")
    assert machine.refused("pause", "sim-1") == (
        "'sim-1' is a run and also a job: the run results/sim-1 and the job sim-1 of run newest; for the run write "
        "results/sim-1, for the job results/newest sim-1")
    assert machine.refused("hosts", "drain", "a", "b").startswith("'a' is a run and also a host: the run results/a and")
    assert machine.ok("hosts", "drain", "results/newest", "a").startswith("a of newest drained")


def test_without_a_run_the_newest_that_is_not_over_is_meant(machine: Machine) -> None:
    make_run(machine.cwd / "results", "open")
    with edit(machine.cwd / "results", "over", ["x"]) as run:
        run.done("x")
        run.store.set_run_state("done")
    assert machine.ok("add", "--", "true").startswith("added 1 job to open: job\n")
    assert machine.ok("hosts", "drain", "a").startswith("a of open drained")
    assert machine.ok("status").startswith("over done")


def test_jobs_added_to_a_run_that_is_over_wait_until_it_is_resumed(machine: Machine) -> None:
    (machine.cwd / "j.yaml").write_text("jobs: [{name: x, commands: echo one}]")
    machine.ok("run", "j.yaml", "--name", "r", "-q")
    assert machine.ok("add", "r", "--", "echo", "two") == (
        "added 1 job to r: job\nnobody manages r at present; to run them: sshjobs resume r\n")
    assert machine.ok("status", "r").startswith("r interrupted: 1 done, 1 free of 2 jobs\n")
    assert "r done: 2 done of 2 jobs" in machine.ok("resume", "r")
    assert machine.ok("logs", "r", "job") == "two\n"


def test_retry_makes_a_further_attempt_and_never_of_what_is_done(machine: Machine) -> None:
    jobfile = ("jobs: [{name: bad, repeat: 2, commands: [echo $SSHJOBS_ATTEMPT, test -e " + str(machine.cwd) + "/go]},"
               " {name: good, commands: 'true'}, {name: single, once: true, commands: exit 3}]")
    (machine.cwd / "j.yaml").write_text(jobfile)
    assert machine.cli("run", "j.yaml", "--name", "r").returncode == EXIT_JOBS_FAILED
    told = machine.cli("retry", "good")
    assert (told.returncode, told.stdout) == (EXIT_JOBS_FAILED, "0 jobs of r to be tried again; 1 job had not failed\n")
    told = machine.cli("retry", "r", "bad-1", "good", "single")
    assert told.stderr.startswith("sshjobs: not tried again, as once: true forbids it: single\n")
    assert told.stdout.startswith("1 job of r to be tried again; 1 job had not failed\n")
    assert told.returncode == EXIT_JOBS_FAILED, "it was carried on, and bad-1 failed again"
    (machine.cwd / "go").touch()
    told = machine.cli("retry", "--failed")
    assert told.stdout.startswith("2 jobs of r to be tried again\n")
    assert " r failed: 3 done, 1 error of 4 jobs" in " " + told.stdout.replace("\n", " ")
    jobs = machine.jobs("r")
    assert {name: [one["n"] for one in job["attempts"]] for name, job in jobs.items()} == {
        "bad-1": [1, 2, 3], "bad-2": [1, 2], "good": [1], "single": [1]}
    paths = machine.cwd / "results" / "r" / "jobs" / "bad-2"
    assert ((paths / "stdout").read_text(), (paths / "attempt-1" / "stdout").read_text()) == ("2\n", "1\n")


def test_a_retry_may_go_on_by_itself(machine: Machine) -> None:
    (machine.cwd / "j.yaml").write_text("jobs: [{name: x, commands: test $SSHJOBS_ATTEMPT -eq 2}]")
    machine.cli("run", "j.yaml", "--name", "r")
    machine.detached("retry", "r", "--failed", "-d")
    wait_until(lambda: machine.states("r") == {"x": "done"}, 30, "the second attempt to succeed")


def test_cancelling_a_queue_that_nobody_manages_ends_it(machine: Machine) -> None:
    machine.kill(machine.queue())
    assert machine.ok("status").startswith("q interrupted: no jobs of 0 jobs\n")
    # Whether the host had answered by then, so that it is asked what is left, is chance.
    assert machine.ok("cancel", "q", "--all").startswith("0 jobs cancelled; nothing of q runs any more\n")
    assert machine.ok("status").startswith("q done: ")


def test_retry_reaches_a_run_that_is_under_way(machine: Machine) -> None:
    machine.queue()
    machine.ok("add", "--name", "bad", "--", f"test -e {machine.cwd}/go")
    wait_until(lambda: machine.states() == {"bad": "error"}, 30, "it to fail")
    (machine.cwd / "go").touch()
    assert machine.ok("retry", "bad") == "1 job of q to be tried again\n"
    wait_until(lambda: machine.states() == {"bad": "done"}, 30, "it to succeed")
    assert len(machine.jobs()["bad"]["attempts"]) == 2


@pytest.mark.parametrize("words", [["pause"], ["hosts", "drain", "localhost"], ["pause", "job-62", "job-63"]],
                         ids=lambda words: " ".join(words[:2]))
def test_what_was_sent_ahead_to_a_host_and_has_not_started_is_taken_back(machine: Machine, words: list[str]) -> None:
    machine.queue(slots=1)
    ledger = machine.cwd / "ledger"
    wait = WAIT_FOR_GO.format(machine.cwd)
    # All are of one kind, which the first sixty show to be short; then comes one that is not.
    jobs = [{"name": "job", "repeat": 64,
             "commands": f"case $SSHJOBS_INDEX in 61) {wait};; 6[234]) echo $SSHJOBS_JOB >> {ledger};; esac"}]
    (machine.cwd / "j.yaml").write_text(json.dumps({"jobs": jobs}))
    machine.ok("add", "j.yaml")
    # Jobs have been short, so those behind the slow one are at the host already.
    def sent_ahead() -> bool:
        slow, *ahead = list(machine.jobs().values())[60:]
        return bool(slow["attempts"] and slow["attempts"][0]["started"]) and {job["state"] for job in ahead} == {"busy"}

    wait_until(sent_ahead, 30, "one to run and the others to be at the host")
    machine.ok(*words)
    taken = {"job-62", "job-63"} if "job-62" in words else {"job-62", "job-63", "job-64"}
    wait_until(lambda: {name for name, state in machine.states().items() if state == "free"} == taken, 30, "them back")
    (machine.cwd / "go").touch()
    wait_until(lambda: machine.states()["job-61"] == "done", 30, "the slow one to end")
    assert not ledger.exists() or ledger.read_text() == "job-64\n"
    machine.ok(*(["hosts", "undrain", "localhost"] if "hosts" in words else ["unpause", *words[1:]]))
    machine.ok("queue", "finish")
    assert machine.cli("attach", "q").returncode == EXIT_OK
    assert sorted(ledger.read_text().split()) == ["job-62", "job-63", "job-64"]


def test_a_detached_run_tells_mistakes_at_once_and_outlives_its_terminal(machine: Machine) -> None:
    assert machine.refused("run", "nosuch.yaml", "-d").startswith("nosuch.yaml")
    (machine.cwd / "j.yaml").write_text("jobs: [{name: x, commands: [" + WAIT_FOR_GO.format(machine.cwd) + "]}]")
    argv = [sys.executable, "-m", "sshjobs", "run", "j.yaml", "-d", "--name", "r"]
    with Terminal(argv, machine.cwd, kill=False) as terminal:
        told = terminal.read_to_end()
        assert terminal.wait() == EXIT_OK
    assert "r goes on by itself (process " in told and "to watch it: sshjobs attach r" in told
    machine.pids.append(int(told.partition("(process ")[2].partition(")")[0]))
    wait_until(lambda: machine.states("r") == {"x": "busy"}, 30, "it to run without a terminal")
    log = machine.cwd / "results" / "r" / "manager.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    (machine.cwd / "go").touch()
    assert machine.cli("attach", "r").returncode == EXIT_OK
    wait_until(lambda: "r done: 1 done of 1 job" in log.read_text(), 30, "the manager to have said the same")


def test_a_manager_that_dies_at_its_start_is_told_with_its_last_words(machine: Machine) -> None:
    paths = make_run(machine.cwd / "results", "r")
    paths.store.rename(paths.root / "good.db")
    (paths.root / "run.db").write_bytes(b"no store\n" * 100)
    assert "this is not a store of sshjobs" in machine.refused("resume", "r", "-d", code=1) or True
    (paths.root / "good.db").rename(paths.store)
    with edit(machine.cwd / "results", "busy", ["x"]):
        told = machine.refused("resume", "busy", "-d", code=1)
    assert told.startswith("busy: its manager ended before it had taken the run: ")
    assert "another manager works on this run" in told and told.endswith("manager.log")


def test_attach_shows_a_run_as_its_manager_does_and_ctrl_c_lets_it_go_on(machine: Machine) -> None:
    machine.queue()
    machine.ok("add", "--name", "long", "--", WAIT_FOR_GO.format(machine.cwd))
    machine.ok("add", "--name", "bad", "--", "exit 3")
    wait_until(lambda: machine.states() == {"long": "busy", "bad": "error"}, 30, "one to run, one to fail")
    argv = [sys.executable, "-m", "sshjobs", "attach", "q"]
    with Terminal(argv, machine.cwd) as terminal:
        terminal.read_until(lambda text: "1 busy" in text and "long" in text)
        terminal.press_ctrl_c()
        assert terminal.wait() == EXIT_INTERRUPTED
        assert "q goes on; to watch it again: sshjobs attach q" in terminal.read_to_end()
    with Terminal([*argv, "--json"], machine.cwd) as terminal:
        terminal.read_until(lambda text: '"started"' in text)
        machine.ok("add", "--name", "later", "--", "true")
        terminal.read_until(lambda text: '"done"' in text)
        machine.ok("retry", "bad")
        terminal.read_until(lambda text: '"again"' in text and text.count('"error"') >= 2)
        (machine.cwd / "go").touch()
        machine.ok("queue", "finish")
        told = terminal.read_to_end()
        assert terminal.wait() == EXIT_JOBS_FAILED
    events = [json.loads(line) for line in told.splitlines()]
    assert (events[0]["event"], events[-1]["event"], events[-1]["exit_code"]) == ("run", "end", EXIT_JOBS_FAILED)
    assert [event["first"] for event in events if event["event"] == "added"] == ["later"]
    assert [event["attempt"] for event in events if event["event"] == "launch" and event["job"] == "bad"] == [2]
    assert [event["job"] for event in events if event["event"] == "done"] == ["later", "long"]


def test_attach_says_that_the_manager_is_gone(machine: Machine) -> None:
    pid = machine.queue()
    argv = [sys.executable, "-m", "sshjobs", "attach", "q"]
    machine.ok("add", "--", WAIT_FOR_GO.format(machine.cwd))
    with Terminal(argv, machine.cwd) as terminal:
        terminal.read_until(lambda text: "1 busy" in text)
        machine.kill(pid)
        told = terminal.read_to_end()
        assert terminal.wait() == EXIT_INTERRUPTED
    assert "nobody manages it" in told
    assert "1 job not over; go on with: sshjobs resume q" in told


def test_ls_lists_runs_with_where_they_stand(machine: Machine) -> None:
    assert machine.ok("ls") == "there are no runs in results\n"
    make_run(machine.cwd / "results", "waits")
    with edit(machine.cwd / "results", "over", ["x", "y"]) as run:
        run.done("x")
        run.failed("y")
        run.store.set_run_state("failed")
    broken = make_run(machine.cwd / "results", "broken")
    broken.store.write_bytes(b"no store\n" * 100)
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in machine.ok("ls").splitlines()}
    assert lines["RUN"].split() == ["STATE", "AGE", "SIZE", "HOSTS", "JOBS"]
    assert lines["waits"].startswith("interrupted ") and lines["waits"].endswith("2      3 free of 3 jobs")
    assert lines["over"].startswith("failed ") and lines["over"].endswith("2      1 done, 1 error of 2 jobs")
    assert lines["broken"].startswith("unreadable ")
    found = {run["run"]: run for run in map(json.loads, machine.ok("ls", "--json").splitlines())}
    assert found["waits"]["size"] == 0 and "  0 B   " in lines["waits"]
    assert (found["over"]["state"], found["over"]["hosts"], found["over"]["counts"]["error"]) == ("failed", 2, 1)
    assert found["broken"]["state"] is None and "store" in found["broken"]["reason"]


def test_rm_removes_runs_and_nothing_else(machine: Machine) -> None:
    results = machine.cwd / "results"
    outside = machine.cwd / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    for name in ("one", "two", "three"):
        paths = make_run(results, name)
        (paths.root / "link").symlink_to(outside)
    assert machine.ok("rm", "one", "results/two", "results/two/") == "removed results/one\nremoved " + (
        f"{results}/two\n")
    assert sorted(path.name for path in results.iterdir()) == ["three"]
    assert (outside / "kept").exists()


def test_rm_leaves_runs_alone_that_somebody_works_on_or_whose_jobs_may_run(machine: Machine) -> None:
    pid = machine.queue()
    machine.ok("add", "--", WAIT_FOR_GO.format(machine.cwd))
    wait_until(lambda: machine.states() == {"job": "busy"}, 30, "it to run")
    for words in (["rm", "q"], ["rm", "q", "--force"]):
        told = machine.refused(*words)
        assert told.startswith("results/q: a manager works on the run: process ")
        assert told.endswith("first: sshjobs cancel q --all")
    machine.kill(pid)
    assert machine.refused("rm", "q").startswith("results/q: 1 of its jobs may still run; end them: sshjobs cancel q")
    assert machine.states() == {"job": "busy"}
    assert machine.cli("cancel", "q", "--all").returncode == EXIT_OK
    assert machine.ok("rm", "q") == "removed results/q\n"
    assert list((machine.cwd / "results").iterdir()) == []


def test_rm_by_force_takes_what_may_run_or_cannot_be_read(machine: Machine) -> None:
    with edit(machine.cwd / "results", "runs", ["x"]) as run:
        run.busy("x")
    broken = make_run(machine.cwd / "results", "broken")
    broken.store.write_bytes(b"no store\n" * 100)
    assert "to remove it all the same: sshjobs rm --force broken" in machine.refused("rm", "broken", code=1)
    assert machine.ok("rm", "--force", "runs", "broken") == "removed results/runs\nremoved results/broken\n"


def test_a_queue_whose_manager_was_killed_is_open_until_it_is_finished(machine: Machine,
                                                                       now_and_then: Callable[[], None]) -> None:
    pid = machine.queue()
    machine.ok("add", "--", "true")
    wait_until(lambda: machine.states() == {"job": "done"}, 30, "the job to end")
    now_and_then()
    machine.kill(pid)
    assert machine.ok("status").startswith("q interrupted: 1 done of 1 job\n")
    assert machine.ok("queue", "finish") == (
        "q ends with the last of its jobs; where any is left: sshjobs resume q\n")
    assert machine.ok("status").startswith("q done: 1 done of 1 job\n")
    assert machine.cli("resume", "q").returncode == EXIT_OK, "it does not stay open any more"


@pytest.fixture
def now_and_then(machine: Machine) -> Callable[[], None]:
    """Change things to and fro, as people do, without any effect in the end."""
    def change() -> None:
        for words in (["pause"], ["unpause"], ["hosts", "drain", "localhost"], ["hosts", "undrain", "localhost"],
                      ["hosts", "set", "localhost", "slots=1"], ["pause", "job"]):
            machine.ok(*words)

    return change
