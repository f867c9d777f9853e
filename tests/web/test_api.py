"""What the API answers, what it does, and that its description is true."""

from __future__ import annotations

import gc
import json
import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis

from sshjobs.model.host import Host
from tests.cli.runs import edit
from tests.lab.waiting import wait_until
from tests.web.serving import Served, serving


def ready(client: object) -> None:
    wait_until(lambda: client.get("/api/runs/sweep-1/overview").json()["ready"], 20)  # type: ignore[attr-defined]


def test_runs_hosts_and_jobs_are_as_the_store_has_them(served: Served) -> None:
    with served.client() as client:
        (run,) = client.get("/api/runs").json()["runs"]
        assert (run["name"], run["total"]) == ("sweep-1", 20)
        assert run["counts"] == {"free": 8, "busy": 1, "done": 10, "unknown": 0, "error": 1}
        ready(client)
        hosts = {host["name"]: host for host in client.get("/api/runs/sweep-1/overview").json()["hosts"]}
        assert (hosts["a"]["done"], hosts["a"]["busy"], hosts["a"]["failed"]) == (10, 1, 0)
        assert (hosts["b"]["done"], hosts["b"]["failed"], hosts["a"]["seconds_per_job"]) == (0, 1, 1.25)
        job = client.get("/api/runs/sweep-1/job", params={"job": "fit-11"}).json()
        assert (job["job"]["outcome"], job["job"]["exit_status"], job["stdout"], job["stderr"]) == ("failed", 3, 5, 14)
        assert job["command"] == "echo hello"
        host = client.get("/api/runs/sweep-1/host", params={"host": "b"}).json()
        assert [one["name"] for one in host["finished"]] == ["fit-11"]
        assert (host["failure_share"], host["failure_share_elsewhere"]) == (1.0, 0.0)


@pytest.mark.parametrize(("asked", "found"), [
    ({"state": "error"}, ["fit-11"]), ({"state": ["busy", "error"]}, ["fit-11", "fit-12"]),
    ({"outcome": "failed"}, ["fit-11"]), ({"host": "b"}, ["fit-11"]), ({"host": "nobody"}, []),
    ({"search": "IT-2"}, ["fit-2", "fit-20"]), ({"search": "fit-2", "state": "done"}, ["fit-2"]),
    ({"limit": 2}, ["fit-1", "fit-2"]), ({"limit": 2, "offset": 19}, ["fit-20"]),
    ({"order": "desc", "limit": 1}, ["fit-20"]), ({"sort": "name", "limit": 3}, ["fit-1", "fit-10", "fit-11"]),
    ({"sort": "seconds", "order": "desc", "state": "error"}, ["fit-11"]), ({"sort": "host", "order": "desc", "limit": 1}, ["fit-11"]),
    ({"search": "."}, []), ({"search": "\n"}, []),
    ({"params": "lr=0.10, seed=9"}, ["fit-9"]), ({"params": "fit-9[lr=.1]"}, ["fit-9"]), ({"params": "seed=11", "state": "done"}, []),
    ({"params": "lr=0.3", "state": "free", "sort": "name", "order": "desc"}, ["fit-19", "fit-15"]),
    ({"params": "lr=0.1", "search": "-1", "outcome": "succeeded"}, ["fit-1"]), ({"params": "lr=0.1", "offset": 4}, ["fit-17"]),
    ({"params": "lr=7"}, []), ({"params": " "}, [f"fit-{n}" for n in range(1, 21)]),
])
def test_jobs_are_filtered_sorted_and_cut_by_the_server(served: Served, asked: dict[str, object], found: list[str]) -> None:
    with served.client() as client:
        ready(client)
        answer = client.get("/api/runs/sweep-1/jobs", params=asked).json()  # type: ignore[arg-type]
        assert [job["name"] for job in answer["jobs"]] == found
        assert answer["total"] >= len(found) and not answer["more"]


@pytest.mark.parametrize(("params", "why"), [("lr", "write lr=0.1"), ("=1", "write lr=0.1"), ("l=1", "did you mean lr"), ("x" * 1001, "1000")])
def test_what_is_no_value_of_a_parameter_is_told(served: Served, params: str, why: str) -> None:
    with served.client() as client:
        ready(client)
        answer = client.get("/api/runs/sweep-1/jobs", params={"params": params})
        assert answer.status_code in (409, 422) and why in answer.json()["error"]


def test_output_comes_in_pieces_and_as_a_whole(served: Served, results: Path) -> None:
    with served.client() as client:
        asked = {"job": "fit-12", "stream": "stdout"}
        answer = client.get("/api/runs/sweep-1/output", params=asked)
        assert (answer.content, answer.headers["x-offset"], answer.headers["x-size"]) == (b"at work\n", "0", "8")
        (results / "sweep-1" / "jobs" / "fit-12" / "stdout").write_bytes(b"at work\nmore\n")
        answer = client.get("/api/runs/sweep-1/output", params={**asked, "offset": 8})
        assert (answer.content, answer.headers["x-size"]) == (b"more\n", "13")
        answer = client.get("/api/runs/sweep-1/download", params=asked)
        assert answer.content == b"at work\nmore\n"
        assert answer.headers["content-disposition"].startswith("attachment")


def test_no_output_is_read_through_a_link_or_from_a_pipe(served: Served, results: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    job = results / "sweep-1" / "jobs" / "fit-12"
    for make in (lambda path: path.symlink_to(tmp_path / "secret"), os.mkfifo):
        (job / "stdout").unlink()
        make(job / "stdout")
        with served.client() as client:
            for what in ("output", "download"):
                answer = client.get(f"/api/runs/sweep-1/{what}", params={"job": "fit-12", "stream": "stdout"})
                assert b"secret" not in answer.content and answer.status_code in (200, 404)
    # Nor where a directory on the way was replaced by one.
    (job / "stdout").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "stdout").write_text("secret")
    (job / "stderr").unlink()
    job.rmdir()
    job.symlink_to(tmp_path / "elsewhere")
    with served.client() as client:
        for what in ("output", "download"):
            answer = client.get(f"/api/runs/sweep-1/{what}", params={"job": "fit-12", "stream": "stdout"})
            assert b"secret" not in answer.content


def test_requests_without_a_manager_are_kept_for_the_next_one(served: Served) -> None:
    with served.client() as client:
        assert client.post("/api/runs/sweep-1/pause", json={"jobs": None}).json()["live"] is False
        wait_until(lambda: client.get("/api/runs").json()["runs"][0]["paused"], 20)
        assert client.post("/api/runs/sweep-1/retry", json={"jobs": ["fit-11"]}).json()["jobs"] == ["fit-11"]
        assert client.post("/api/runs/sweep-1/hosts/drain", json={"hosts": ["a"]}).status_code == 200
        assert client.post("/api/runs/sweep-1/hosts/add", json={"hosts": ["c[1-2] slots=3"]}).status_code == 200
        hosts = {host["name"]: host for host in client.get("/api/runs/sweep-1/overview").json()["hosts"]}
        assert hosts["a"]["drained"] and hosts["c2"]["slots"] == 3


@pytest.mark.parametrize(("path", "body", "status"), [
    ("cancel", {"jobs": ["nobody"]}, 409), ("retry", {"jobs": ["nobody"]}, 409), ("hosts/drain", {"hosts": ["nobody"]}, 409),
    ("hosts/slots", {"hosts": ["a"], "slots": 0}, 422), ("hosts/slots", {"hosts": ["a"], "slots": 10**400}, 422),
    ("hosts/add", {"hosts": []}, 422), ("hosts/add", {"hosts": ["-oProxyCommand=x"]}, 409), ("pause", {"job": []}, 422),
    ("pause", [], 422), ("pause", {"jobs": ["x" * 2000]}, 422),
])
def test_what_cannot_be_done_is_told_in_one_line_and_changes_nothing(served: Served, path: str, body: object,
                                                                     status: int) -> None:
    with served.client() as client:
        ready(client)
        before = client.get("/api/runs/sweep-1/overview").json()
        answer = client.post(f"/api/runs/sweep-1/{path}", json=body)
        assert answer.status_code == status, answer.text
        assert "\n" not in answer.json()["error"]
        after = client.get("/api/runs/sweep-1/overview").json()
        assert (after["hosts"], after["run"]["counts"]) == (before["hosts"], before["run"]["counts"])


@pytest.mark.parametrize("name", ["nobody", "..", "../results/sweep-1", "sweep-1/", ".", "%00"])
def test_a_run_that_is_not_here_is_not_found(served: Served, name: str) -> None:
    with served.client() as client:
        assert client.get(f"/api/runs/{quote(name, safe='')}/overview").status_code == 404


def test_a_damaged_run_is_named_and_the_others_are_shown(served: Served, results: Path) -> None:
    with edit(results, "good-1", ["x"]):
        pass
    (results / "sweep-1" / "run.db").write_bytes(b"nothing of the kind" * 500)
    for log in results.glob("sweep-1/run.db-*"):
        log.unlink()
    with served.client() as client:
        runs = {run["name"]: run for run in client.get("/api/runs").json()["runs"]}
        assert "damaged" in runs["sweep-1"]["damaged"] and runs["good-1"]["total"] == 1
        assert client.get("/api/runs/sweep-1/jobs").status_code == 503


def test_what_is_damaged_in_the_middle_of_a_run_is_told(results: Path, served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(results / "sweep-1" / "run.db") as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE jobs SET state = 'nonsense' WHERE number = 15")
    connection.close()
    with served.client() as client:
        wait_until(lambda: client.get("/api/runs/sweep-1/overview").status_code == 503, 20)
        wait_until(lambda: "damaged" in client.get("/api/runs/sweep-1/overview").text, 20)
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


def test_events_tell_everything_first_and_then_what_changed(results: Path) -> None:
    with edit(results, "live-1", ["x", "y"]) as run, serving(results) as served, served.client() as client:
        run.store.set_host("a", "up", None, since=1.0)
        run.store.commit()
        with client.stream("GET", "/api/runs/live-1/events") as answer:
            lines = answer.iter_lines()
            first = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
            assert first["whole"] and first["names"] == ["a", "b"]
            run.done("x")
            run.store.commit()
            second = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
            assert not second["whole"] and second["version"] > first["version"]
            while second["head"]["run"]["counts"]["done"] != 1:
                second = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
            assert {row["name"] for row in second["rows"]} <= {"a"}


def test_a_browser_that_was_away_is_told_what_it_missed(results: Path) -> None:
    with edit(results, "live-1", ["x", "y"]) as run, serving(results) as served, served.client() as client:
        with client.stream("GET", "/api/runs/live-1/events") as answer:
            seen = next(line[4:] for line in answer.iter_lines() if line.startswith("id: "))
        run.done("x")
        run.store.commit()
        with client.stream("GET", "/api/runs/live-1/events", headers={"Last-Event-ID": seen}) as answer:
            data = next(json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))
            assert not data["whole"]
        with client.stream("GET", "/api/runs/live-1/events", headers={"Last-Event-ID": "another.999999"}) as answer:
            data = next(json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))
            assert data["whole"]


def test_the_description_of_the_api_is_true(served: Served) -> None:
    with served.client() as client:
        document = client.get("/api/openapi.json").json()
    # A stream has no end to wait for.
    document["paths"] = {path: item for path, item in document["paths"].items() if not path.endswith("/events")}
    document["servers"] = [{"url": served.address}]
    schema = schemathesis.openapi.from_dict(document)
    schema.config.base_url = served.address
    problems = []
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]
        if operation.path.startswith("/static"):
            continue
        problems += _tried(operation, served)
    assert problems == []


def _tried(operation: object, served: Served) -> list[str]:
    """Send cases that fit the description and such that do not; return what answered otherwise than described."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    problems: list[str] = []

    @seed(8)
    @settings(max_examples=12, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())  # type: ignore[attr-defined]
    def try_(case: object) -> None:
        answer = case.call(headers=served.bearer)  # type: ignore[attr-defined]
        if answer.status_code >= 500 and answer.status_code != 503:
            problems.append(f"{operation}: {answer.status_code}")
        try:
            case.validate_response(answer)  # type: ignore[attr-defined]
        except Exception as error:  # noqa: BLE001  (whatever it finds is a finding)
            problems.append(f"{operation}: {str(error)[:300]}")

    try_()
    return problems


def test_hosts_of_a_run_appear_with_address_and_drain(results: Path) -> None:
    with edit(results, "more-1", ["x"]) as run:
        run.store.add_hosts([Host("me@far.example:2222", slots=3, drained=True)])
    with serving(results) as served, served.client() as client:
        hosts = {host["name"]: host for host in client.get("/api/runs/more-1/overview").json()["hosts"]}
        assert hosts["me@far.example:2222"]["address"] == "far.example"
        assert hosts["me@far.example:2222"]["drained"] and hosts["me@far.example:2222"]["slots"] == 3


def routes_told() -> str:
    """The table of docs/web.md: every route of the API, as its list has them."""
    from sshjobs.web.app import make_app
    from sshjobs.web.guard import Access
    from sshjobs.web.sources import Sources

    listed = make_app(Sources(None), Access("0" * 64, frozenset(), False, False, "c")).state.endpoints  # type: ignore[attr-defined]
    rows = [f"| `{one.method} {one.path}` | {one.summary} | {', '.join(_asked(one)) or '–'} |"
            for one in listed if one.path.startswith("/api/")]
    return "\n".join(["| route | answers or does | takes |", "|---|---|---|", *rows])


def _asked(endpoint: Any) -> list[str]:
    models = [model for model in (endpoint.query, endpoint.body) if model is not None]
    return [f"`{name}`" for model in models for name in model.model_fields if "{" + name + "}" not in endpoint.path]


def test_the_documentation_has_every_route() -> None:
    assert routes_told() in (Path(__file__).parents[2] / "docs" / "web.md").read_text()
