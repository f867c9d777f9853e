"""Why a job waits, as its page says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.rundir import create_run
from tests.lab.waiting import wait_until
from tests.store.helpers import finish, launch
from tests.web.serving import serving

#: What the job that waits says of itself, and the run around it.
Keys = dict[str, Any]


def why(results: Path, keys: Keys, act: Callable[[RunStore, dict[str, Job]], None] = lambda store, jobs: None, *,
        others: int = 3, params: dict[str, str] | None = None) -> str:
    """Return what is said of the job ``late`` of a run on hosts a and b, with others of an entry ``prep``."""
    made = [Job(JobSpec(["true"], name=f"prep-{n}", entry="prep", params={"fold": str(n), "x": "1"}), n - 1) for n in range(1, others + 1)]
    made.append(Job(JobSpec(["true"], name="late", params=params, **keys), others))
    paths = create_run(results, name="wait-1")
    store = RunStore.create(paths, uid="b" * 32, name="wait-1", jobs=made, hosts=[Host("a"), Host("b")], options={}, created=1e9)
    store.take_over(ManagerIdentity.this_process())
    for host in "ab":
        store.set_host(host, "up", facts={"cores": 2, "memory": 1 << 30}, since=1e9)
    act(store, {job.spec.name or "": job for job in made})
    store.commit()
    try:
        with serving(results) as served, served.client() as client:
            wait_until(lambda: client.get("/api/runs/wait-1/overview").json()["ready"], 20)
            return str(client.get("/api/runs/wait-1/job", params={"job": "late"}).json()["waits"])
    finally:
        store.close(None)


def end(*names: str) -> Callable[[RunStore, dict[str, Job]], None]:
    def act(store: RunStore, jobs: dict[str, Job]) -> None:
        for name in names:
            launch(store, jobs[name])
            finish(store, jobs[name])
    return act


def run(*names: str) -> Callable[[RunStore, dict[str, Job]], None]:
    def act(store: RunStore, jobs: dict[str, Job]) -> None:
        for name in names:
            launch(store, jobs[name])
    return act


@pytest.mark.parametrize(("keys", "params", "act", "said"), [
    ({"after": "prep"}, None, end("prep-2"), "it runs after prep-1, prep-3, which have not succeeded"),
    ({"after": {"prep": {"when": "ended"}}}, {"fold": "2.0"}, end("prep-1"), "it runs after prep-2, which has not ended"),
    ({"after": {"prep": {"jobs": "all"}}}, {"fold": "2"}, end("prep-2"), "it runs after prep-1, prep-3, which have not succeeded"),
    ({"after": "prep"}, {"fold": "2", "other": "x"}, end("prep-2"), "it is about to be launched"),
    ({"after": "prep"}, {"fold": "9"}, end(), "it is about to be launched"),
    ({}, None, run("prep-1"), "all slots that it may use are taken, or others are before it"),
    ({"memory": "2G"}, None, end(), "no host has what it needs (memory: 2G): a, the nearest, has 1G of memory"),
    ({"memory": "1M"}, None, run("prep-1"), "all slots that it may use are taken, or others are before it"),
    ({"hosts": ["c"]}, None, end(), "the run has no host that it may run on"),
])
def test_a_job_that_waits_says_why(tmp_path: Path, keys: Keys, params: dict[str, str] | None, act: Any, said: str) -> None:
    assert why(tmp_path, keys, act, params=params) == said


def test_of_many_awaited_jobs_the_first_are_named(tmp_path: Path) -> None:
    assert why(tmp_path, {"after": "prep"}, others=600) == "it runs after prep-1, prep-2, prep-3 and more, which have not succeeded"


def test_as_many_jobs_as_may_run_of_an_entry(tmp_path: Path) -> None:
    said = why(tmp_path, {"entry": "prep", "max_parallel": 2}, run("prep-1", "prep-3"))
    assert said == "2 jobs of prep run, and max_parallel allows no more"


def test_hosts_that_are_being_prepared(tmp_path: Path) -> None:
    from sshjobs.running.setups import FIRST_NUMBER, setup_job

    def act(store: RunStore, jobs: dict[str, Job]) -> None:
        for n, host in enumerate("ab"):
            job = setup_job(["true"], host, FIRST_NUMBER + n)
            store.touch_setup(job, job.new_attempt(host, "token"), "boot")
    assert why(tmp_path, {}, act) == "the hosts that it may run on are being prepared by the run's setup"


@pytest.mark.parametrize(("state", "reason", "said"), [
    ("closed", "it was lent until 18:00:00", "a: it was lent until 18:00:00; b: it was lent until 18:00:00"),
    ("away", "no answer", "no host that it may run on can be used at present: no answer"), ("drained", None, "all hosts that it may run on are drained")])
def test_hosts_that_cannot_be_used(tmp_path: Path, state: str, reason: str | None, said: str) -> None:
    from sshjobs.store.change import Change

    def act(store: RunStore, jobs: dict[str, Job]) -> None:
        if state == "drained":
            store.apply(Change(hosts=[Host("a", drained=True), Host("b", drained=True)]))
        else:
            for host in "ab":
                store.set_host(host, state, reason, since=1e9)
    assert why(tmp_path, {}, act) == said


HOURS = "it takes jobs from 20:00 to 08:00 by its own clock, so again at 20:00:00"
SHARE = "a waits for a share of it: anna (fit-1) holds 2 slots, 1 GPU"


def test_hosts_that_are_closed_are_told_beside_what_it_waits_for_on_the_others(tmp_path: Path) -> None:
    def act(store: RunStore, jobs: dict[str, Job]) -> None:
        launch(store, jobs["prep-1"])
        store.set_host("b", "closed", HOURS, since=1e9)
    assert why(tmp_path, {}, act) == f"all slots that it may use are taken, or others are before it; b: {HOURS}"


@pytest.mark.parametrize(("reason", "said"), [
    (None, "it is the next for a slot that falls free"), (SHARE, SHARE),
    ("a takes jobs until 18:00:00, and none of those that wait is likely to be over by then",) * 2])
def test_a_job_that_was_sent_and_has_not_started_says_what_its_host_waits_for(tmp_path: Path, reason: str | None, said: str) -> None:
    def act(store: RunStore, jobs: dict[str, Job]) -> None:
        launch(store, jobs["late"])
        store.set_host("a", "up", reason, since=1e9)
    assert why(tmp_path, {}, act) == f"it was sent to a and has not started there: {said}"


def test_a_job_that_has_started_waits_for_nothing(tmp_path: Path) -> None:
    def act(store: RunStore, jobs: dict[str, Job]) -> None:
        launch(store, jobs["late"])
        jobs["late"].attempts[-1].started = 2e9
        store.set_host("a", "up", SHARE, since=1e9)
    assert why(tmp_path, {}, act) == "None"


def test_the_jobs_that_have_the_gpus_are_named(tmp_path: Path) -> None:
    def act(store: RunStore, jobs: dict[str, Job]) -> None:
        for name, host in (("prep-1", "a"), ("prep-2", "b"), ("prep-3", "b")):
            launch(store, jobs[name], host)
        jobs["prep-1"].attempts[-1].gpus = jobs["prep-2"].attempts[-1].gpus = ("GPU-1",)
        for host in "ab":
            store.set_host(host, "up", facts={"cores": 8, "memory": 1 << 30, "gpus": ["x"], "gpu_tool": "nvidia-smi"}, since=1e9)
    assert why(tmp_path, {"gpus": 1}, act) == "what it needs (gpus: 1) is not free: on a prep-1 has GPUs; on b prep-2 has GPUs"
