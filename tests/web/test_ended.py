"""Why a job ended without success, as its page says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause
from sshjobs.model.states import Outcome
from tests.cli.runs import edit
from tests.store.helpers import finish, launch
from tests.web.serving import serving
from tests.web.test_pages import log_in


def make(results: Path, ends: list[dict[str, Any]], said: bytes = b"") -> edit:
    """Make a run with a job whose attempts ended so, one after the other; the newest has written something."""
    with edit(results, "ended-1", ["fit"]) as run:
        job = run.jobs["fit"]
        for n, end in enumerate(ends):
            launch(run.store, job)
            attempt = job.attempts[-1]
            assert isinstance(attempt, Attempt)
            finish(run.store, job, end["outcome"])
            attempt.exit_status = job.exit_status = end.get("status")
            attempt.cause, attempt.reason = end.get("cause"), end.get("reason")
            run.wrote("fit", b"", said if n == len(ends) - 1 else b"")
    return run


def told(results: Path) -> Any:
    with serving(results) as served, served.client() as client:
        return client.get("/api/runs/ended-1/job", params={"job": "fit"}).json()


REBOOT = {"outcome": Outcome.LOST, "cause": Cause.REBOOT}
FAILED = {"outcome": Outcome.FAILED, "status": 127}


@pytest.mark.parametrize(("end", "said", "why"), [
    (REBOOT, b"", "host rebooted: the host was restarted"),
    (FAILED, b"sh: 1: fitt: not found\n", "probably no such program: exit 127, and it wrote: sh: 1: fitt: not found"),
    ({**FAILED, "status": 1}, b"RuntimeError: CUDA error: no\n", "probably GPU error: exit 1, and it wrote: RuntimeError: CUDA error: no"),
    ({**FAILED, "status": 1}, b"no convergence\n", None),
    ({**FAILED, "status": 1, "cause": Cause.HOSTS_FAULT}, b"", "the host's fault, not the job's"),
    ({"outcome": Outcome.TIMED_OUT}, b"", "timed out: its timeout passed"),
])
def test_an_attempt_and_its_job_say_why_they_failed(tmp_path: Path, end: dict[str, Any], said: bytes, why: str | None) -> None:
    make(tmp_path, [end], said)
    answer = told(tmp_path)
    assert answer["why"] == answer["attempts"][0]["why"] == why


def test_each_attempt_says_its_own_and_one_that_succeeded_nothing(tmp_path: Path) -> None:
    make(tmp_path, [REBOOT, FAILED, {"outcome": Outcome.SUCCEEDED, "status": 0}], b"sh: 1: fit: not found\n")
    answer = told(tmp_path)
    assert [one["why"] for one in answer["attempts"]] == [
        "host rebooted: the host was restarted", "probably no such program: exit 127 is what a shell returns where it finds no program", None]
    assert answer["why"] is None


def test_a_cause_is_not_read_through_a_link(tmp_path: Path) -> None:
    run = make(tmp_path / "results", [{**FAILED, "status": 1}])
    (tmp_path / "secret").write_text("MemoryError: hidden words\n")
    stderr = run.paths.stderr("fit")
    stderr.unlink()
    stderr.symlink_to(tmp_path / "secret")
    assert told(tmp_path / "results")["why"] is None


def test_the_page_of_a_job_shows_why_its_attempts_failed(chromium: Any, tmp_path: Path) -> None:
    make(tmp_path, [REBOOT, {**FAILED, "status": 1}], b"<b>CUDA error: no\n")
    with serving(tmp_path) as served:
        context = chromium.new_context()
        page = log_in(context, served)
        page.goto(f"{served.address}/?run=ended-1&view=job&job=fit")
        page.wait_for_selector("p.note.bad")
        why = "probably GPU error: exit 1, and it wrote: <b>CUDA error: no"
        assert page.locator("p.note.bad").inner_text() == why
        reasons = page.locator("table[aria-label=Attempts] tbody tr td:last-child").all_inner_texts()
        assert reasons == ["host rebooted: the host was restarted", why]
        # What tells of it is in sight, where it has written that alone; and of the other it does not say that it may still come.
        assert page.locator("pre.output").get_attribute("data-stream") == "stderr"
        page.get_by_role("link", name="stdout").click()
        page.wait_for_function("() => document.querySelector('pre.output[data-stream=stdout]')?.innerText === 'nothing'")
        assert page.complaints == []
        context.close()
