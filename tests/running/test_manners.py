"""Hosts that take no jobs for the moment, or no more: schedule, store and people are told the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sshjobs.errors import EXIT_USAGE, HostError
from sshjobs.model.causes import Cause
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_ERROR, Outcome
from sshjobs.network.contract import HostClosed, HostDown, HostUp, Manner, News
from sshjobs.scheduling.verdict import judge
from sshjobs.store import RunReader
from sshjobs.store.rows import HostRow
from tests.conftest import SshjobsCli
from tests.running.test_runhosts import FACTS, Scene


class Polite(Scene):
    def __init__(self, results: Path, *hosts: Host):
        super().__init__(results)
        for host in hosts:
            self.wires.hosts[host.name] = host

    def says(self, host: str, why: str | None, seconds: float | None = None, value: float | None = None) -> None:
        self.hosts.take(News(manners={host: Manner(host, why, seconds, value)}))

    def rows(self) -> dict[str, HostRow]:
        self.store.commit()
        with RunReader.open(self.store.paths) as reader:
            return {row.host.name: row for row in reader.hosts()}

    def heard(self) -> list[HostClosed]:
        found, self.said[:] = [event for event in self.said if isinstance(event, HostClosed)], []
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Polite]:
    made = Polite(tmp_path, Host("a", only=(1200, 480), max_load=8.0, min_free=8 << 30), Host("b", slots=2, until=500.0))
    made.up("a", "b")
    made.said.clear()
    yield made
    made.store.close()


def test_a_host_that_closes_gets_nothing_more_gives_back_what_waits_and_is_told_of_once(scene: Polite) -> None:
    started, held = scene.launch("started", "a"), scene.launch("held", "a")
    started.attempts[-1].started = 1.0
    scene.says("a", "away")
    scene.says("a", "away")
    assert scene.wires.told == [("fence", held.name)]
    assert not scene.schedule.hosts["a"].usable and scene.schedule.hosts["b"].usable
    row = scene.rows()["a"]
    assert (row.state, row.reason) == (
        "closed", "its owner wants it, by the file ~/.sshjobs/away or /etc/sshjobs/away there; it takes jobs again when that is gone")
    assert scene.heard()[0] == HostClosed("a", "away", f"a: {row.reason}")
    scene.says("a", None)
    assert scene.schedule.hosts["a"].usable and scene.rows()["a"].state == "up"
    assert scene.heard() == [HostClosed("a", None, "")]


@pytest.mark.parametrize(("why", "seconds", "value", "words"), [
    ("hours", 3600.0, None, "it takes jobs from 20:00 to 08:00 by its own clock, so again at "),
    ("load", None, 9.25, "its load of 9.2 is above max_load=8"),
    ("memory", None, 3.5 * (1 << 30), "too little of its memory is free: 3.5G (min_free=8G)"),
    ("until", None, None, "the time that it was lent for is over"),
    # What a host says that was asked for nothing.
    ("load", None, None, "its load is above max_load=8"), ("memory", None, None, "too little of its memory is free: little (min_free=8G)")])
def test_why_a_host_takes_no_jobs_is_said_in_words(scene: Polite, why: str, seconds: float | None, value: float | None,
                                                   words: str) -> None:
    scene.says("a", why, seconds, value)
    assert (scene.rows()["a"].reason or "").startswith(words)


def test_what_a_host_said_holds_as_long_as_its_connection(scene: Polite) -> None:
    scene.says("a", "hours", 3600.0)
    scene.hosts.take(News(hosts=[HostDown("a", HostError("timeout", "a", "no answer in time"))]))
    assert scene.rows()["a"].state == "away"
    scene.hosts.take(News(hosts=[HostUp("a", {**FACTS, "machine": "a"})]))
    assert scene.rows()["a"].state == "up" and scene.schedule.hosts["a"].usable
    # The new connection says the same right behind its welcome.
    scene.hosts.take(News(hosts=[HostUp("a", {**FACTS, "machine": "a"})], manners={"a": Manner("a", "hours", 60.0, None)}))
    assert scene.rows()["a"].state == "closed" and not scene.schedule.hosts["a"].usable


def test_a_word_of_a_host_that_has_left_changes_nothing(scene: Polite) -> None:
    scene.hosts.remove(scene.wires.hosts["a"])
    assert scene.hosts.part(lambda host: False) == ["a"]
    scene.says("a", "away")
    assert scene.heard() == []


def test_a_host_is_used_until_it_is_given_back_and_no_longer(scene: Polite) -> None:
    scene.hosts.manners.look()
    assert scene.hosts.look_within() == 400.0
    held = scene.launch("held", "b")
    scene.wires.now = 499.0
    scene.hosts.manners.look()
    assert scene.schedule.hosts["b"].usable
    scene.wires.now = 500.0
    scene.hosts.manners.look()
    assert scene.wires.told == [("fence", held.name)]
    assert scene.schedule.hosts["b"].over and not scene.schedule.hosts["b"].usable
    row = scene.rows()["b"]
    assert row.state == "closed" and (row.reason or "").startswith("it was lent until ")
    assert [event.kind for event in scene.heard()] == ["until"]
    # What it says itself, or that it comes back, changes nothing.
    scene.says("b", None)
    scene.up("b")
    assert scene.rows()["b"].state == "closed" and not scene.schedule.hosts["b"].usable
    assert scene.hosts.look_within() is None


def test_jobs_that_may_run_on_such_hosts_alone_are_given_up(scene: Polite) -> None:
    job = Job(JobSpec(["true"], hosts=["b"]))
    scene.schedule.add(job)
    scene.wires.now = 500.0
    scene.hosts.manners.look()
    assert scene.schedule.hopeless() == [job]
    assert "b: it was lent until" in scene.hosts.watch.why_hopeless(["b"], scene.hosts.manners.over)


def test_no_job_is_started_that_would_not_be_over_and_people_are_told(scene: Polite) -> None:
    slow = JobSpec(["slow"], name="slow", hosts=["b"])
    scene.schedule.note_duration(slow, "b", 300.0)
    scene.schedule.add(Job(slow, name="slow-2"))
    scene.wires.now = 250.0
    assert scene.schedule.next(scene.wires.now) is None
    scene.hosts.manners.look()
    row = scene.rows()["b"]
    assert row.state == "up" and "none of those that wait is likely to be over by then" in (row.reason or "")
    scene.schedule.add(Job(JobSpec(["quick"], name="quick", hosts=["b"])))
    assert scene.schedule.next(scene.wires.now) is not None


def test_what_goes_on_when_its_host_opens_again_need_not_be_over_before(scene: Polite) -> None:
    for host, at_end in (("a", "pause"), ("a", "stop")):
        scene.wires.hosts[host] = replace(scene.wires.hosts[host], at_end=at_end)
        scene.says(host, None, 60.0)
        assert (scene.schedule.hosts[host].fits is None) is (at_end == "pause")


def test_what_was_stopped_at_the_end_is_run_again_and_counts_for_nothing() -> None:
    job = Job(JobSpec(["true"], host_retries=0))
    for _ in range(20):
        attempt = job.new_attempt("a", "token")
        attempt.state, attempt.outcome, attempt.cause = STATE_ERROR, Outcome.LOST, Cause.CLOSED
        verdict = judge(job, cancelled=False)
        assert verdict.again
    assert "the time that its host has for jobs was over" in (verdict.reason or "")


JOB = "jobs: [argv: ['nice']]\n"


@pytest.mark.parametrize(("words", "jobfile", "expected"), [
    (["--hosts", "hosts.txt"], JOB, "hosts.txt:2:11: only must be a time of the day, got '25:00'; write only=20:00-08:00"),
    (["--manners", "max_load=8 at_end=maybe"], JOB, "sshjobs: --manners are wrong: at_end must be one of finish, stop, pause, got 'maybe'"),
    (["--manners", "slots=2"], JOB, "sshjobs: --manners cannot be 'slots=2'; there are max_load=, min_free=, only=, at_end=, until=, nice="),
    (["--manners", ""], JOB, "sshjobs: --manners must be text such as max_load=8 only=20:00-08:00, got ''"),
    ([], JOB + "manners: nice=99\n", "jobs.yaml:2:10: manners are wrong: nice must be a number from 0 to 19, got '99'"),
    ([], JOB + "manners: [nice=9]\n", "jobs.yaml:2:10: manners must be text such as max_load=8 only=20:00-08:00, got ['nice=9']"),
    ([], JOB + "manners: nice=1 nice=2\n", "jobs.yaml:2:10: manners are wrong: nice= is given twice; keep one of them")])
def test_what_no_manner_can_be_is_one_line_and_nothing_is_started(sshjobs_cli: SshjobsCli, tmp_path: Path, words: list[str],
                                                                  jobfile: str, expected: str) -> None:
    (tmp_path / "hosts.txt").write_text("localhost\nb slots=4 only=25:00\n")
    (tmp_path / "jobs.yaml").write_text(jobfile)
    told = sshjobs_cli("run", "jobs.yaml", *words)
    assert (told.returncode, told.stderr.strip()) == (EXIT_USAGE, expected)
    assert not (tmp_path / "results").exists()


def test_manners_of_a_run_are_for_hosts_that_say_nothing_about_them(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    def niceness(*words: str) -> int:
        told = sshjobs_cli("run", "jobs.yaml", "--output", "grouped", "-q", *words)
        assert told.returncode == 0, told.stderr
        return int(told.stdout.splitlines()[0]) - usual
    usual = 0
    (tmp_path / "jobs.yaml").write_text(JOB)
    usual = niceness()
    (tmp_path / "jobs.yaml").write_text(JOB + "manners: nice=7 max_load=1000\n")
    assert niceness() == min(7, 19 - usual)
    assert niceness("--manners", "nice=3") == min(3, 19 - usual)
    assert niceness("--hosts", "localhost nice=2", "--manners", "nice=3") == min(2, 19 - usual)
