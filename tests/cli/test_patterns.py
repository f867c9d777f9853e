"""Patterns for names of jobs and runs, the usual hosts of the environment, and what a dry run shows."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path

import pytest

from sshjobs.errors import EXIT_OK, EXIT_USAGE
from tests.cli.here import call_here
from tests.cli.runs import edit, make_run
from tests.conftest import SshjobsCli
from tests.hints import tries


@pytest.fixture
def here(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def over(name: str) -> None:
    """Make a run in which all is over."""
    with edit(Path("results"), name, ["x"]) as made:
        made.done("x")


def test_rm_takes_patterns_and_leaves_what_does_not_match(here: Path) -> None:
    for name in ("exec-1", "exec-2", "exec-10", "sweep-1"):
        over(name)
    told = call_here("rm", "exec-*")
    assert (told.returncode, told.stderr) == (EXIT_OK, "")
    assert sorted(told.stdout.splitlines()) == [f"removed results/exec-{n}" for n in (1, 10, 2)]
    assert [path.name for path in Path("results").iterdir()] == ["sweep-1"]
    told = call_here("rm", "exec-*")
    assert (told.returncode, told.stderr) == (EXIT_USAGE, "sshjobs: results: no run matches 'exec-*'; see: sshjobs ls\n")
    assert call_here("rm", "swee[p]-?", "sweep-1").stdout == "removed results/sweep-1\n"


def test_rm_of_a_pattern_still_refuses_what_may_run(here: Path) -> None:
    over("q-1")
    with edit(Path("results"), "q-2", ["x"]) as made:
        made.busy("x")
    told = call_here("rm", "q-*")
    assert told.returncode != EXIT_OK
    assert told.stdout == "removed results/q-1\n"
    assert "results/q-2: 1 of its jobs may still run" in told.stderr


def test_rm_takes_runs_that_were_over_so_long_ago_and_never_others(here: Path) -> None:
    # All runs of these tests ended in 2023 but for two.
    for name in ("exec-1", "exec-2", "sweep-1"):
        over(name)
    with edit(Path("results"), "waits", ["x"]):
        pass
    with edit(Path("results"), "lives", ["x"], attended=True) as made:
        made.done("x")
    with edit(Path("results"), "busy", ["x"]) as made:
        made.busy("x")
    over("fresh")
    with contextlib.closing(sqlite3.connect("results/fresh/run.db")) as store, store:
        store.execute("UPDATE managers SET until = ?", (time.time() - 3600,))
    told = call_here("rm", "--older", "1d", "--dry-run")
    assert (told.returncode, told.stderr) == (EXIT_OK, "")
    assert sorted(told.stdout.splitlines()) == [f"would remove results/{name}" for name in ("exec-1", "exec-2", "sweep-1")]
    assert call_here("rm", "--older", "1d", "exec-*", "fresh").stdout == "removed results/exec-1\nremoved results/exec-2\n"
    assert call_here("rm", "--older", "30m").stdout.splitlines() == ["removed results/sweep-1", "removed results/fresh"]
    assert sorted(path.name for path in Path("results").iterdir()) == ["busy", "lives", "waits"]
    told = call_here("rm", "--dry-run", "busy", "lives", "waits")
    assert told.stdout == "would remove results/waits\n" and told.stderr.count("\n") == 2, told.stderr
    assert (told := call_here("rm", "--older", "soon")).returncode == EXIT_USAGE, told
    assert call_here("rm").stderr == "sshjobs: no run was named; name runs, or say how old: sshjobs rm --older 7d\n"


@tries("nobody manages {}, which is not over; to go on: sshjobs resume {}")
def test_wait_has_the_exit_code_of_the_run(here: Path, sshjobs_cli: SshjobsCli) -> None:
    over("fine")
    with edit(Path("results"), "bad", ["x"]) as made:
        made.failed("x")
    with edit(Path("results"), "left", ["x"]):
        pass
    with edit(Path("results"), "lives", ["x"], attended=True):
        pass
    assert [call_here("wait", name).returncode for name in ("fine", "bad", "left")] == [0, 1, 130]
    assert call_here("wait", "fine", "bad").returncode == 1
    told = call_here("wait", "left")
    assert (told.stdout, told.stderr) == (
        "", "sshjobs: nobody manages left, which is not over; to go on: sshjobs resume left\n")
    told = call_here("wait", "--timeout", "1ms")
    assert (told.returncode, told.stdout, told.stderr) == (1, "", "sshjobs: lives is not over yet; it goes on\n")
    started = sshjobs_cli("run", "-", "-d", "--name", "r", input="jobs: [{name: x, argv: [sleep, '0.3']}, {name: y, argv: ['false']}]")
    assert started.returncode == EXIT_OK, started.stderr
    told = sshjobs_cli("wait", "r")
    assert (told.returncode, told.stdout, told.stderr) == (1, "", "")


def test_logs_of_a_pattern_prints_each_below_its_name(here: Path) -> None:
    with edit(Path("results"), "r", ["fit-1", "fit-2", "x[1]", "other"]) as made:
        made.done("fit-1", b"one\n", b"err\n")
        made.done("fit-2", b"two")
        made.done("x[1]", b"bracket\n")
    assert call_here("logs", "fit-*").stdout == "==> fit-1 <==\none\n\n==> fit-2 <==\ntwo"
    assert call_here("logs", "--stderr", "r", "fit-?").stdout.startswith("==> fit-1 <==\nerr\n")
    assert call_here("logs", "f*1").stdout == "one\n", "one job is printed byte for byte"
    assert call_here("logs", "x[1]").stdout == "bracket\n", "a name counts before a pattern"
    with edit(Path("results"), "many", [f"x-{number}" for number in range(101)]):
        pass
    told = call_here("logs", "-f", "many", "x-*")
    assert (told.returncode, told.stderr) == (
        EXIT_USAGE, "sshjobs: 100 jobs at a time can be followed: 101 match 'x-*'; leave --follow out, or name fewer of them\n")
    assert call_here("logs", "r", "z*").stderr == "sshjobs: r: no job matches 'z*'; see: sshjobs status r --all\n"


def test_requests_about_jobs_take_patterns(here: Path, sshjobs_cli: SshjobsCli) -> None:
    make_run(Path("results"), "r", ["fit-1", "fit-2", "fit-3", "other"])
    told = sshjobs_cli("cancel", "r", "fit-[12]")
    assert (told.returncode, told.stdout.splitlines()[0]) == (EXIT_OK, "2 jobs cancelled"), told.stderr
    assert sshjobs_cli("withdraw", "r", "o*").stdout.startswith("1 job withdrawn")
    told = sshjobs_cli("retry", "r", "nothing-*")
    assert (told.returncode, told.stderr) == (EXIT_USAGE, "sshjobs: r: no job matches 'nothing-*'; see: sshjobs status r --all\n")
    for verb in ("pause", "unpause"):
        assert "no job matches 'z?'" in sshjobs_cli(verb, "r", "z?").stderr


def hosts_in_plan(*words: str, hosts: str | None = None) -> str:
    with pytest.MonkeyPatch.context() as patch:
        if hosts is not None:
            patch.setenv("SSHJOBS_HOSTS", hosts)
        told = call_here("run", "-", "--dry-run", *words, input="jobs: [{name: x, argv: [y]}]\n")
    return (told.stdout + told.stderr).splitlines()[-1]


def test_the_usual_hosts_stand_in_the_environment(here: Path) -> None:
    (here / "my hosts.txt").write_text("a slots=2\nb\nc\n")
    (here / "cluster.txt").write_text("manager\nw1\nw2\n")
    assert hosts_in_plan() == "1 job on this machine; nothing was started"
    assert hosts_in_plan(hosts="") == "1 job on this machine; nothing was started"
    assert hosts_in_plan(hosts="my hosts.txt") == "1 job on 3 hosts; nothing was started"
    assert hosts_in_plan(hosts="h1, h2 slots=3") == "1 job on 2 hosts; nothing was started"
    assert hosts_in_plan("--hosts", "h[1-4]", hosts="my hosts.txt") == "1 job on 4 hosts; nothing was started"
    assert hosts_in_plan("--hosts", "localhost", hosts="my hosts.txt") == "1 job on this machine; nothing was started"
    assert hosts_in_plan("--clusters", "cluster.txt", hosts="my hosts.txt") == "1 job on 2 hosts; nothing was started"
    assert "h;x" in hosts_in_plan(hosts="h;x")


def test_who_forgets_to_name_hosts_sees_where_the_jobs_run(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("run", "-", "--name", "r", input="jobs: [{name: x, argv: ['true']}]\n")
    assert told.stdout.splitlines()[0].endswith("run    r: 1 job on this machine, in results/r")


def test_a_dry_run_shows_commands(here: Path) -> None:
    (here / "jobs.yaml").write_text("""
jobs:
  - {name: script, repeat: 2, commands: ["cd  /tmp", "echo 'a b' | wc -l", "# \\e[2J"]}
  - {name: words, argv: [tar, -c, "a b"]}
  - {name: long, commands: ["echo @"]}
""".replace("@", "1234567890" * 20))
    told = call_here("run", "jobs.yaml", "--dry-run")
    script = "cd  /tmp; echo 'a b' | wc -l; # \\x1b[2J"
    lines = told.stdout.splitlines()
    assert lines[:3] == [f"script-1 on localhost: {script}", f"script-2 on localhost: {script}",
                         "words on localhost: tar -c 'a b'"]
    assert lines[3].startswith("long on localhost: echo 1234567890")
    assert lines[3].endswith("…")
    assert lines[4] == "4 jobs on this machine; nothing was started"
    told = call_here("run", "jobs.yaml", "--dry-run", "-v")
    assert told.stdout.splitlines()[:4] == ["script-1 on localhost", "    cd  /tmp", "    echo 'a b' | wc -l",
                                            "    # \\x1b[2J"]
    told = call_here("run", "jobs.yaml", "--dry-run", "--json")
    assert [json.loads(line) for line in told.stdout.splitlines()][2] == {
        "event": "would_run", "job": "words", "hosts": ["localhost"], "commands": [], "argv": ["tar", "-c", "a b"]}
    assert told.returncode == EXIT_OK


def test_once_on_every_host_without_hosts_says_that_it_is_this_machine(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("exec", "--per-host", "echo hi")
    assert "sshjobs: no hosts are named, so that is this machine alone; name some: --hosts h1,h2" in told.stderr
    assert "this machine" not in sshjobs_cli("exec", "--per-host", "--hosts", "localhost", "echo hi").stderr
    assert "this machine" not in sshjobs_cli("exec", "--per-host", "echo hi", env={"SSHJOBS_HOSTS": "localhost"}).stderr
    assert "this machine" not in sshjobs_cli("exec", "echo hi").stderr
