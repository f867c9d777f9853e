"""Parameters and results of jobs, as the API tells them and the page of a job shows them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.rundir import create_run
from tests.store.helpers import finish, launch
from tests.web.serving import serving
from tests.web.test_pages import log_in

PARAMS = {"lr": "0.10", "tag": "<b>it's</b> \u202e\x1b[31m"}
RESULT = {"loss": 0.25, "<script>alert(1)</script>": "</dd><img src=x onerror=alert(2)>", "best": None, "of": [1, 2]}


def make_run(results: Path) -> None:
    job = Job(JobSpec(["true"], name="fit-1", entry="fit", params=PARAMS))
    paths = create_run(results, name="sweep-1")
    store = RunStore.create(paths, uid="a" * 32, name="sweep-1", jobs=[job], hosts=[Host("a")], options={}, created=1_700_000_000.0)
    store.take_over(ManagerIdentity.this_process())
    launch(store, job)
    finish(store, job)
    store.commit()
    store.close(1_700_000_100.0)
    with sqlite3.connect(paths.store) as connection:
        connection.execute("UPDATE attempts SET result = ?", (json.dumps(RESULT),))


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
        page.on("dialog", lambda dialog: (fired.append(dialog.message), dialog.dismiss()))
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
