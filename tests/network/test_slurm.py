"""Allocations of Slurm against a scheduler that loses answers: none is left over, and never are two of one used."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.errors import HostError
from sshjobs.gjob.verbs import allocation as far
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.network import RunIdentity
from sshjobs.network.slurm import allocations, words
from sshjobs.network.slurm.allocations import Allocations
from sshjobs.network.slurm.programs import Answer, Programs
from tests.lab.waiting import wait_until

DOWN = Answer(1, "", "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)")
LOST = Answer(1, "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")


class Scheduler:
    """What Slurm does with jobs, as far as it matters here. Each call of it is a moment.

    :ivar wrong: how likely a call goes wrong
    """

    def __init__(self, rng: random.Random, wrong: float = 0.0):
        self.rng, self.wrong = rng, wrong
        self.jobs: dict[int, list[Any]] = {}
        self.late: list[list[str]] = []
        self.calls: list[list[str]] = []
        #: Submissions whose answer was lost.
        self.lost = 0

    def answer(self, argv: Sequence[str]) -> Answer:
        self.calls.append(list(argv))
        if self.late and self.rng.random() < 0.3:
            self.submit(self.late.pop())
        self.step()
        fate = self.rng.random() if self.rng.random() < self.wrong else 1.0
        if fate < 0.3:
            return DOWN
        said = getattr(self, argv[0])(list(argv), fate)
        self.lost += argv[0] == "sbatch" and fate < 0.8
        return LOST if fate < 0.8 else said

    def sbatch(self, argv: list[str], fate: float) -> Answer:
        if fate < 0.5:
            # It is on its way, and slurmctld hears of it later.
            self.late.append(argv)
            return LOST
        return Answer(0, f"{self.submit(argv)}\n", "")

    def submit(self, argv: list[str]) -> int:
        (name,) = [word.partition("=")[2] for word in argv if word.startswith("--job-name=")]
        assert "--dependency=singleton" in argv
        number = len(self.jobs) + 1
        self.jobs[number] = [name, "PENDING"]
        return number

    def step(self) -> None:
        """Start what may start: of one name one at a time, the oldest."""
        for number, (name, state) in sorted(self.jobs.items()):
            others = [one for other, one in self.jobs.items() if other != number and one[0] == name]
            if state == "PENDING" and not any(one[1] in ("RUNNING", "COMPLETING") for one in others) and (
                    self.rng.random() < 0.5):
                self.jobs[number][1] = "RUNNING"
            elif state == "COMPLETING" and self.rng.random() < 0.5:
                self.jobs[number][1] = "CANCELLED"

    def squeue(self, argv: list[str], fate: float) -> Answer:
        names = next(word.partition("=")[2].split(",") for word in argv if word.startswith("--name="))
        lines = [f"{number}|{state}|{name}|1:00:00|{'n1' if state == 'RUNNING' else ''}|Priority"
                 for number, (name, state) in self.jobs.items() if name in names]
        return Answer(0, "".join(f"{line}\n" for line in lines), "")

    def scancel(self, argv: list[str], fate: float) -> Answer:
        for word in argv[1:]:
            job = self.jobs[int(word)]
            job[1] = "COMPLETING" if job[1] == "RUNNING" else "CANCELLED" if job[1] == "PENDING" else job[1]
        return Answer(0, "", "")

    def live(self) -> list[int]:
        return [number for number, (_, state) in self.jobs.items() if state in ("PENDING", "RUNNING")]


class FakePrograms(Programs):
    """Calls the scheduler."""

    def __init__(self, scheduler: Scheduler, login: str | None = None):
        super().__init__(login, None)
        self.scheduler = scheduler

    async def call(self, argv: Sequence[str], data: bytes = b"", variables: Mapping[str, str] | None = None,
                   limit: float | None = None) -> Answer:
        await asyncio.sleep(0)
        return self.scheduler.answer(argv)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask as often as there is something to ask."""
    for name in ("LOOK_EVERY_S", "FIRST_LOOK_S", "LAST_PAUSE_S"):
        monkeypatch.setattr(allocations, name, 0.0)


def manager(scheduler: Scheduler, epoch: int = 1, known: Mapping[str, Mapping[str, Any]] | None = None) -> Allocations:
    return Allocations(RunIdentity("ab" * 16, "run", epoch), lambda login: FakePrograms(scheduler, login), known or {})


async def until_found(made: Allocations, host: Any, tries: int = 200) -> tuple[str, str]:
    for _ in range(tries):
        try:
            return await made.find(host)
        except HostError as error:
            if error.lasting:
                raise
    raise AssertionError("never found")


def test_of_a_thousand_submissions_whose_answers_are_lost_none_is_left_and_none_is_used_twice(hasty: None) -> None:
    (host,) = load_hosts("slurm:")

    async def play(seed: int) -> int:
        rng = random.Random(seed)
        scheduler = Scheduler(rng, 0.9)
        known, used, epoch = dict[str, Any](), set[str](), 0
        # Managers that die at any moment, and one that ends in good order.
        for last in (False,) * rng.randrange(3) + (True,):
            epoch += 1
            made = manager(scheduler, epoch, known)
            for _ in range(rng.randrange(1, 12) if not last else 300):
                try:
                    job, node = await made.find(host)
                except HostError as error:
                    assert not error.lasting, error
                    continue
                used.add(job)
                known = {host.name: {"slurm_job": job, "slurm_node": node}}
                # While it lives, no other one is given.
                assert [number for number in scheduler.live() if scheduler.jobs[number][1] == "RUNNING"] == [int(job)]
                if last:
                    break
            if last:
                scheduler.wrong = 0.0
                while scheduler.late:
                    scheduler.submit(scheduler.late.pop())
                assert await made.give_back([host], ()) == []
        assert scheduler.live() == [], (seed, scheduler.jobs)
        assert len(used) == 1, (seed, used)
        return scheduler.lost

    lost, seed = 0, 0
    while lost < 1_000:
        lost, seed = lost + asyncio.run(play(seed)), seed + 1


def test_a_lost_answer_is_looked_for_by_name_before_anything_is_sent_again(hasty: None) -> None:
    scheduler = Scheduler(random.Random(1))
    (host,) = load_hosts("slurm:")

    async def play() -> None:
        made = manager(scheduler)
        scheduler.wrong = 1.0
        scheduler.rng = random.Random(3)
        with pytest.raises(HostError) as waits:
            await made.find(host)
        assert waits.value.waits and not waits.value.lasting
        scheduler.wrong = 0.0
        await until_found(made, host)

    asyncio.run(play())
    kinds = [argv[0] for argv in scheduler.calls]
    assert kinds[:2] == ["sbatch", "squeue"]


def test_slurm_is_asked_about_all_allocations_in_one_call_and_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler(random.Random(1))
    monkeypatch.setattr(scheduler, "step", lambda: None)  # the cluster is full
    hosts = load_hosts("slurm:nodes=2,slurm:,slurm:")

    async def play() -> None:
        now, made = 0.0, manager(scheduler)

        async def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds

        monkeypatch.setattr(allocations, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
        while now < 600:
            for host in hosts:
                with pytest.raises(HostError, match="cannot be used yet"):
                    await made.find(host)
            now += 1.0

    asyncio.run(play())
    looks = [argv for argv in scheduler.calls if argv[0] == "squeue"]
    assert 600 / 15 - 1 <= len(looks) <= 600 / 15 + 6
    names = looks[-1][4].partition("=")[2].split(",")
    assert names == [words.job_name("ab" * 16, name) for name in ("slurm1", "slurm2", "slurm3")]
    assert sum(argv[0] == "sbatch" for argv in scheduler.calls) == 3


def test_values_are_arguments_of_sbatch_and_the_script_is_always_the_same() -> None:
    (host, _) = load_hosts("slurm:partition=gpu,nodes=2,time=90m,account=a1,qos=low,constraint=x&y,gres=gpu:a100:2 "
                           "slots=8 memory=16G python=/opt/python3")
    argv = words.submission("name", host)
    for word in ("--partition=gpu", "--nodes=2", "--time=90:00", "--account=a1", "--qos=low", "--constraint=x&y",
                 "--gres=gpu:a100:2", "--cpus-per-task=8", "--mem=16384M", "--no-requeue", "--dependency=singleton"):
        assert word in argv
    assert b"gpu" not in words.script() and b"/opt/python3" not in words.script()
    (whole,) = load_hosts("slurm:")
    assert {"--exclusive", "--mem=0"} <= set(words.submission("name", whole))


@pytest.mark.parametrize("line", ["", "x", "1|RUNNING", "1|R;N|a|1|n1|", "99999999999999|RUNNING|a|1|n1|None"])
def test_what_squeue_cannot_have_said_proves_nothing(line: str) -> None:
    assert words.seen(Answer(0, line, "")) in ([], None)
    assert words.seen(Answer(1, "", "")) is None
    assert (words.seen(Answer(0, line, "")) == []) == (line == "")


def test_a_node_that_does_not_answer_and_an_end_under_way_are_no_end() -> None:
    def one(state: str) -> words.Seen:
        found = words.seen(Answer(0, f"7|{state}|a|0:00|n[1-2,4]|None\n", ""))
        assert found is not None and len(found) == 1
        return found[0]

    assert not one("NODE_FAIL").over and not one("COMPLETING").over and not one("SUSPENDED").over
    assert one("CANCELLED").over and one("TIMEOUT").over
    assert one("RUNNING").nodes == ["n1", "n2", "n4"]


@pytest.mark.parametrize("text, seconds", [("5:00", 300.0), ("1-02:03:04", 93784.0), ("0:01", 1.0), ("UNLIMITED", None),
                                           ("INVALID", None), ("2:00:00", 7200.0)])
def test_the_time_that_is_left_is_read_as_slurm_writes_it(text: str, seconds: float | None) -> None:
    found = words.seen(Answer(0, f"7|RUNNING|a|{text}|n1|None\n", ""))
    assert found is not None and [one.left for one in found] == [seconds]


@pytest.mark.parametrize("said, refuses", [
    (LOST, False), (DOWN, False), (Answer(None, "", ""), False), (Answer(-9, "", ""), False),
    (Answer(1, "", "sbatch: error: Batch job submission failed: Invalid partition name specified"), True),
    (Answer(1, "", "sbatch: error: If munged is up, restart with --num-threads=10"), False),
])
def test_only_what_slurm_says_clearly_is_a_refusal(said: Answer, refuses: bool) -> None:
    assert words.refused(said, by_ssh=False) is refuses


def test_what_slurm_says_is_shown_bounded_and_without_control_characters() -> None:
    said = Answer(1, "", "sbatch: error: \x1b[31mno\x07 " + "x" * 9000).words
    assert len(said) <= 200 and not any(letter < " " for letter in said)


def test_an_allocation_that_nobody_wants_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    code = ("import sys; from sshjobs.gjob.verbs import allocation as far; far.IDLE_S = 0.5; far.LOOK_S = 0.05; "
            "sys.exit(far.wait('import sys; print(1, flush=True); sys.stdin.read()'))")
    monkeypatch.setenv("SLURM_JOB_ID", str(os.getpid()))
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    waits = subprocess.Popen([sys.executable, "-c", code])
    try:
        link = subprocess.Popen([sys.executable, "-c", "from sshjobs.gjob.verbs import allocation as far; far.link()"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert link.stdin is not None and link.stdout is not None
        assert link.stdout.readline() == b"1\n"
        began = time.monotonic()
        # It has a link, so it is wanted, for longer than it would wait.
        with pytest.raises(subprocess.TimeoutExpired):
            waits.wait(1.0)
        assert time.monotonic() - began >= 1.0
        link.kill()
        link.communicate()
        assert waits.wait(20) == 0
    finally:
        waits.kill()
        waits.wait()


def test_who_is_another_user_gets_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    with one, other:
        monkeypatch.setattr(far, "_user_behind", lambda link: os.getuid() + 1)
        far._take(one, "raise SystemExit('started')")
        assert other.recv(1) == b""


def test_nothing_of_slurm_is_loaded_without_such_a_host() -> None:
    code = ("import sys; from sshjobs import Network; n = Network('r', ['localhost']); n._transport_of(n.hosts['localhost']); "
            "sys.exit(any('slurm.' in name or name.endswith('.slurm') for name in sys.modules))")
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_program_that_hangs_is_ended_with_all_that_it_started() -> None:
    async def play() -> Answer:
        return await Programs(None, None).call(["sh", "-c", "sleep 987 & sleep 987"], limit=0.2)

    assert asyncio.run(play()).status is None
    wait_until(lambda: subprocess.run(["pgrep", "-f", "sleep 987"], stdout=subprocess.DEVNULL, check=False).returncode == 1,
               10, "the end of what it started")
