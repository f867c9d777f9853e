"""Parameters and results of jobs, as the API tells them and the page of a job shows them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.rundir import create_run
from sshjobs.web import sheets
from tests.cli.here import call_here
from tests.hints import tries
from tests.store.helpers import finish, launch
from tests.web.serving import Served, serving
from tests.web.test_pages import log_in

PARAMS = {"lr": "0.10", "tag": "<b>it's</b> \u202e\x1b[31m"}
RESULT = {"loss": 0.25, "<script>alert(1)</script>": "</dd><img src=x onerror=alert(2)>", "best": None, "of": [1, 2]}


def make_run(results: Path, jobs: int = 1) -> None:
    """Make a run whose first job has left a result; of the others each has a larger rate, and a smaller loss."""
    first = Job(JobSpec(["true"], name="fit-1", entry="fit", params=PARAMS))
    others = [Job(first.spec.named(f"fit-{n}", n, (f"{n}", None)), n - 1) for n in range(2, jobs + 1)]
    made = [first, *others]
    paths = create_run(results, name="sweep-1")
    store = RunStore.create(paths, uid="a" * 32, name="sweep-1", jobs=made, hosts=[Host("a")], options={}, created=1_700_000_000.0)
    store.take_over(ManagerIdentity.this_process())
    for job in made:
        launch(store, job)
        finish(store, job)
    store.commit()
    store.close(1_700_000_100.0)
    with sqlite3.connect(paths.store) as connection:
        connection.execute("UPDATE attempts SET result = ? WHERE job = 1", (json.dumps(RESULT),))
        connection.execute("UPDATE attempts SET result = '{\"loss\":' || (1.0 / job) || '}' WHERE job > 1")


def test_a_job_tells_its_parameters_and_its_result(tmp_path: Path) -> None:
    make_run(tmp_path)
    with serving(tmp_path) as served, served.client() as client:
        told = client.get("/api/runs/sweep-1/job", params={"job": "fit-1"}).json()
    assert (told["params"], told["result"]) == (PARAMS, RESULT)


def test_the_page_of_a_job_shows_them_as_text(chromium: Any, tmp_path: Path) -> None:
    make_run(tmp_path)
    context = chromium.new_context()
    with serving(tmp_path) as served:
        page = log_in(context, served)
        fired: list[str] = []

        def dialog(opened: Any) -> None:
            fired.append(opened.message)
            opened.dismiss()

        page.on("dialog", dialog)
        page.goto(f"{served.address}/?run=sweep-1&view=job&job=fit-1")
        shown = {}
        for name in ("Parameters", "Result"):
            found = page.locator(f"dl[aria-label={name}]")
            found.wait_for()
            shown[name] = found.locator("dd").all_inner_texts()
        assert fired == [] and page.complaints == []
    context.close()
    assert shown["Parameters"][0] == "0.10" and "<b>it's</b>" in shown["Parameters"][1]
    assert shown["Result"] == ["0.25", "</dd><img src=x onerror=alert(2)>", "null", "[1,2]"]


def ask_table(served: Served, **query: Any) -> Any:
    with served.client() as client:
        return client.get("/api/runs/sweep-1/table", params=query)


def test_the_table_is_filtered_sorted_and_cut_into_pages(tmp_path: Path) -> None:
    make_run(tmp_path, 250)
    with serving(tmp_path) as served:
        told = ask_table(served, where="lr>10 and lr<=200", sort="loss", limit=3, offset=2).json()
        assert (told["total"], told["offset"], told["left_out"]) == (190, 2, 0)
        at = told["columns"].index
        assert [row[at("job")] for row in told["rows"]] == ["fit-198", "fit-197", "fit-196"]
        assert [told["numbers"][at(name)] for name in ("lr", "loss", "outcome")] == [True, True, False]
        first = ask_table(served, limit=1).json()["rows"][0]
        assert first[at("of")] == "[1, 2]" and first[at("tag")] == PARAMS["tag"] and first[at("best")] is None
        wrong = ask_table(served, where="loss <")
        assert wrong.status_code == 409 and "character" in wrong.json()["error"] and "--where" not in wrong.json()["error"]
        assert ask_table(served, sort="nosuch").status_code == 409


@tries("see: sshjobs table {}")
def test_of_too_many_jobs_there_is_no_table_and_the_way_to_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_JOBS", 5)
    make_run(tmp_path, 6)
    with serving(tmp_path) as served:
        told = ask_table(served)
    assert told.status_code == 409 and told.json()["error"].endswith("see: sshjobs table sweep-1")
    assert "fit-6" in call_here("table", "sweep-1", "--results", str(tmp_path)).stdout


def test_the_page_of_results_sorts_and_filters(chromium: Any, tmp_path: Path) -> None:
    make_run(tmp_path, 120)
    context = chromium.new_context()
    with serving(tmp_path) as served:
        page = log_in(context, served)
        page.goto(f"{served.address}/?run=sweep-1&view=results")
        page.wait_for_selector("#results")
        page.get_by_role("button", name="loss", exact=True).click()
        page.wait_for_function("() => document.querySelector('#results tbody td').innerText === 'fit-2'")
        page.get_by_role("button", name="loss", exact=True).click()
        page.wait_for_function("() => document.querySelector('#results tbody td').innerText === 'fit-120'")
        page.get_by_label("Only where").fill("lr=7")
        page.wait_for_function("() => document.querySelectorAll('#results tbody tr').length === 1")
        assert page.locator("#found").inner_text() == "1 job"
        assert page.complaints == []
    context.close()
