"""Hints about plans and runs that go on from others: what leads to each, and that what it says works."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import pytest

from sshjobs.errors import SshjobsError, UsageError
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.planning import carrying
from sshjobs.running.newrun import new_run
from tests.cli.here import call_here
from tests.gjob.client import alive
from tests.hints import matches, tries
from tests.hints.acts import HELD, command_in, says, write_jobs
from tests.lab.waiting import wait_until
from tests.planning.did import did, planned, specs_of

pytestmark = pytest.mark.usefixtures("clean_home")
HERE = [Host("localhost", local=True)]


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@tries("{}: {} not count as done, because what it wrote is not whole; see: sshjobs verify {} --no-hosts")
def test_where_output_is_not_whole_verify_names_it() -> None:
    write_jobs({"name": "a", "commands": "echo a"}, {"name": "b", "commands": "echo b"})
    assert call_here("run", "jobs.yaml", "-q").returncode == 0
    Path("results/jobs-1/jobs/a/stdout").write_text("")
    told = call_here("plan", "jobs.yaml")
    assert told.returncode == 0 and "1 job of it does not count as done" in told.stdout
    said = says(*command_in(told.stdout, "see: "))
    assert "results/jobs-1/jobs/a/stdout: has 0 bytes" in said and "jobs/b/" not in said
    Path("results/jobs-1/jobs/b/stdout").unlink()
    assert "2 jobs of it do not count as done" in says("plan", "jobs.yaml")
    assert "2 changed" in says("plan", *command_in(says("plan", "jobs.yaml"), "every job: ")[1:])


@tries("name a file or a directory", "say {text: …} of what is not on this machine", "write uses: [{path: model.bin}]")
def test_what_a_job_uses_is_there_or_is_a_text() -> None:
    os.mkfifo("pipe")
    write_jobs({"commands": "a", "uses": [{"path": "pipe"}, {"path": "absent"}, {"path": "jobs.yaml"}]})
    told = call_here("run", "jobs.yaml", "--dry-run")
    assert told.returncode == 2 and [line.partition(": ")[0].count(":") for line in told.stderr.splitlines()] == [2, 2]
    assert "'pipe' is a named pipe" in told.stderr and "name a file or a directory" in told.stderr
    assert "say {text: …} of what is not on this machine" in told.stderr
    write_jobs({"commands": "a", "uses": [{"path": "."}, {"path": "jobs.yaml"}, {"text": "absent"}]})
    assert call_here("run", "jobs.yaml", "--dry-run").returncode == 0
    with pytest.raises(UsageError, match=r"write uses: \[\{path: model.bin\}\]"):
        JobSpec("a", uses="model.bin")  # type: ignore[arg-type]
    assert JobSpec("a", uses=[{"path": "model.bin"}]).uses == [{"path": "model.bin"}]


@tries("wait for it: sshjobs attach {}; or end it: sshjobs cancel {} --all",
       "collect them: sshjobs resume {}; or end them: sshjobs cancel {} --all")
@pytest.mark.parametrize("gone", [False, True], ids=["its manager works", "its manager is gone"])
@pytest.mark.parametrize("ended", [False, True], ids=["waited for", "ended"])
def test_what_runs_elsewhere_is_waited_for_or_ended(gone: bool, ended: bool) -> None:
    write_jobs({"name": "a", "commands": HELD.format(os.getcwd())})
    pid = json.loads(call_here("run", "jobs.yaml", "-d", "--json", "--name", "one").stdout)["pid"]
    wait_until(lambda: json.loads(says("status", "one", "--json", "--summary"))["counts"]["busy"], 30.0)
    if gone:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), 30.0)
    told = call_here("run", "jobs.yaml", "--continue", "one", "-q")
    first = "collect them: " if gone else "wait for it: "
    assert told.returncode == 2 and matches(first + "sshjobs", told.stderr)
    if ended:
        assert call_here(*command_in(told.stderr, "or end them: " if gone else "or end it: ")).returncode == 0
        call_here("attach" if not gone else "resume", "one", "-q")
        Path("go").touch()
    else:
        Path("go").touch()
        assert call_here(*command_in(told.stderr, first), "-q").returncode == 0
    told = call_here("run", "jobs.yaml", "--continue", "one")
    assert told.returncode == 0 and ("1 job is done already" in told.stdout) != ended, told.stdout + told.stderr


@tries("see to it, then start again", "see to the disk, then start again", "see to it, then try again")
def test_what_this_machine_refused_works_when_it_is_seen_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **keys: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "data").write_text("1")
    specs = specs_of(tmp_path, {"commands": "a", "name": "a", "files": ["data"]})
    one, _ = did(tmp_path / "results", specs, "r-1")
    for where, name, hint in ((os, "link", "see to it, then start again"),
                              (carrying, "sync_tree", "see to the disk, then start again")):
        with monkeypatch.context() as patch, pytest.raises(SshjobsError, match=hint):
            patch.setattr(where, name, full)
            new_run(specs, HERE, tmp_path / "results", name="r-2", earlier=[one])
    (tmp_path / "data").rename(tmp_path / "away")
    with pytest.raises(SshjobsError, match="see to it, then try again"):
        planned(specs, one)
    (tmp_path / "away").rename(tmp_path / "data")
    assert planned(specs, one)[1] == {"a": "done"}
    assert did(tmp_path / "results", specs, "r-2", earlier=[one])[1] == []
