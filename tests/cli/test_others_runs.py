"""Runs that belong to others, or that others could change: looked at, told whose they are, and never acted on."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from sshjobs.errors import UsageError
from sshjobs.running import control
from sshjobs.store.ownership import NotYoursError, check_own, check_own_results
from sshjobs.store.rundir import RunPaths, create_run

#: A user that is not the one of the tests.
OTHER = 65534
#: What acts on a run.
ACTS = [("resume",), ("resume", "-d"), ("cancel", "--all"), ("retry", "--failed"), ("pause",), ("unpause",), ("verify",), ("gc",),
        ("gc", "--dry-run"), ("rm",), ("rm", "--force"), ("queue", "finish"), ("hosts", "drain"), ("add",)]


@pytest.fixture
def theirs(sshjobs_cli, tmp_path, clean_home) -> Path:
    """A run that is not over, whose ssh configuration would run a program of the user who wrote it."""
    bait = tmp_path / "bait"
    (tmp_path / "config").write_text(f"Host *\n    ProxyCommand touch {bait}\n")
    (tmp_path / "jobs.yaml").write_text(f"jobs: [{{name: job, commands: 'touch {bait}'}}]")
    began = sshjobs_cli("run", "jobs.yaml", "--hosts", "far", "--ssh-config", tmp_path / "config", "--give-up-host",
                        "1s", timeout=60)
    assert bait.exists(), began.stderr
    bait.unlink()
    give(tmp_path / "results", OTHER)
    return bait


def give(path: Path, uid: int) -> None:
    """Give everything below a path to a user."""
    for one in (path, *path.rglob("*")):
        os.chown(one, uid, uid, follow_symlinks=False)


def snapshot(path: Path) -> dict[str, tuple[int, int, bytes]]:
    return {str(one): (one.lstat().st_mode, one.lstat().st_uid, one.read_bytes() if one.is_file() else b"")
            for one in (path, *sorted(path.rglob("*")))}


def words_for(act: tuple[str, ...]) -> list[str]:
    if act[0] == "hosts":
        return [*act, "jobs-1", "far"]
    if act[0] == "add":
        return ["add", "jobs-1", "jobs.yaml"]
    return [act[0], "jobs-1", *act[1:]] if act[0] != "queue" else [*act, "jobs-1"]


@pytest.mark.parametrize("act", ACTS, ids=" ".join)
def test_all_that_acts_refuses_the_run_of_another_user(theirs, sshjobs_cli, tmp_path, act):
    before = snapshot(tmp_path / "results")
    done = sshjobs_cli(*words_for(act))
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "belongs to user nobody" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not theirs.exists()
    assert snapshot(tmp_path / "results") == before


def test_the_run_of_another_user_is_shown_and_it_is_said_whose_it_is(theirs, sshjobs_cli, tmp_path):
    before = snapshot(tmp_path / "results")
    listed = sshjobs_cli("ls")
    assert listed.returncode == 0 and "jobs-1 (of nobody)" in listed.stdout
    assert json.loads(sshjobs_cli("ls", "--json").stdout)["owner"] == "nobody"
    status = sshjobs_cli("status", "jobs-1")
    assert status.returncode == 0 and "job" in status.stdout and "belongs to user nobody" in status.stderr
    logs = sshjobs_cli("logs", "jobs-1", "job")
    assert "belongs to user nobody" in logs.stderr
    assert snapshot(tmp_path / "results") == before
    assert not theirs.exists()


def test_gc_of_all_runs_passes_over_those_of_others(theirs, sshjobs_cli, tmp_path):
    os.chown(tmp_path / "results", os.geteuid(), os.getegid())
    done = sshjobs_cli("gc")
    assert "belongs to user nobody" in done.stderr and not theirs.exists()


@pytest.mark.parametrize(("what", "mode"), [("results", 0o777), ("results", 0o772), ("results/jobs-1", 0o777),
                                            ("results/jobs-1/run.db", 0o666), ("results/jobs-1", 0o770)])
def test_a_run_that_others_could_change_is_refused_until_that_is_mended(sshjobs_cli, tmp_path, what, mode):
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: 'exit 1'}]")
    assert sshjobs_cli("run", "jobs.yaml").returncode == 1
    path = tmp_path / what
    os.chown(path, os.geteuid(), OTHER)
    path.chmod(mode)
    for words in (["retry", "jobs-1", "--failed"], ["resume", "jobs-1"], ["verify", "jobs-1"]):
        done = sshjobs_cli(*words)
        assert done.returncode == 2 and f"chmod go-w {path.relative_to(tmp_path)}" in done.stderr, done.stderr
    # What it advises works.
    subprocess.run(["chmod", "go-w", path], check=True)
    assert sshjobs_cli("verify", "jobs-1").returncode == 0


def test_nothing_is_begun_where_others_may_replace_it(sshjobs_cli, tmp_path):
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: 'true'}]")
    (tmp_path / "results").mkdir()
    (tmp_path / "results").chmod(0o777)
    done = sshjobs_cli("run", "jobs.yaml")
    assert done.returncode == 2 and "others may write" in done.stderr
    assert list((tmp_path / "results").iterdir()) == []
    # In one like /tmp nobody can replace what others have made.
    (tmp_path / "results").chmod(0o1777)
    assert sshjobs_cli("run", "jobs.yaml").returncode == 0
    os.chown(tmp_path / "results", OTHER, OTHER)
    done = sshjobs_cli("run", "jobs.yaml")
    assert done.returncode == 2 and "belongs to user nobody" in done.stderr and "--results" in done.stderr


def test_a_link_that_somebody_else_made_is_not_followed(tmp_path):
    mine = create_run(tmp_path / "elsewhere", name="mine")
    (tmp_path / "results").mkdir()
    link = tmp_path / "results" / "run"
    link.symlink_to(mine.root)
    check_own(RunPaths(tmp_path / "results", "run"))
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    with pytest.raises(NotYoursError, match="symbolic link"):
        check_own(RunPaths(tmp_path / "results", "run"))
    (mine.root / "run.db").symlink_to("/dev/null")
    with pytest.raises(NotYoursError, match="symbolic link|belongs"):
        check_own(mine)


def test_a_group_of_the_user_s_own_is_nobody_else(tmp_path, monkeypatch):
    tmp_path.chmod(0o775)
    check_own_results(tmp_path)
    os.chown(tmp_path, -1, OTHER)
    with pytest.raises(UsageError, match="others may write"):
        check_own_results(tmp_path)


def test_the_control_socket_has_a_place_that_nobody_else_can_take(clean_home, monkeypatch, caplog):
    squatted = Path(f"/tmp/sshjobs-{OTHER - 1}")
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        monkeypatch.setenv("HOME", home)
        monkeypatch.setattr(os, "getuid", lambda: OTHER - 1)
        monkeypatch.setattr(control, "_is_ours", lambda path: path.is_relative_to(home) and path.is_dir())
        squatted.mkdir(exist_ok=True)
        try:
            server = control.ControlServer("0" * 32, lambda request: {"fine": True}, lambda error: None)
            try:
                assert list(Path(home, ".sshjobs", "sshjobs").iterdir()) == [control.socket_path("0" * 32)]
                assert f"{squatted} is not yours alone" in caplog.text
                assert control.ask("0" * 32, {}) == {"fine": True}
            finally:
                server.close()
        finally:
            squatted.rmdir()
