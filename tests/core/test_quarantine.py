"""Quarantine and the schedule together: what a person decided stays, and never is every host kept away."""

from __future__ import annotations

import sys

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_ERROR, Outcome
from sshjobs.scheduling.health import FIRST_FULL, LONGEST_FULL
from sshjobs.scheduling.quarantine import Quarantine
from sshjobs.scheduling.retries import retry_wanted
from sshjobs.scheduling.schedule import Schedule


def end(host: str, outcome: str) -> tuple[Job, Attempt]:
    job = Job(JobSpec("true"))
    attempt = job.new_attempt(host, "token")
    attempt.outcome, attempt.exit_status = Outcome(outcome), 1
    attempt.started, attempt.ended = 100.0, 100.01
    return job, attempt


def a_spoils_jobs() -> tuple[Schedule, Quarantine, list[tuple[str, bool, str]]]:
    """Two hosts that have done well, and one of them, a, that is kept away since it has failed many."""
    schedule, said = Schedule([Host("a"), Host("b")]), list[tuple[str, bool, str]]()
    for host in "ab":
        schedule.host_up(host, 1)
    quarantine = Quarantine(schedule, "ab", lambda *words: said.append(words))
    for host in "ab" * 30:
        quarantine.note(*end(host, "succeeded"), 0.0)
    for _ in range(20):
        quarantine.note(*end("a", "failed"), 0.0)
    assert schedule.hosts.is_kept_away("a")
    return schedule, quarantine, said


def test_when_every_host_is_suspect_none_is():
    schedule, quarantine, _ = a_spoils_jobs()
    # The last host is never suspected while no other is left to try a job on.
    for _ in range(40):
        quarantine.note(*end("b", "failed"), 0.0)
    assert not schedule.hosts.is_kept_away("b")


def test_a_host_that_goes_away_does_not_leave_only_suspects():
    schedule, quarantine, said = a_spoils_jobs()
    # Suspect is not quarantined: no job of those that failed there has passed elsewhere.
    assert not quarantine.is_quarantined("a") and not quarantine.is_quarantined("b")
    schedule.host_down("b", lasting=False)
    quarantine.note(*end("b", "failed"), 0.0)
    assert not schedule.hosts.is_kept_away("a")
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
    assert schedule.hosts.is_drained("a")


# -- hosts without room ----------------------------------------------------------------------------------------------


def given_back(host: str, cause: Cause = Cause.NO_ROOM) -> tuple[Job, Attempt]:
    job = Job(JobSpec("true", host_retries=0, once=True))
    attempt = job.new_attempt(host, "token")
    attempt.outcome, attempt.cause, attempt.reason = Outcome.NEVER_STARTED, cause, "the disk is full"
    return job, attempt


def one_host() -> tuple[Schedule, Quarantine, list[tuple[str, bool, str]]]:
    schedule, said = Schedule([Host("a")]), list[tuple[str, bool, str]]()
    schedule.host_up("a", 4)
    return schedule, Quarantine(schedule, "a", lambda *words: said.append(words)), said


def test_a_host_without_room_gets_nothing_until_its_canary_has_started_even_if_it_is_the_only_one():
    schedule, quarantine, said = one_host()
    for _ in range(3):
        quarantine.note(*given_back("a"), 0.0)
    assert schedule.hosts.is_kept_away("a")
    assert said == [("a", False, "the disk is full: waits; make room, it goes on by itself")]
    schedule.add(Job(JobSpec("true")))
    assert quarantine.canaries(FIRST_FULL / 2) == []
    ((canary, host),) = quarantine.canaries(FIRST_FULL)
    assert host == "a"
    attempt = canary.new_attempt("a", "token")
    quarantine.note_start(canary, attempt)
    assert not schedule.hosts.is_kept_away("a")
    assert said[-1] == ("a", True, "there is room again")


def test_a_host_that_stays_full_is_tried_ever_more_seldom_and_never_given_up():
    schedule, quarantine, said = one_host()
    quarantine.note(*given_back("a"), 0.0)
    now, tries = 0.0, []
    while now < 600.0:
        schedule.add(Job(JobSpec("true")))
        for job, host in quarantine.canaries(now):
            tries.append(now)
            attempt = job.new_attempt(host, "token")
            attempt.outcome, attempt.cause, attempt.reason = Outcome.NEVER_STARTED, Cause.NO_ROOM, "the disk is full"
            quarantine.note(job, attempt, now)
        now += 0.5
    pauses = [later - at for at, later in zip(tries, tries[1:], strict=False)]
    assert pauses == sorted(pauses) and pauses[-1] == LONGEST_FULL
    assert len(said) == 1


def test_a_canary_that_was_given_up_with_its_host_makes_room_for_another():
    schedule, quarantine, _ = one_host()
    quarantine.note(*given_back("a"), 0.0)
    for _ in range(2):
        schedule.add(Job(JobSpec("true")))
    ((canary, host),) = quarantine.canaries(10.0)
    attempt = canary.new_attempt(host, "token")
    assert quarantine.canaries(20.0) == []
    attempt.state, attempt.outcome = STATE_ERROR, Outcome.LOST
    assert len(quarantine.canaries(30.0)) == 1


def test_an_end_of_what_ran_there_before_says_nothing_about_room():
    schedule, quarantine, _ = one_host()
    quarantine.note(*given_back("a"), 0.0)
    for outcome in ("succeeded", "failed"):
        quarantine.note(*end("a", outcome), 0.0)
    assert schedule.hosts.is_kept_away("a")


def test_what_was_given_back_counts_against_no_job_and_no_host():
    job, attempt = given_back("a")
    for _ in range(20):
        assert retry_wanted(job, Outcome.NEVER_STARTED)
        attempt = job.new_attempt("a", "token")
        attempt.outcome, attempt.cause, attempt.reason = Outcome.NEVER_STARTED, Cause.NO_ROOM, "the disk is full"
    schedule = Schedule([Host("a"), Host("b")])
    for host in "ab":
        schedule.host_up(host, 1)
    quarantine = Quarantine(schedule, "ab", lambda *words: None)
    for host in "ab" * 30:
        quarantine.note(*end(host, "succeeded"), 0.0)
    for _ in range(30):
        quarantine.note(*given_back("a", Cause.TAKEN_BACK), 0.0)
    assert not schedule.hosts.is_kept_away("a")


# -- a person's word -------------------------------------------------------------------------------------------------


def kept_away_with_one_waiting() -> tuple[Schedule, Quarantine, list[tuple[str, bool, str]]]:
    """As :func:`a_spoils_jobs`, in quarantine by proof, with the time for a canary come and a job waiting."""
    schedule, quarantine, said = a_spoils_jobs()
    (job,) = quarantine._health._probes
    attempt = job.new_attempt("b", "token")
    attempt.outcome, attempt.started, attempt.ended = Outcome.SUCCEEDED, 200.0, 200.01
    quarantine.note(job, attempt, 0.0)
    assert said[-1][:2] == ("a", False) and said[-1][2].startswith("in quarantine")
    schedule.add(Job(JobSpec("true"), 0, "waits"))
    return schedule, quarantine, said


def test_a_paused_run_sends_no_canary():
    schedule, quarantine, _ = kept_away_with_one_waiting()
    schedule.paused = True
    assert quarantine.canaries(1e6) == []
    schedule.paused = False
    assert [host for _, host in quarantine.canaries(1e6)] == ["a"]


def test_a_drained_host_gets_no_canary_and_stays_drained_when_one_passes_that_was_on_its_way():
    schedule, quarantine, _ = kept_away_with_one_waiting()
    ((canary, host),) = quarantine.canaries(1e6)
    attempt = canary.new_attempt(host, "token")
    schedule.drain("a", True)
    schedule.add(Job(JobSpec("true"), 1, "next"))
    assert quarantine.canaries(2e6) == []
    attempt.outcome, attempt.started, attempt.ended = Outcome.SUCCEEDED, 300.0, 300.01
    schedule.vacate(host, canary)
    quarantine.note(canary, attempt, 1e6)
    assert schedule.hosts.is_drained("a") and not schedule.hosts.is_kept_away("a")
    assert {host for _, host in iter(schedule.next, None)} == {"b"}


def test_a_person_who_says_that_a_host_is_mended_is_believed():
    schedule, quarantine, said = kept_away_with_one_waiting()
    quarantine.trust("a")
    assert not schedule.hosts.is_kept_away("a")
    assert said[-1] == ("a", True, "used again: a person says so")
    assert quarantine.canaries(1e6) == []


def test_a_host_that_left_and_came_back_is_held_nothing_against():
    schedule, quarantine, _ = kept_away_with_one_waiting()
    schedule.remove_host("a")
    quarantine.remove("a")
    assert quarantine.canaries(1e6) == []
    schedule.add_host(Host("a"))
    quarantine.add("a")
    schedule.host_up("a", 1)
    assert not schedule.hosts.is_kept_away("a")


def steps_of_an_end(hosts: int) -> int:
    """Return how many calls one end takes where another host is suspect."""
    names = [f"h{number}" for number in range(hosts)]
    schedule = Schedule(map(Host, names))
    for name in names:
        schedule.host_up(name, 1)
    quarantine = Quarantine(schedule, names, lambda *words: None)
    quarantine.note(*given_back("h0"), 0.0)
    assert schedule.hosts.is_kept_away("h0")
    schedule.host_down("h1", lasting=False)
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1
    sys.setprofile(count)
    try:
        quarantine.note(*end("h2", "succeeded"), 1.0)
        quarantine.canaries(0.0)
    finally:
        sys.setprofile(None)
    return calls


def test_an_end_costs_the_same_however_many_hosts_there_are_when_one_is_suspect():
    assert steps_of_an_end(1000) == steps_of_an_end(10)
