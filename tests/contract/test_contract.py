"""What a network promises to a manager, over every transport."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sshjobs import Attempt, Job, JobSpec, Network, Outcome, UsageError
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.states import FINAL_STATES
from sshjobs.network import HostDown, HostUp, RunIdentity
from sshjobs.network.transport import TRANSPORTS, make_transport, transport_class
from sshjobs.store.rundir import create_run
from tests.lab import wait_until

DEADLINE = 30.0


class Rig:
    """A network over one transport, driven as a manager drives it."""

    def __init__(self, make: Callable[[], Network], results: Path):
        self.make, self.run = make, RunIdentity(secrets.token_hex(16), "contract", 1)
        self.paths = create_run(results, name="contract")
        self.network = make()
        self.hosts = self.network.GetHosts()
        self.count = 0

    def open(self, adopted: list[Job] | None = None) -> None:
        self.network.adopt(adopted or [], {})
        self.network.open(self.run, self.paths)
        up: set[str] = set()
        self.until(lambda: up >= set(self.hosts), lambda news: up.update(
            event.host for event in news.hosts if isinstance(event, HostUp)))

    def until(self, condition: Callable[[], bool], look: Callable = lambda news: None) -> None:
        deadline, down = time.monotonic() + DEADLINE, dict[str, HostDown]()
        while not condition():
            assert time.monotonic() < deadline, f"the network did not get there in time; {down}"
            news = self.network.wait(0.2)
            down.update((event.host, event) for event in news.hosts if isinstance(event, HostDown))
            look(news)

    def job(self, commands: str, **keys) -> Job:
        job = Job(JobSpec([commands], **keys), self.count, f"job {self.count}")
        self.count += 1
        return job

    def launch(self, job: Job, host: str | None = None) -> Attempt:
        attempt = job.new_attempt(host or self.hosts[0], secrets.token_hex(16))
        job.id_ = self.network.LaunchJob(job, attempt.host)
        return attempt

    def end(self, *attempts: Attempt) -> None:
        self.until(lambda: all(attempt.state in FINAL_STATES for attempt in attempts))

    def started(self, attempt: Attempt) -> None:
        self.until(lambda: attempt.started is not None)

    def another_manager(self) -> None:
        """Leave as a manager that dies, and come back as its successor."""
        self.network.close(finished=False)
        self.run = self.run.__class__(self.run.uid, self.run.name, self.run.epoch + 1)
        self.network = self.make()


@pytest.fixture(params=TRANSPORTS)
def rig(request, lab, clean_home, tmp_path) -> Iterator[Rig]:
    transport = request.param
    hosts = lab.names[:2] if transport_class(transport).by_ssh else ["one", "two"]
    named = [replace(host, env=(("OF_HOST", "it's"), ("BOTH", "host")), wrap=("env", "WRAPPED=yes"))
             for host in load_hosts(hosts)]

    def make() -> Network:
        return Network(str(tmp_path), named, transport=transport, slots=2, ssh_config=str(lab.ssh_config))

    made = Rig(make, tmp_path)
    yield made
    made.network.close(finished=True)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_transport_is_found_under_its_own_name(name):
    assert transport_class(name).name == make_transport(name).name == name


def test_a_launched_job_runs_and_all_of_it_comes_back(rig):
    rig.open()
    job = rig.job("printf 'out\\000\\377'; printf err >&2; exit 7")
    attempt = rig.launch(job)
    rig.end(attempt)
    assert (attempt.outcome, attempt.exit_status) == (Outcome.FAILED, 7)
    assert rig.paths.stdout(job.name).read_bytes() == b"out\x00\xff"
    assert rig.network.GetStdout(job) == "out\x00\udcff"
    assert rig.network.GetStderr(job) == "err"
    assert job.id_ == f"{rig.hosts[0]}/{attempt.uid}"
    assert attempt.started is not None and attempt.ended is not None and attempt.started <= attempt.ended


def test_what_is_said_of_a_host_holds_for_its_jobs_and_what_a_job_says_itself_counts_more(rig):
    rig.open()
    plain = rig.job('echo "$OF_HOST $BOTH $WRAPPED"')
    own = rig.job('echo "$OF_HOST $BOTH ${WRAPPED-no}"', env={"BOTH": "job"}, wrap=[])
    rig.end(rig.launch(plain), rig.launch(own))
    assert (rig.network.GetStdout(plain), rig.network.GetStdout(own)) == ("it's host yes\n", "it's job no\n")


def test_states_come_in_the_order_of_the_question(rig):
    rig.open()
    jobs = [rig.job(f"exit {n % 2}") for n in range(8)]
    rig.end(*[rig.launch(job, rig.hosts[n % 2]) for n, job in enumerate(jobs)])
    assert rig.network.GetJobStatus(jobs) == ["done", "error"] * 4
    assert rig.network.GetJobStatus(jobs[::-1]) == ["error", "done"] * 4


def test_a_held_launch_does_not_leave_before_the_flush(rig):
    rig.open()
    rig.network.hold()
    job = rig.job("true")
    attempt = rig.launch(job)
    probe = Network(rig.network.results_dir, rig.hosts)  # a bystander that never opens costs nothing
    assert probe.close(finished=True) == []
    for _ in range(3):
        assert rig.network.wait(0.1).jobs == []
    rig.network.flush()
    rig.end(attempt)
    assert attempt.outcome is Outcome.SUCCEEDED


def test_launching_the_same_attempt_again_starts_it_once(rig, tmp_path):
    rig.open()
    job = rig.job("echo started >> ~/contract-$SSHJOBS_RUN-twice; cat ~/contract-$SSHJOBS_RUN-twice; "
                  "rm ~/contract-$SSHJOBS_RUN-twice; sleep 0.5")
    attempt = rig.launch(job)
    for _ in range(3):
        rig.network.LaunchJob(job, attempt.host)
    rig.end(attempt)
    assert rig.network.GetStdout(job) == "started\n"


def test_output_grows_while_the_job_runs(rig):
    rig.open()
    job = rig.job("echo first; while [ ! -e go ]; do sleep 0.05; done; echo second", files=[])
    attempt = rig.launch(job)
    rig.until(lambda: rig.network.GetStdout(job) == "first\n")
    assert attempt.state == "busy"
    rig.network.cancel(job)
    rig.end(attempt)
    assert rig.network.GetStdout(job) == "first\n"


def test_a_cancelled_job_ends_with_all_of_its_tree(rig):
    rig.open()
    # Lengths that nobody else on this machine sleeps for.
    one, two = (f"30000.{secrets.randbelow(10**9):09}" for _ in range(2))
    job = rig.job(f"trap '' TERM; setsid sleep {one} & echo up; sleep {two}")
    attempt = rig.launch(job)
    rig.until(lambda: rig.network.GetStdout(job) == "up\n")
    rig.network.cancel(job)
    rig.end(attempt)
    assert attempt.outcome is Outcome.CANCELLED
    probe = rig.job(f"pgrep -f '[s]leep ({one}|{two})' || echo none")
    rig.end(rig.launch(probe))
    assert rig.network.GetStdout(probe) == "none\n"


def test_a_job_that_waits_behind_others_is_cancelled_without_a_start(rig):
    rig.open()
    running = [rig.job("sleep 30") for _ in range(2)]
    attempts = [rig.launch(job) for job in running]
    waiting = rig.job("touch ~/must-not-be")
    held = rig.launch(waiting)
    rig.network.cancel(waiting)
    rig.end(held)
    assert held.outcome is Outcome.CANCELLED and held.started is None
    for job in running:
        rig.network.cancel(job)
    rig.end(*attempts)


def test_files_are_in_place_before_the_first_line_and_sent_once(rig, tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "x.txt").write_text("deep")
    (tmp_path / "data" / "empty").mkdir()
    (tmp_path / "run.sh").write_text("#!/bin/sh\necho ran \"$@\"\n")
    (tmp_path / "run.sh").chmod(0o755)
    rig.open()
    jobs = [rig.job("cat data/deep/x.txt; ls data; ./run.sh here", files=["data", "run.sh"], base_dir=tmp_path)
            for _ in range(4)]
    rig.end(*[rig.launch(job) for job in jobs])
    assert {rig.network.GetStdout(job) for job in jobs} == {"deepdeep\nempty\nran here\n"}


def test_a_missing_file_ends_the_job_with_its_reason(rig, tmp_path):
    rig.open()
    attempt = rig.launch(rig.job("true", files=["not-there"], base_dir=tmp_path))
    rig.end(attempt)
    assert attempt.outcome is Outcome.NEVER_STARTED
    assert "not-there" in (attempt.reason or "")


def test_a_successor_adopts_what_runs_and_collects_what_ended(rig, tmp_path):
    rig.open()
    short, long = rig.job("echo short"), rig.job("echo before; sleep 1.5; echo after; exit 5")
    first, second = rig.launch(short), rig.launch(long)
    rig.started(second)
    rig.until(lambda: rig.network.GetStdout(long) == "before\n")
    rig.another_manager()
    for attempt in (first, second):
        if attempt.state not in FINAL_STATES:
            attempt.state = "unknown"
    rig.open([short, long])
    rig.end(first, second)
    assert (first.outcome, second.outcome) == (Outcome.SUCCEEDED, Outcome.FAILED)
    assert second.exit_status == 5
    assert rig.network.GetStdout(short) == "short\n"
    assert rig.network.GetStdout(long) == "before\nafter\n"


def test_a_released_attempt_leaves_nothing_on_the_host(rig):
    rig.open()
    job = rig.job("echo x > file; echo out")
    attempt = rig.launch(job)
    rig.end(attempt)
    released: list[Attempt] = []
    rig.network.release([attempt])
    rig.until(lambda: bool(released), lambda news: released.extend(news.released))
    assert released == [attempt] and attempt.released

    def left() -> str:
        probe = rig.job("find ~/.sshjobs -name '1.1*'")
        rig.end(rig.launch(probe))
        return rig.network.GetStdout(probe)

    # The host tidies when nothing runs there.
    wait_until(lambda: left() == "", 30, "the host to forget it")


def test_a_host_that_is_not_there_is_a_usage_error(rig):
    rig.open()
    with pytest.raises(UsageError, match="no host is called 'nowhere'"):
        rig.network.LaunchJob(rig.job("true"), "nowhere")
