"""Quarantine and the schedule together: what a person decided stays, and never is every host kept away."""

from __future__ import annotations

from sshjobs.host import Host
from sshjobs.quarantine import Quarantine
from sshjobs.schedule import Schedule
from sshjobs.spec import Attempt, Job, JobSpec
from sshjobs.states import Outcome


def end(host: str, outcome: str) -> tuple[Job, Attempt]:
    job = Job(JobSpec("true"))
    attempt = job.new_attempt(host, "token")
    attempt.outcome, attempt.exit_status = Outcome(outcome), 1
    attempt.started, attempt.ended = 100.0, 100.01
    return job, attempt


def test_when_every_host_is_suspect_none_is():
    schedule, said = Schedule([Host("a"), Host("b")]), []
    for host in "ab":
        schedule.host_up(host, 1)
    quarantine = Quarantine(schedule, "ab", lambda *words: said.append(words))
    for host in "ab" * 30:
        quarantine.note(*end(host, "succeeded"), 0.0)
    for _ in range(20):
        quarantine.note(*end("a", "failed"), 0.0)
    assert schedule.is_drained("a")
    # The last host is never suspected while no other is left to try a job on.
    for _ in range(40):
        quarantine.note(*end("b", "failed"), 0.0)
    assert not schedule.is_drained("b")


def test_a_host_that_goes_away_does_not_leave_only_suspects():
    schedule, said = Schedule([Host("a"), Host("b")]), []
    for host in "ab":
        schedule.host_up(host, 1)
    quarantine = Quarantine(schedule, "ab", lambda *words: said.append(words))
    for host in "ab" * 30:
        quarantine.note(*end(host, "succeeded"), 0.0)
    for _ in range(20):
        quarantine.note(*end("a", "failed"), 0.0)
    schedule.host_down("b", lasting=False)
    quarantine.note(*end("b", "failed"), 0.0)
    assert not schedule.is_drained("a")
    assert said[-1][0] == "a"


def test_what_a_person_drained_stays_drained():
    schedule = Schedule([Host("a"), Host("b")])
    for host in "ab":
        schedule.host_up(host, 1)
    quarantine = Quarantine(schedule, "ab", lambda *words: None)
    schedule.drain("a", True)
    for host in "ab" * 30:
        quarantine.note(*end(host, "succeeded"), 0.0)
    for _ in range(20):
        quarantine.note(*end("a", "failed"), 0.0)
    quarantine.note(*end("a", "succeeded"), 0.0)
    assert schedule.is_drained("a")
