"""What pages tell of hosts: slots, how they fare, several runs as one; and hosts that are added by wildcards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.host import Host
from tests.cli.runs import edit
from tests.hints import tries
from tests.lab.waiting import wait_until
from tests.web.scale import server
from tests.web.serving import serving
from tests.web.test_pages import column, log_in


def hosts_of(client: object, path: str) -> dict[str, dict[str, object]]:
    return {host["name"]: host for host in client.get(path).json()["hosts"]}  # type: ignore[attr-defined]


def test_slots_are_the_hosts_own_else_the_runs_else_its_cores(tmp_path: Path) -> None:
    with edit(tmp_path / "r", "one-1", ["x"]) as run:
        run.store.set_host("a", "up", facts={"cores": 16}, since=5.0)
        run.store.add_hosts([Host("b", slots=5)])
    with edit(tmp_path / "r", "two-1", ["x"]) as run:
        run.store.set_host("a", "up", facts={"cores": 16}, since=5.0)
        run.store.set_options(slots=3)
    with serving(tmp_path / "r") as served, served.client() as client:
        assert [host["slots"] for host in hosts_of(client, "/api/runs/one-1/overview").values()] == [16, 5]
        assert [host["slots"] for host in hosts_of(client, "/api/runs/two-1/overview").values()] == [3, 3]
        assert client.get("/api/runs/two-1/host", params={"host": "a"}).json()["host"]["slots"] == 3


def test_how_a_host_fares_is_shown_and_what_its_jobs_take(tmp_path: Path) -> None:
    with edit(tmp_path / "r", "one-1", ["x", "y"]) as run:
        run.busy("x")
        run.busy("y")
        run.store.set_host("a", "up", facts={"cores": 16, "memory": 1000, "gpus": ["G1", "G2", "G3"], "disk": 5}, since=5.0)
        run.store.set_pulse("a", {"at": 7.5, "load": 1.5, "memory": 2000, "disk": 9, "gpus": [10, None], "gpu_memory": [1 << 20, 7],
                                  "jobs": {"1.1": (2.5, 4096)}, "sent": 11, "received": 12})
    with serving(tmp_path / "r") as served, served.client() as client:
        host = hosts_of(client, "/api/runs/one-1/overview")["a"]
        told = {key: host[key] for key in ("load", "memory", "memory_free", "disk", "gpus", "gpu_use", "sent", "received", "heard")}
        assert told == {"load": 1.5, "memory": 1000, "memory_free": 1000, "disk": 9, "gpus": 3, "gpu_use": 10.0, "sent": 11,
                        "received": 12, "heard": 7.5}
        page = client.get("/api/runs/one-1/host", params={"host": "a"}).json()
        assert page["gpus"] == [{"name": "G1", "use": 10, "memory": 1 << 20}, {"name": "G2", "use": None, "memory": 7},
                                {"name": "G3", "use": None, "memory": None}]
        assert [(job["name"], job["cpu"], job["rss"]) for job in page["running"]] == [("x", 2.5, 4096), ("y", None, None)]
        assert client.get("/api/runs/one-1/job", params={"job": "x"}).json()["job"]["rss"] == 4096
        assert hosts_of(client, "/api/runs/one-1/overview")["b"]["heard"] is None


def test_a_host_shows_who_has_which_gpu(tmp_path: Path) -> None:
    with edit(tmp_path / "r", "one-1", ["x", "y", "z"]) as run:
        for name, gpus in (("x", ("G-1", "G-9")), ("y", None)):
            run.busy(name)
            run.jobs[name].attempts[-1].gpus = gpus
            run.store.touch_attempt(run.jobs[name], run.jobs[name].attempts[-1])
        run.store.set_host("a", "up", facts={"cores": 16}, since=5.0)
        units = [{"uuid": f"G-{n}", "label": str(n), "name": "T4", "by": by} for n, by in enumerate(("bob, pid 7", "bob, pid 8", None))]
        run.store.set_pulse("a", {"at": 7.5, "load": 1.5, "units": [*units, {"label": "no uuid"}, 5, {"uuid": "G-3", "by": 5}]})
    with serving(tmp_path / "r") as served, served.client() as client:
        page = wait_until(lambda: (found := client.get("/api/runs/one-1/host", params={"host": "a"}).json())["running"] and found, 20)
        assert [(one["uuid"], one["label"], one["name"], one["job"], one["by"]) for one in page["gpu_holders"]] == [
            ("G-0", "0", "T4", None, "bob, pid 7"), ("G-1", "1", "T4", "x", None), ("G-2", "2", "T4", None, None),
            ("G-3", None, None, None, None), ("G-9", None, None, "x", None)]
        assert client.get("/api/runs/one-1/host", params={"host": "b"}).json()["gpu_holders"] == []


def test_several_runs_are_one_where_hosts_are_added_up(tmp_path: Path) -> None:
    for name, jobs in (("one-1", ["x", "y"]), ("two-1", ["x"])):
        with edit(tmp_path / "r", name, jobs) as run:
            run.store.set_host("a", "up", facts={"cores": 2}, since=5.0)
            run.busy("x")
    with edit(tmp_path / "r", "over-1", ["x"]) as run:
        run.done("x")
    with serving(tmp_path / "r") as served, served.client() as client:
        wait_until(lambda: client.get("/api/together").json()["ready"], 20)
        answer = client.get("/api/together").json()
        assert (answer["run"]["total"], answer["run"]["counts"]["busy"], answer["run"]["hosts"]) == (3, 2, 2)
        assert {(host["name"], host["slots"], host["busy"], len(host["runs"])) for host in answer["hosts"]} == {
            ("a", 4, 2, 2), ("b", None, 0, 2)}
        with client.stream("GET", "/api/together/events") as stream:
            data = next(line for line in stream.iter_lines() if line.startswith("data: "))
            assert '"names":["a", "b"]' in data


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    from sshjobs.web.sources import Sources

    with edit(tmp_path / "r", "one-1", ["x"]) as first, edit(tmp_path / "s", "one-1", ["x"]) as second:
        sources = Sources(None, [first.paths, second.paths])
        assert list(sources.paths()) == ["one-1", "one-1~2"]
        assert sources.add(second.paths) == "one-1~2"
        sources.remove("one-1")
        assert list(sources.paths()) == ["one-1~2"]


def test_a_run_that_takes_the_place_of_another_is_read_anew(tmp_path: Path) -> None:
    import shutil

    with edit(tmp_path / "r", "one-1", ["x"]) as run:
        run.done("x")
    with serving(tmp_path / "r") as served, served.client() as client:
        assert client.get("/api/runs/one-1/overview").json()["run"]["counts"]["done"] == 1
        shutil.rmtree(tmp_path / "r" / "one-1")
        assert client.get("/api/runs/one-1/overview").status_code in (404, 503)
        with edit(tmp_path / "r", "one-1", ["y", "z"]):
            pass
        # Who looks just then may be told once more that it cannot be read.
        wait_until(lambda: client.get("/api/runs/one-1/overview").status_code == 200, 20)
        assert client.get("/api/runs/one-1/overview").json()["run"]["counts"]["free"] == 2
        assert {job["name"] for job in client.get("/api/runs/one-1/jobs").json()["jobs"]} == {"y", "z"}


def test_wildcards_stand_for_hosts_of_the_hosts_file_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("node[01-03] slots=7\nb\nother\n")
    with edit(tmp_path / "r", "one-1", ["x"]) as run:
        run.store.add_hosts([Host("node02"), Host("c-gone", removed=True)])
    with serving(tmp_path / "r", hosts_file=tmp_path / "hosts.txt") as served, served.client() as client:
        answer = client.post("/api/runs/one-1/hosts/add", json={"hosts": ["node*", "x[1-2] slots=2", "c-?one"]})
        assert answer.json()["hosts"] == ["node01", "node03", "x1", "x2", "c-gone"]
        hosts = hosts_of(client, "/api/runs/one-1/overview")
        assert hosts["node03"]["slots"] == 7 and hosts["x2"]["slots"] == 2 and "c-gone" in hosts and "other" not in hosts
        answer = client.post("/api/runs/one-1/hosts/add", json={"hosts": ["node*"]})
        assert answer.status_code == 409 and "no host fits" in answer.json()["error"]


@tries("to have one: sshjobs serve --hosts FILE")
@pytest.mark.parametrize("word", ["*", "???????", "node*"])
def test_without_a_hosts_file_a_wildcard_says_how_to_have_one(tmp_path: Path, word: str) -> None:
    with edit(tmp_path / "r", "one-1", ["x"]):
        pass
    with serving(tmp_path / "r") as served, served.client() as client:
        answer = client.post("/api/runs/one-1/hosts/add", json={"hosts": [word]})
        assert answer.status_code == 409 and "serve --hosts" in answer.json()["error"]
    (tmp_path / "hosts.txt").write_text("node-01\n")
    with server(tmp_path / "r", "--hosts", str(tmp_path / "hosts.txt")) as started, started.client() as client:
        assert client.post("/api/runs/one-1/hosts/add", json={"hosts": [word]}).json()["hosts"] == ["node-01"]


def test_where_a_host_stands_is_said_in_the_same_words_on_every_page(chromium: Any, tmp_path: Path) -> None:
    with edit(tmp_path / "r", "one-1", ["x"]) as run:
        run.store.set_host("a", "blocked", "no agent can run there", since=5.0)
        run.store.add_hosts([Host("c", drained=True)])
        run.store.set_host("c", "away", "no answer", since=5.0)
    with serving(tmp_path / "r") as served:
        context = chromium.new_context()
        page = log_in(context, served)
        page.goto(f"{served.address}/?run=one-1&sort=name&order=asc")
        page.wait_for_selector("#hosts")
        assert column(page, "hosts", 3) == ["cannot be used", "not heard of yet", "drained"]
        for words, names in (("cannot be", ["a"]), ("drained", ["c"])):
            page.get_by_label("Filter hosts").fill(words)
            page.wait_for_function("names => JSON.stringify([...document.querySelectorAll('#hosts tbody tr td:first-child')].map(one => one.innerText)) === names",
                                   arg=json.dumps(names, separators=(",", ":")))
        for host, said in (("a", "cannot be used since "), ("b", "not heard of yet"), ("c", "away since ")):
            page.goto(f"{served.address}/?run=one-1&view=host&host={host}")
            page.get_by_role("heading", name=host, exact=True).wait_for()
            shown = page.locator("dl dd").nth(1).inner_text()
            assert shown.startswith(said) and shown.endswith(", drained") is (host == "c") and ("since" in shown) is (host != "b")
        context.close()
