"""Hints about this machine: its disks, files, limits and programs. What they say is done, and the run is carried on."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import LocalError
from sshjobs.model.spec import JobSpec
from sshjobs.network.session import upload
from sshjobs.network.staging import digests, inputs
from sshjobs.network.transport import pipes
from sshjobs.network.transport.pipes import PipeReader
from sshjobs.running import control, detach
from sshjobs.running.run import Run
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.rundir import RunPaths
from tests.cli.here import call_here
from tests.conftest import cli_environment, sshjobs_argv
from tests.hints import tries
from tests.hints.acts import HELD, advised, write_jobs
from tests.house.source import ROOT
from tests.lab import disks
from tests.lab.waiting import wait_until
from tests.trouble.scene import LocalScene

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and other users need root")
#: A user that is not the one of the tests.
OTHER = 65534


# -- the run's directory ----------------------------------------------------------------------------------------------


@tries("put the directory back, then: sshjobs resume")
def test_a_job_s_directory_is_put_back_and_the_run_resumed(scene: Callable[..., LocalScene], here: Path) -> None:
    made = scene({}, {"commands": [HELD.format(here), "echo late"]})
    made.begin()
    made.wait_for("started", 2)
    made.paths.jobs.rename(here / "jobs-aside")
    (here / "go").touch()
    assert made.ends() == 1
    (line,) = made.said()
    assert line.endswith("output cannot be written on this machine: No such file or directory; put the directory back, then: "
                         "sshjobs resume"), line
    (here / "jobs-aside").rename(made.paths.jobs)
    assert made.ask(*advised(line)).returncode == 0
    assert (made.paths.job("job-1") / "stdout").read_text() == "late\n"
    assert set(made.starts().values()) == {1}


@needs_root
@tries("make room", "nothing was done; ask again when that is over")
def test_a_full_disk_is_given_room_and_the_manager_asked_again(scene: Callable[..., LocalScene], here: Path) -> None:
    made = scene({}, {"commands": [f"until test -e {here}/last; do sleep 0.05; done"]})
    made.results.mkdir()
    with disks.small_disk(made.results, "4m"):
        made.begin()
        made.wait_for("launch", 2)
        disks.fill(made.results / "filler")
        (here / "go").touch()
        made.wait_for_warning("database or disk is full; waiting; make room")
        told = made.ask("add", "r", "--", "true")
        assert told.returncode == 1 and told.stderr.endswith("nothing was done; ask again when that is over\n"), told
        (made.results / "filler").unlink()
        wait_until(lambda: made.ask("add", "r", "--", "true").returncode == 0, 30, "the manager to be asked again")
        (here / "last").touch()
        assert made.ends() == 0


@needs_root
@tries("make room there, or choose another place by --results")
def test_standard_input_is_kept_where_there_is_room(here: Path) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(sshjobs_argv(["exec", *options, "--stdin", "-", "wc", "-c", ":::", "-"]), cwd=here,
                              input=bytes(1 << 20), env={**os.environ, **cli_environment()}, capture_output=True, timeout=60,
                              check=False)

    (here / "results").mkdir()
    with disks.small_disk(here / "results", "600k"):
        told = run()
        assert b"make room there, or choose another place by --results" in told.stderr and told.returncode != 0, told
        assert run("--results", "elsewhere").stdout.split()[:1] == [b"1048576"]
        subprocess.run(["mount", "-o", "remount,size=8m", here / "results"], check=True)
        assert run().stdout.split()[:1] == [b"1048576"]


# -- what other users own ---------------------------------------------------------------------------------------------


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> Iterator[Path]:
    """A directory of another user's, with a run in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        monkeypatch.chdir(name)
        monkeypatch.setenv("HOME", name)
        write_jobs({"name": "x", "commands": "exit 3"})
        assert call_here("run", "jobs.yaml", "--name", "r").returncode == 1
        for path in (Path(name), *Path(name).rglob("*")):
            os.chown(path, OTHER, OTHER)
        yield Path(name)


@needs_root
@pytest.mark.skipif(not all(path.stat().st_mode & 0o001 for path in ROOT.parents), reason="other users cannot read this code")
@tries("look at it with status and logs; or do this as that user")
def test_a_run_of_another_user_is_looked_at_or_acted_on_as_that_user(theirs: Path) -> None:
    told = call_here("cancel", "r", "--all")
    assert told.returncode == 2 and "look at it with status and logs; or do this as that user" in told.stderr
    assert call_here("status", "r").returncode == 0
    assert call_here("logs", "r", "x").returncode == 0
    # All that a command loads later is loaded: the other user cannot read it everywhere that tests run.
    os.chown(theirs / "results", 0, 0)
    for path in theirs.glob("results/**/*"):
        os.chown(path, 0, 0)
    assert call_here("cancel", "r", "--all").returncode == 0
    for path in (theirs / "results", *theirs.glob("results/**/*")):
        os.chown(path, OTHER, OTHER)
    os.setresuid(OTHER, OTHER, 0)
    try:
        told = call_here("cancel", "r", "--all")
    finally:
        os.setresuid(0, 0, 0)
    assert told.returncode == 0, told.stderr


@needs_root
@tries("choose one of your own: --results DIR")
def test_a_results_directory_of_one_s_own_is_taken(theirs: Path) -> None:
    told = call_here("run", "jobs.yaml")
    assert told.returncode == 2 and "choose one of your own: --results DIR" in told.stderr
    assert call_here("run", "jobs.yaml", "--results", "mine").returncode == 1
    assert (theirs / "mine" / "jobs-1" / "run.db").exists()


@tries("remove it, or set XDG_RUNTIME_DIR to a directory of yours with a short path")
def test_a_directory_for_sockets_is_made_where_nothing_is_in_the_way(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [here / "one", here / "two"]
    for path in places:
        path.mkdir()
        path.chmod(0o777)
    with monkeypatch.context() as taken:
        taken.setattr(control, "_places", lambda: iter(places))
        with pytest.raises(LocalError, match="remove it, or set XDG_RUNTIME_DIR to a directory of yours with a short path"):
            control.socket_directory()
        places[1].rmdir()
        assert control.socket_directory() == places[1]
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        assert control.socket_directory() == Path(short) / "sshjobs"


# -- managers ---------------------------------------------------------------------------------------------------------


@tries("all it said is in {}")
def test_what_a_manager_in_the_background_died_of_is_in_its_log(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jobs({"name": "x", "commands": "true"})
    with monkeypatch.context() as broken:
        broken.setattr(detach, "_CODE", "import sys; print('a first line', file=sys.stderr); sys.exit('a broken install')")
        told = call_here("run", "jobs.yaml", "--name", "r", "--detach")
    found = re.search(r": a broken install; all it said is in (\S+)$", told.stderr.strip())
    assert told.returncode != 0 and found, told
    assert Path(found[1]).read_text().splitlines() == ["a first line", "a broken install"]
    assert call_here("resume", "r").returncode == 0


@tries("try: sshjobs resume {}")
def test_a_run_that_no_manager_took_in_time_is_resumed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jobs({"name": "x", "commands": "true"})
    monkeypatch.setattr(detach, "PATIENCE", 0.0)
    told = call_here("run", "jobs.yaml", "--name", "r", "--detach")
    assert told.returncode != 0
    assert call_here(*advised(told.stderr)).returncode == 0


@tries("it may have done it: look at sshjobs status before you try again")
def test_a_request_without_an_answer_is_looked_for_and_made_again(scene: Callable[..., LocalScene], here: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene({})
    made.begin()
    made.wait_for("started")
    with monkeypatch.context() as hasty:
        hasty.setattr(control, "TIMEOUT", 0.2)
        made.signal(signal.SIGSTOP)
        told = call_here("pause", "r")
    made.signal(signal.SIGCONT)
    assert told.returncode == 1 and "it may have done it: look at sshjobs status before you try again" in told.stderr
    assert call_here("status").returncode == 0
    assert call_here("pause", "r").returncode == 0
    assert "paused" in call_here("status").stdout
    assert call_here("unpause", "r").returncode == 0
    (here / "go").touch()
    assert made.ends() == 0


@tries("look for another sshjobs that resumed this run")
def test_the_manager_of_a_copy_of_a_run_is_found(scene: Callable[..., LocalScene], here: Path) -> None:
    made = scene({})
    made.begin(hosts="localhost")
    made.wait_for("started")
    shutil.copytree("results", "copy")
    # Elsewhere nobody can tell whether the manager that it was copied from is alive.
    store = RunStore.open(RunPaths(Path("copy"), "r"))
    store.take_over(ManagerIdentity.this_process(), force=True)
    store.close(until=time.time())
    other = subprocess.Popen(sshjobs_argv(["resume", "copy/r"]), cwd=here, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **cli_environment()})
    try:
        wait_until(lambda: any(str(event.get("reason")).endswith("look for another sshjobs that resumed this run")
                               for event in made.of("host")), 60, lambda: str(made.tail()))
        found = subprocess.run(["pgrep", "-f", "sshjobs resume copy/r"], capture_output=True, text=True, check=False)
        assert str(other.pid) in found.stdout.split()
        (here / "go").touch()
        assert other.wait(60) == 0
    finally:
        other.kill()
        other.wait()


@tries("trying again")
def test_an_agent_that_went_away_is_tried_again(scene: Callable[..., LocalScene], here: Path) -> None:
    made = scene({})
    made.begin(hosts="localhost")
    made.wait_for("started")
    assert made.process is not None
    (child, *_) = subprocess.run(["pgrep", "-P", str(made.process.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(child), signal.SIGKILL)
    made.wait_for("unknown")
    assert any(str(event.get("reason")).endswith("trying again") for event in made.of("host")), made.tail()
    (here / "go").touch()
    assert made.ends() == 0
    made.is_all_done(1)


# -- files of jobs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def data(here: Path) -> Path:
    """The input of a job."""
    write_jobs({"name": "x", "files": ["data"], "commands": "cat data"})
    Path("data").write_bytes(b"data\n")
    return Path("data")


def before_first(act: Callable[[], object], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does something else before it is called for the first time."""
    acts = [act]

    def function(*arguments: Any) -> Any:
        if acts:
            acts.pop()()
        return real(*arguments)
    return function


def output() -> bytes:
    return Path("results/r/jobs/x/stdout").read_bytes()


@tries("see its mode and its disk, then: sshjobs retry --failed")
def test_a_file_that_could_not_be_read_any_more_is_mended_and_the_job_retried(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil() -> None:
        data.unlink()
        data.mkdir()

    monkeypatch.setattr(upload, "pieces", before_first(spoil, inputs.pieces))
    told = call_here("run", "jobs.yaml", "--name", "r")
    assert told.returncode == 1
    assert "see its mode and its disk, then: sshjobs retry --failed" in told.stdout + told.stderr
    data.rmdir()
    data.write_bytes(b"again\n")
    assert call_here("retry", "--failed").returncode == 0
    assert output() == b"again\n"


@tries("it is sent anew; do not change it while jobs start")
def test_a_file_that_changed_on_its_way_is_sent_anew(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "pieces", before_first(lambda: data.write_bytes(b"changed\n"), inputs.pieces))
    told = call_here("run", "jobs.yaml", "--name", "r", "--json")
    assert told.returncode == 0
    assert "it is sent anew; do not change it while jobs start" in told.stdout
    assert output() == b"changed\n"


@tries("wait until it is complete, then: sshjobs retry --failed")
def test_a_file_that_was_being_written_is_sent_when_it_is_complete(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hashes:
        sha256 = staticmethod(before_first(lambda: data.write_bytes(b"half\nwhole\n"), hashlib.sha256))

    monkeypatch.setattr(digests, "hashlib", Hashes)
    told = call_here("run", "jobs.yaml", "--name", "r")
    assert told.returncode == 1
    assert "wait until it is complete, then: sshjobs retry --failed" in told.stdout + told.stderr
    assert call_here("retry", "--failed").returncode == 0
    assert output() == b"half\nwhole\n"


@tries("put text into files")
def test_a_script_that_is_too_long_for_a_frame_is_sent_as_a_file(here: Path) -> None:
    # Six bytes of a frame for each letter of two bytes.
    text = "# " + "\u00e9" * 200_000
    run = Run.start([JobSpec([text], name="x")], name="long")
    assert run.wait(60) == 1
    assert str(run.jobs[0].reason).endswith("put text into files")
    Path("script").write_text(f"{text}\necho done\n")
    write_jobs({"name": "x", "files": ["script"], "commands": "bash script"})
    assert call_here("run", "jobs.yaml", "--name", "r").returncode == 0
    assert output() == b"done\n"


# -- programs and pipes -----------------------------------------------------------------------------------------------


def run_on_a_host(options: str) -> subprocess.CompletedProcess[str]:
    """Run a job on this machine as a host of a hosts file with options."""
    write_jobs({"name": "x", "commands": "echo done"})
    Path("hosts.txt").write_text(f"h {options}\n")
    return call_here("run", "jobs.yaml", "--transport", "local", "--hosts", "hosts.txt")


@tries("set python= of the host to an interpreter")
def test_an_interpreter_that_is_there_is_named(here: Path) -> None:
    told = run_on_a_host("python=/nowhere/python3")
    assert told.returncode == 3 and "set python= of the host to an interpreter" in told.stdout + told.stderr
    assert run_on_a_host(f"python={sys.executable}").returncode == 0


@tries("try: {} --version")
def test_an_interpreter_that_is_none_shows_what_it_is(here: Path) -> None:
    Path("python").write_text("#!/bin/sh\necho a broken install >&2\nexit 1\n")
    Path("python").chmod(0o755)
    told = run_on_a_host(f"python={here}/python")
    assert told.returncode == 3
    found = re.search(r"; try: (\S+) --version$", told.stdout + told.stderr, re.MULTILINE)
    assert found, told
    tried = subprocess.run([found[1], "--version"], capture_output=True, text=True, check=False)
    assert (tried.returncode, tried.stderr) == (1, "a broken install\n")
    assert run_on_a_host(f"python={sys.executable}").returncode == 0


@tries("see to that, then: sshjobs resume")
def test_a_run_whose_pipe_broke_here_is_resumed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: PipeReader) -> None:
        raise pipes._refused(OSError(errno.EIO, "Input/output error"))

    write_jobs({"name": "x", "commands": "echo done"})
    with monkeypatch.context() as broken:
        broken.setattr(PipeReader, "read", refuse)
        told = call_here("run", "jobs.yaml", "--name", "r")
    assert told.returncode == 1 and told.stderr.endswith("see to that, then: sshjobs resume\n"), told
    assert call_here(*advised(told.stderr)).returncode == 0
    assert output() == b"done\n"


@tries("see to that, then try again")
def test_what_this_machine_refused_is_seen_to(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    (here / "gone").rmdir()
    told = call_here("exec", "--dry-run", "echo", ":::", "a")
    assert told.returncode == 1 and told.stderr.endswith("No such file or directory; see to that, then try again\n"), told
    monkeypatch.chdir(here)
    assert call_here("exec", "--dry-run", "echo", ":::", "a").returncode == 0


@tries("the run goes on")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_run_that_cannot_be_shown_goes_on(here: Path) -> None:
    write_jobs({"name": "x", "commands": "true"})
    with open("/dev/full", "wb") as full:
        told = subprocess.run(sshjobs_argv(["run", "jobs.yaml", "--name", "r"]), cwd=here, stdin=subprocess.DEVNULL, stdout=full,
                              stderr=subprocess.PIPE, text=True, env={**os.environ, **cli_environment()}, timeout=60, check=False)
    assert told.stderr.endswith("the run goes on\n") and told.returncode == 1, told
    with RunReader.open(RunPaths(Path("results"), "r")) as reader:
        assert reader.summary().counts["done"] == 1
