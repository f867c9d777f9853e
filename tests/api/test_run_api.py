"""Runs held by programs: started, waited for, followed, cancelled, from any thread."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs import Builder, InputError, Job, JobSpec, NoHostError, Run, SshjobsError, UsageError
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK
from sshjobs.model.host import Host
from sshjobs.store import RunReader
from tests.faults.scene import agents
from tests.lab import BaseLab
from tests.lab.waiting import wait_until


@pytest.fixture
def start(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)
    return Run.start


def specs(*commands: str) -> list[JobSpec]:
    return [JobSpec([command], name=f"job-{n}") for n, command in enumerate(commands, 1)]


def sleeps(where: Path) -> list[str]:
    """The jobs of tests below a directory that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"SSHJOBS_TOKEN=" in text and os.fsencode(where) in text:
                found.append(entry.name)
    return found


def test_a_jobfile_is_run_and_waited_for(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("jobs: [{name: sim, repeat: 3, commands: echo $SSHJOBS_INDEX}]")
    with start("sweep.yaml") as run:
        assert (run.name, run.paths.root) == ("sweep-1", Path("results/sweep-1"))
        assert [job.name for job in run.jobs] == ["sim-1", "sim-2", "sim-3"]
        assert run.wait() == EXIT_OK
    assert [job.outcome for job in run.jobs] == ["succeeded"] * 3
    assert (run.paths.stdout("sim-2")).read_text() == "2\n"
    assert (run.paths.root / "jobfile.yaml").read_text() == (tmp_path / "sweep.yaml").read_text()


def test_a_builder_specs_and_hosts_in_every_form_will_do(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("localhost slots=1\n")
    for jobs in (Builder().AddJob("true"), specs("true"), iter(specs("true"))):
        for hosts in (None, "localhost", "hosts.txt", ["localhost slots=2"]):
            if not isinstance(jobs, list) and hosts is not None:
                continue
            assert start(jobs, hosts).wait(60) == EXIT_OK


def test_a_failed_job_is_data_and_not_an_exception(start: Callable[..., Run]) -> None:
    run = start(specs("exit 3", "true"))
    assert run.wait() == EXIT_JOBS_FAILED
    assert [(job.outcome, job.exit_status) for job in run.jobs] == [("failed", 3), ("succeeded", 0)]


def test_jobs_come_as_they_end_each_once(start: Callable[..., Run]) -> None:
    run = start(specs("sleep 0.6", "sleep 0.3", "exit 1"), slots=3)
    assert [(job.name, job.outcome) for job in run.as_completed(60)] == [
        ("job-3", "failed"), ("job-2", "succeeded"), ("job-1", "succeeded")]
    assert [job.name for job in run.as_completed()] == ["job-3", "job-2", "job-1"], "a later look sees all of them"


def test_many_may_follow_a_run_at_once(start: Callable[..., Run]) -> None:
    run = start(specs(*["sleep 0.05"] * 20), slots=4)
    seen: list[list[str]] = [[], [], []]
    threads = [threading.Thread(target=lambda mine=mine: mine.extend(job.name for job in run.as_completed(60)))
               for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(seen[0]) == sorted(job.name for job in run.jobs)
    assert seen[0] == seen[1] == seen[2]


def test_waiting_has_a_limit_if_one_is_wanted(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(specs("sleep 60"))
    with pytest.raises(TimeoutError):
        run.wait(0.05)
    with pytest.raises(TimeoutError):
        next(run.as_completed(0.05))
    run.cancel()
    assert run.wait(60) == EXIT_JOBS_FAILED
    assert sleeps(tmp_path) == []


def test_jobs_are_cancelled_from_another_thread(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(specs("sleep 60", "sleep 60", "true"), slots=3)
    wait_until(lambda: len(sleeps(tmp_path)) >= 2, 30, "both to run")
    canceller = threading.Thread(target=lambda: run.cancel(["job-1"]))
    canceller.start()
    canceller.join(30)
    wait_until(lambda: run.jobs[0].outcome == "cancelled", 30, "it to be cancelled")
    assert run.jobs[1].state == "busy"
    run.cancel()
    assert run.wait(60) == EXIT_JOBS_FAILED
    assert [job.outcome for job in run.jobs] == ["cancelled", "cancelled", "succeeded"]
    assert sleeps(tmp_path) == []


def test_jobs_are_cancelled_by_parameters_and_patterns_as_on_the_command_line(start: Callable[..., Run]) -> None:
    wait = Builder().AddJob("sleep 60", name="train", matrix={"lr": ["0.1", "0.2"], "seed": ["1", "2"]})
    run = start([*wait.MakeJobSpecs(), JobSpec("sleep 60", name="fit-a"), JobSpec("sleep 60", name="fit[b]"), JobSpec("sleep 60", name="x")],
                slots=1)
    for words, what in ((["train[lr=9]"], "no job of train has lr=9"), (["fot-*"], "no job matches"), (["train[x=1]"], "no parameter"),
                        (["train-1", "nobody"], "no job is called 'nobody'")):
        with pytest.raises(UsageError, match=what):
            run.cancel(words)
    run.cancel(["train[lr=0.10]", "fit-*", "fit[b]"])
    cancelled = {"train-1", "train-2", "fit-a", "fit[b]"}
    wait_until(lambda: {job.name for job in run.jobs if job.outcome == "cancelled"} == cancelled, 30, "these to be cancelled")
    run.withdraw(["train[lr=0.2,seed=2]"])
    assert {job.name for job in run.jobs if job.outcome is None} == {"train-3", "x"}
    run.cancel()
    assert run.wait(60) == EXIT_JOBS_FAILED


def test_jobs_that_never_started_are_withdrawn_and_their_names_are_free_again(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(specs(f"until test -e {tmp_path}/go; do sleep 0.05; done"), slots=1, stays_open=True)
    wait_until(lambda: run.jobs[0].state == "busy", 30, "it to run")
    (wrong,) = run.add([JobSpec("false", name="wrong")])
    run.withdraw(["wrong"])
    for names, words in ((["wrong"], "no job is called"), (["job-1"], "on its way to a host, or runs there")):
        with pytest.raises(SshjobsError, match=words):
            run.withdraw(names)
    (right,) = run.add([JobSpec("echo right", name="wrong")])
    assert right is not wrong
    (tmp_path / "go").touch()
    run.finish()
    assert run.wait(60) == EXIT_OK
    assert right.outcome == "succeeded" and right.stdout.read_text() == "right\n"
    assert wrong.outcome == "cancelled" and wrong.attempts == []


def test_an_exception_in_the_block_cancels_the_run_and_is_passed_on(start: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), start(specs("sleep 60", "sleep 60"), slots=1) as run:
        wait_until(lambda: sleeps(tmp_path), 30, "one to run")
        _ = 1 / 0
    assert [job.outcome for job in run.jobs] == ["cancelled", "cancelled"]
    assert run.wait(0) == EXIT_JOBS_FAILED
    assert sleeps(tmp_path) == []


def test_an_exception_after_the_end_is_passed_on_too(start: Callable[..., Run]) -> None:
    with pytest.raises(ZeroDivisionError), start(specs("true")) as run:
        run.wait(60)
        _ = 1 / 0


def test_the_block_waits_for_the_end(start: Callable[..., Run]) -> None:
    with start(specs("sleep 0.3")) as run:
        pass
    assert run.jobs[0].outcome == "succeeded"


def test_without_a_usable_host_the_wait_says_so(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(specs("true"), ["nosuch.invalid"], ssh_config="/dev/null")
    with pytest.raises(NoHostError, match="no host could be used"):
        run.wait(60)
    with pytest.raises(NoHostError, match="no host could be used"):
        next(run.as_completed())
    with pytest.raises(SshjobsError):
        run.cancel()
    with RunReader.open(run.paths) as reader:
        assert (reader.summary().state, reader.summary().counts["free"]) == ("interrupted", 1)


def test_what_cannot_be_started_is_refused_at_once(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("jobs: [{name: x}]")
    with pytest.raises(InputError):
        start("bad.yaml")
    with pytest.raises(InputError):
        start("missing.yaml")
    with pytest.raises(InputError):
        start(specs("true"), "h;reboot")
    with pytest.raises(UsageError, match="no host matches"):
        start([JobSpec("true", hosts=["gpu"])])
    start(specs("true"), name="taken").wait(60)
    with pytest.raises(UsageError, match="taken"):
        start(specs("true"), name="taken")
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["taken"]


def test_two_runs_go_on_in_one_process(start: Callable[..., Run], tmp_path: Path) -> None:
    first = start(specs(f"until test -e {tmp_path}/go; do sleep 0.05; done; echo a"), name="first")
    second = start(specs("echo b"), name="second")
    assert second.wait(60) == EXIT_OK
    assert first.jobs[0].state in ("busy", "free")
    (tmp_path / "go").touch()
    assert first.wait(60) == EXIT_OK
    assert [run.paths.stdout("job-1").read_text() for run in (first, second)] == ["a\n", "b\n"]


def test_the_listener_hears_of_every_event_in_one_thread(start: Callable[..., Run]) -> None:
    heard: list[tuple[str, int]] = []
    run = start(specs("true"), listener=lambda event: heard.append((event["event"], threading.get_ident())))
    run.wait(60)
    words = [word for word, _ in heard if word != "wait"]
    assert (words[0], words[-1]) == ("run", "end")
    assert {"launch", "done"} <= set(words)
    assert len({thread for _, thread in heard}) == 1
    assert heard[0][1] != threading.get_ident()


def test_a_request_after_the_end_is_refused_and_not_carried_out_later(start: Callable[..., Run]) -> None:
    run = start(specs("true"))
    run.wait(60)
    began = time.monotonic()
    with pytest.raises(SshjobsError, match="the run has ended"):
        run.request({"do": "add", "specs": [JobSpec("true").as_dict()]})
    assert time.monotonic() - began < 20, "it is not waited for somebody who will not come"
    assert len(run.jobs) == 1


def test_jobs_that_are_added_come_out_like_the_others(start: Callable[..., Run]) -> None:
    run = start(specs("sleep 0.5"), slots=1)
    answer = run.request({"do": "add", "specs": [spec.as_dict() for spec in specs("echo late")]})
    assert answer["jobs"] == ["job-1-2"]
    ends: list[Job] = list(run.as_completed(60))
    assert [job.name for job in ends] == ["job-1", "job-1-2"]
    assert run.paths.stdout("job-1-2").read_text() == "late\n"


def test_what_was_answered_is_on_the_disk(start: Callable[..., Run]) -> None:
    with start(specs("true", "sleep 60"), slots=1) as run:
        for paused in (True, False):
            run.request({"do": "pause" if paused else "unpause", "jobs": None})
            with RunReader.open(run.paths) as reader:
                assert reader.summary().options["paused"] is paused
        run.cancel()


def test_a_run_over_ssh_is_cancelled_with_all_that_it_started(start: Callable[..., Run], lab: BaseLab) -> None:
    host = lab.hosts[0]
    with pytest.raises(KeyboardInterrupt), start(specs("sleep 3917 & sleep 3917"), [host.name],
                                                 ssh_config=str(lab.ssh_config)):
        wait_until(lambda: len(host.pids_with("3917")) >= 2, 30, "the job to run")
        raise KeyboardInterrupt
    assert host.pids_with("3917") == []


def test_a_job_tells_where_its_output_is_and_how_long_it_took(start: Callable[..., Run]) -> None:
    with start(specs("echo out; echo err >&2; sleep 0.2", "exit 3")) as run:
        pass
    first, second = run.jobs
    assert (first.stdout.read_text(), first.stderr.read_text()) == ("out\n", "err\n")
    assert first.stdout == run.paths.stdout("job-1")
    assert first.seconds is not None
    assert 0 < first.seconds < 60
    assert first.attempt is not None
    assert first.attempt.seconds == first.seconds
    with pytest.raises(UsageError, match="belongs to no run"):
        _ = Job(JobSpec("true")).stdout
    assert Job(JobSpec("true")).seconds is None


def test_what_people_look_at_in_a_debugger_says_what_it_is(start: Callable[..., Run]) -> None:
    with start([JobSpec("exit 3", name="bad"), JobSpec("kill -9 $$", name="worse")], slots=1, name="mine") as run:
        assert re.fullmatch(r"Run\('mine', .*\d (busy|free).*\)", repr(run))
    assert repr(run) == "Run('mine', over)"
    bad, worse = run.jobs
    assert re.fullmatch(r"Job\('bad' on localhost, error, failed, exit 3, \d+\.\d s\)", repr(bad))
    assert re.fullmatch(r"Attempt\(2\.1 on localhost, error, signalled, signal 9, \d+\.\d s\)", repr(worse.attempt))
    assert repr(Job(JobSpec("true"))) == "Job('job', free)"
    assert "localhost" in repr(Host("localhost"))


def test_a_number_in_the_environment_is_its_text_as_in_a_jobfile(start: Callable[..., Run]) -> None:
    builder = Builder().AddJob("echo $A $B", env={"A": 1, "B": 0.5})
    with start([*builder.MakeJobSpecs(), JobSpec("echo $A", env={"A": 7}, name="spec")]) as run:
        pass
    assert [job.stdout.read_text() for job in run.jobs] == ["1 0.5\n", "7\n"]


def test_a_run_that_stays_open_takes_jobs_until_it_is_finished(start: Callable[..., Run]) -> None:
    with start([], stays_open=True, slots=2) as run:
        assert repr(run) == f"Run({run.name!r}, no jobs)"
        first, = run.add([JobSpec("echo 1", name="one")])
        ends = run.as_completed(60)
        assert next(ends) is first
        assert first.stdout.read_text() == "1\n"
        two, three = run.add(Builder().AddJob("echo x", repeat=2, name="more"))
        assert {next(ends), next(ends)} == {two, three}
        with pytest.raises(TimeoutError, match="goes on"):
            run.wait(0.05)
        with pytest.raises(SshjobsError, match="has not ended in time"):
            run.wait(0.05)
        run.finish()
        assert list(ends) == []
        assert run.wait(60) == EXIT_OK
    assert [job.name for job in run.jobs] == ["one", "more-1", "more-2"]


def test_the_block_of_an_open_run_finishes_it(start: Callable[..., Run]) -> None:
    with start([], stays_open=True) as run:
        run.add([JobSpec("sleep 0.2; echo late", name="late")])
    assert run.jobs[0].stdout.read_text() == "late\n"
    assert run.wait(0) == EXIT_OK


def test_a_missing_input_is_told_by_the_addition(start: Callable[..., Run]) -> None:
    with start([], stays_open=True) as run:
        with pytest.raises(UsageError, match="gone.txt' cannot be read"):
            run.add([JobSpec("true", files=["gone.txt"])])
        assert run.jobs == []


def silent_since(run: Run) -> float | None:
    with RunReader.open(run.paths) as reader:
        (host,) = reader.hosts()
        return host.silent


def test_a_host_that_does_not_answer_is_called_silent_before_it_is_away(
        start: Callable[..., Run], lab: BaseLab) -> None:
    heard: list[dict[str, Any]] = []
    host = lab.hosts[0]

    def seen(word: str) -> list[dict[str, Any]]:
        return [event for event in heard if event["event"] == word]

    with start(specs("sleep 3918"), [host.name], ssh_config=str(lab.ssh_config), listener=heard.append) as run:
        wait_until(lambda: host.pids_with("3918"), 30, "the job to run")
        stopped = [pid for group in agents(host) for pid in group]
        assert stopped
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: seen("silent"), 30, "its silence to be told")
        assert [event["state"] for event in seen("host")] == ["up"], "it is not away yet"
        # Those who watch from another process see it too.
        wait_until(lambda: silent_since(run) is not None, 30, "its silence to be stored")
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: len(seen("silent")) == 2, 30, "it to be heard again")
        wait_until(lambda: silent_since(run) is None, 30, "the end of its silence to be stored")
        run.cancel()
    first, second = seen("silent")
    assert (first["host"], second["host"], second["seconds"]) == (host.name, host.name, None)
    assert first["seconds"] >= 5.0
    assert run.jobs[0].outcome == "cancelled"
