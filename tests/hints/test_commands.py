"""Commands that we print: each is typed in the situation in which it is printed."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

from sshjobs.diagnosis.waiting import why_it_waits
from sshjobs.model.spec import JobSpec
from sshjobs.store import RunReader
from sshjobs.store.index import JobIndex
from tests.cli.here import call_here
from tests.cli.runs import edit
from tests.conftest import cli_environment, sshjobs_argv
from tests.hints import tries
from tests.hints.acts import HELD, command_in, says, write_jobs
from tests.lab.waiting import wait_until
from tests.trouble.scene import LocalScene
from tests.web.serving import serving


@contextlib.contextmanager
def watching(*words: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Carry out a command line that goes on until it is interrupted, with what it says."""
    process = subprocess.Popen(sshjobs_argv(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, env={**os.environ, **cli_environment()})
    assert process.stdout is not None
    try:
        yield process, process.stdout
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@tries("its manager is gone, jobs may still run; go on with: sshjobs resume {}",
       "nobody manages {} at present; to run them: sshjobs resume {}",
       "; nobody manages it at present; to go on: sshjobs resume {}",
       "nobody attends the run; to go on: sshjobs resume {}",
       "nothing is launched, paused by a person; to launch again: sshjobs unpause {}",
       "collect it: sshjobs resume {}")
def test_a_run_whose_manager_was_killed_is_gone_on_with(scene: Callable[..., LocalScene], here: Path) -> None:
    made = scene({}, {"commands": ["true"]})
    made.begin(hosts="h0")
    made.wait_for("started")
    made.kill()
    resume = command_in(says("status", "r"), "its manager is gone, jobs may still run; go on with: ")
    assert command_in(says("add", "r", "--", "true"), "to run them: ") == resume
    assert command_in(says("pause", "r", "job-1"), "; nobody manages it at present; to go on: ") == resume
    assert call_here("unpause", "r", "job-1").returncode == 0
    with watching("logs", "--follow", "r", "job-0") as (_, said):
        assert command_in(said.readline(), "nobody attends the run; to go on: ") == resume
    assert call_here("pause", "r").returncode == 0
    unpause = command_in(says("status", "r"), "to launch again: ")
    assert call_here(*unpause).returncode == 0
    (here / "go").touch()
    wait_until(lambda: "has ended there" in says("verify", "r"), 30, "the end of the job")
    assert command_in(says("verify", "r"), "collect it: ") == resume
    told = call_here(*resume)
    assert told.returncode == 0 and "3 done" in told.stdout, told


@tries("have that settled: sshjobs resume {}", "{} launches nothing more; what runs goes on; to launch again: sshjobs unpause {}")
def test_what_a_host_has_forgotten_is_settled(scene: Callable[..., LocalScene], here: Path, clean_home: Path) -> None:
    made = scene({})
    made.begin(hosts="h0")
    made.wait_for("started")
    assert call_here(*command_in(says("pause", "r"), "to launch again: ")).returncode == 0
    made.kill()
    (here / "go").touch()
    wait_until(lambda: "has ended there" in says("verify", "r"), 30, "the end of the job")
    os.kill(made.of("host")[0]["facts"]["pid"], signal.SIGKILL)
    subprocess.run(["rm", "-r", clean_home / ".sshjobs"], check=True)
    told = says("verify", "r")
    assert "is not there" in told, told
    assert call_here(*command_in(told, "have that settled: ")).returncode == 0


@tries("leaving; what was launched goes on, and is collected by: sshjobs resume {}", "{} not over; go on with: sshjobs resume {}",
       "nothing runs; go on with: sshjobs resume {}", "the run has no manager; to go on: sshjobs resume {}",
       "{} cancelled; to run what did not succeed, too: sshjobs retry {} --failed")
def test_a_run_that_was_left_is_gone_on_with(scene: Callable[..., LocalScene], here: Path) -> None:
    made = scene({}, {"commands": ["true"]})
    with watching("run", "jobs.yaml", "--name", "r", "--slots", "1", "-v") as (process, said):
        wait_until(lambda: made.starts() or None, 60, "the first job")
        process.send_signal(signal.SIGTERM)
        told = said.read()
        assert process.wait(30) == 130
    leaving = command_in(told, "leaving; what was launched goes on, and is collected by: ")
    assert command_in(told, "2 jobs not over; go on with: ") == leaving
    with watching(*leaving) as (process, said):
        wait_until(lambda: "running" in says("status", "r").splitlines()[0], 30, "the manager")
        # Twice: the first asks to start nothing more, the second ends what runs.
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "launching nothing more" in said.readline(), 30, "the first to be heard")
        process.send_signal(signal.SIGINT)
        told = said.read()
        assert process.wait(30) == 130
    retry = command_in(told, "to run what did not succeed, too: ")
    told = says("status", "r")
    assert command_in(told, "nothing runs; go on with: ") == leaving
    assert command_in(told, "to run what did not succeed, too: ") == retry
    with RunReader.open(made.paths) as reader:
        waiting = reader.job("job-1")
        assert waiting is not None
        waits = why_it_waits(waiting, JobSpec("true"), reader, JobIndex())
        assert waits is not None and command_in(waits.words, "the run has no manager; to go on: ") == leaving
    (here / "go").touch()
    assert "2 done" in says(*retry)


@tries("{} goes on by itself (process {}); to watch it: sshjobs attach {}", "{} goes on; to watch it again: sshjobs attach {}")
def test_a_run_that_goes_on_by_itself_is_watched(here: Path) -> None:
    write_jobs({"name": "x", "commands": HELD.format(here)})
    attach = command_in(says("run", "jobs.yaml", "--name", "r", "--detach"), "to watch it: ")
    with watching(*attach) as (process, said):
        assert "r" in said.readline()
        process.send_signal(signal.SIGINT)
        assert command_in(said.read(), "r goes on; to watch it again: ") == attach
        assert process.wait(30) == 130
    (here / "go").touch()
    assert call_here(*attach).returncode == 0


@tries("; where any is left: sshjobs resume {}", "it stays open for jobs; end it with: sshjobs queue finish {}")
def test_a_queue_that_nobody_manages_is_finished_and_carried_to_its_end(here: Path) -> None:
    write_jobs({"name": "x", "commands": "true"})
    assert call_here("queue", "start", "--name", "q", "--detach").returncode == 0
    assert call_here("add", "q", "--", "true").returncode == 0
    wait_until(lambda: "1 done" in says("status", "q"), 30, "the job")
    with sqlite3.connect("results/q/run.db") as store:
        (pid,) = store.execute("SELECT pid FROM managers ORDER BY epoch DESC LIMIT 1").fetchone()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: "running" not in says("status", "q").splitlines()[0], 30, "the manager to leave")
    finish = command_in(says("gc"), "it stays open for jobs; end it with: ")
    assert call_here("add", "q", "--", "true").returncode == 0
    told = call_here(*finish)
    assert told.returncode == 0
    assert call_here(*command_in(told.stdout, "; where any is left: ")).returncode == 0
    assert "2 done" in says("status", "q")


@tries("did you mean: sshjobs run {}", "the commands are {}")
def test_a_word_that_is_no_command_leads_to_one(here: Path) -> None:
    write_jobs({"name": "x", "commands": "true"})
    assert call_here(*command_in(says("jobs.yaml"), "did you mean: ")).returncode == 0
    told = says("zzz")
    assert "the commands are " in told
    for name in told.partition("the commands are ")[2].strip().split(", "):
        assert call_here(name, "--help").returncode == 0


@tries("{} not listed; for all: sshjobs status {} --all", "  and {} more: sshjobs status {} --all")
def test_what_a_screen_has_no_room_for_is_listed_by_status(here: Path) -> None:
    write_jobs(*({"name": f"job-{n}", "commands": f"echo {'x' * n} >&2; exit {n + 1}"} for n in range(12)))
    told = call_here("run", "jobs.yaml", "--name", "r")
    everything = says(*command_in(told.stdout, " more: "))
    assert all(f"job-{n} " in everything for n in range(12))
    names = [f"sim-{n}" for n in range(400)]
    with edit(Path("results"), "many", names):
        pass
    everything = says(*command_in(says("status", "many"), " not listed; for all: "))
    assert all(name in everything for name in names)


@tries("{}: the sessions with hosts did not end in time; what is left there: sshjobs gc")
def test_what_is_left_by_sessions_without_an_end_is_removed(here: Path, clean_home: Path) -> None:
    write_jobs({"name": "x", "commands": "true"})
    code = ("import asyncio, sys; from sshjobs.network import engine; engine.LEAVING_S = 0.1; from sshjobs.cli import main; "
            "engine.Engine._close = lambda self: asyncio.sleep(600); sys.exit(main(['run', 'jobs.yaml', '--name', 'r']))")
    told = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env={**os.environ, **cli_environment()}, check=False)
    gc = command_in(told.stdout + told.stderr, "the sessions with hosts did not end in time; what is left there: ")
    assert call_here(*gc).returncode == 0
    assert not (clean_home / ".sshjobs").exists()


@tries("this server is not reached by that name; see: sshjobs serve --allowed-host", "open the address that sshjobs serve has printed")
def test_pages_are_reached_by_a_name_and_the_address(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(here))
    Path("results").mkdir()
    with serving(Path("results")) as served, httpx.Client(base_url=served.address, timeout=30) as client:
        told = client.get("/api/runs", headers={**served.bearer, "Host": "cluster.example"})
        assert told.status_code == 421
        assert "this server is not reached by that name; see: sshjobs serve --allowed-host" in told.text
        told = client.get("/api/runs")
        assert told.status_code == 401 and "open the address that sshjobs serve has printed" in told.text
        token = served.server.login_url.partition("#token=")[2]
        assert client.get("/api/runs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    with serving(Path("results"), allowed_hosts=("cluster.example",)) as served, served.client() as client:
        assert client.get("/api/runs", headers={"Host": "cluster.example"}).status_code == 200
    assert "--allowed-host" in says("serve", "--help")
