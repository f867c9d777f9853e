"""Hints of the command ``gjob``: each is met, and what it says is done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.gjob.verbs import control, far, files, install, jobdir
from sshjobs.gjob.verbs import main as verbs
from sshjobs.gjob.verbs import ssh as connection
from sshjobs.gjob.verbs.jobdir import JobDir
from sshjobs.gjob.verbs.say import Trouble
from tests.gjob.command import OUR_PYTHON, Gjob, refused, write_command
from tests.hints import Row, tries


@pytest.fixture
def gjob(tmp_path: Path) -> Iterator[Gjob]:
    where = tmp_path / "results"
    where.mkdir()
    made = Gjob(write_command(tmp_path / "gjob", OUR_PYTHON), where)
    yield made
    made.close()


@pytest.fixture
def here(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (clean_home / ".local" / "bin").mkdir(parents=True)
    return clean_home / ".local" / "bin" / "gjob"


@tries("check the name: gjob local mkdir prints it", "there is nothing to signal", "correct it, and start it in a new job directory",
       "make another: gjob local mkdir", "end it first, with the verb kill", "see: gjob local status or gjob remote status")
def test_a_job_directory_is_made_started_ended_and_deleted_as_each_line_says(gjob: Gjob) -> None:
    assert refused(gjob.run("local", "pause", "nosuch")).endswith("check the name: gjob local mkdir prints it")
    name = gjob.ok("local", "mkdir")
    assert refused(gjob.run("local", "kill", name)).endswith("it was not started; there is nothing to signal")
    assert gjob.state(name) == "free"
    told = refused(gjob.run("local", "start", name, "no-such-program"))
    assert told.endswith("correct it, and start it in a new job directory")
    told = refused(gjob.run("local", "start", name, "sleep", "600"))
    command = re.search(r"make another: gjob (.*)$", told)
    assert command, told
    other = gjob.ok(*command[1].split())
    gjob.ok("local", "start", other, "sleep", "600")
    assert refused(gjob.run("local", "delete", other)).endswith("it runs; end it first, with the verb kill")
    gjob.ok("local", "kill", other, "-9")
    assert refused(gjob.run("local", "pause", other)).endswith("it is over; see: gjob local status or gjob remote status")
    assert gjob.state(other) == "error"
    gjob.ok("local", "delete", other)


@tries("run gjob on that host")
def test_a_job_of_another_host_is_ended_there(gjob: Gjob, monkeypatch: pytest.MonkeyPatch) -> None:
    name = gjob.start("sleep", "600")
    with monkeypatch.context() as elsewhere:
        # As the same home is seen from another host.
        elsewhere.setattr(jobdir.procs, "identity", lambda: "another boot")  # type: ignore[attr-defined]
        elsewhere.setattr(jobdir.socket, "gethostname", lambda: "another")  # type: ignore[attr-defined]
        with pytest.raises(Trouble, match="run gjob on that host"):
            control.kill(JobDir(str(gjob.where / name)), None)
    gjob.ok("local", "kill", name, "-9")


@tries("see that files and processes can be made there")
def test_a_job_starts_where_something_can_be_written(gjob: Gjob) -> None:
    name = gjob.mkdir()
    full = subprocess.run(["prlimit", "--fsize=0", gjob.program, "local", "start", name, "true"], cwd=gjob.where,
                          capture_output=True, text=True, timeout=60, check=False)
    assert full.returncode == 1 and full.stderr.endswith("see that files and processes can be made there\n"), full
    gjob.start("true")


@tries("see what they wait for: ps -o stat,wchan,args -p {}", "see: ps -o pid,user,stat,args -p {}")
def test_what_cannot_be_ended_or_stopped_is_shown_by_ps(gjob: Gjob, monkeypatch: pytest.MonkeyPatch) -> None:
    name = gjob.start("sleep", "600")
    job_dir = JobDir(str(gjob.where / name))
    for act, way in ((lambda: control.kill(job_dir, None), "stat,wchan,args"), (lambda: control.pause(job_dir), "user,stat,args")):
        with monkeypatch.context() as stuck:
            stuck.setattr(control, "_poll", lambda condition, deadline: False)
            stuck.setattr(control, "_send", lambda *words: None)
            with pytest.raises(Trouble) as error:
                act()
        command = re.search(r": (ps -o \S+ -p [\d,]+)$", str(error.value))
        assert command and way in command[1], error.value
        shown = subprocess.run(command[1].split(), capture_output=True, text=True, check=True).stdout
        assert "sleep 600" in shown
    gjob.ok("local", "kill", name, "-9")


@tries("see who owns it", "see who owns these")
def test_what_could_not_be_deleted_is_deleted_once_it_may_be(gjob: Gjob, monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    name = gjob.start("touch", "file")
    gjob.over(name)
    job_dir = JobDir(str(gjob.where / name))

    def refuse(*words: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as owned:
        owned.setattr(control, "remove_tree", lambda path: 1)
        with pytest.raises(Trouble, match="not all of it can be deleted: .*file.*; see who owns these"):
            control.delete(job_dir)
        owned.setattr(control.os, "listdir", refuse)  # type: ignore[attr-defined]
        with pytest.raises(Trouble, match="see who owns it"):
            control.delete(job_dir)
    assert (gjob.where / name / "file").owner()
    control.delete(job_dir)
    assert not (gjob.where / name / "file").exists()
    # The command itself, too.
    install.install(b"", "1.0", None, False)
    with monkeypatch.context() as owned:
        owned.setattr(install.os, "unlink", refuse)  # type: ignore[attr-defined]
        owned.setattr(install, "installed", lambda path: "1.0")
        with pytest.raises(Trouble, match="it cannot be removed.*see who owns it"):
            install.remove()
        owned.undo()


def put(version: str = "1.0", *, force: bool = False) -> None:
    """Put the command in its place."""
    install.install(b'__version__ = "1.0"', version, None, force)


def others(path: Path) -> None:
    """Make another program of the name."""
    path.write_text("#!/bin/sh\n")


@tries("move it away, or use --force", "use that sshjobs, or --force", "make room, or make it writable", "it is left alone")
def test_the_command_is_installed_where_another_is_if_that_is_wanted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others(here)
    with pytest.raises(Trouble, match="move it away, or use --force"):
        put()
    with pytest.raises(Trouble, match="another program of that name is there; it is left alone"):
        install.remove()
    assert here.read_text() == "#!/bin/sh\n"
    put(force=True)
    others(here)
    here.rename("elsewhere")
    put()
    monkeypatch.setattr(install, "installed", lambda path: "9.0")
    with pytest.raises(Trouble, match="use that sshjobs, or --force"):
        put()
    put("9.0")
    put(force=True)
    shutil.rmtree(here.parent)
    here.parent.touch()
    with pytest.raises(Trouble, match="make room, or make it writable"):
        put()
    here.parent.unlink()
    put()


@tries("make it writable, or name another")
def test_a_job_directory_is_made_in_a_directory(here: Path) -> None:
    Path("file").touch()
    with pytest.raises(Trouble, match="make it writable, or name another"):
        jobdir.make("file")
    assert (Path("other") / jobdir.make("other")).is_dir()


@tries("install it on the host")
def test_a_program_that_is_there_is_run(here: Path, tmp_path: Path) -> None:
    with open(tmp_path / "kept", "w") as kept:
        with pytest.raises(Trouble, match="install it on the host"):
            far._run_here(["no-such-shell"], str(tmp_path), kept.fileno())
        # As over a connection: it goes on for as long as its standard input is open.
        reading, writing = os.pipe()
        before = os.dup(0)
        os.dup2(reading, 0)
        try:
            assert far._run_here(["true"], str(tmp_path), kept.fileno()) == 0
        finally:
            os.dup2(before, 0)
            for fd in (reading, writing, before):
                os.close(fd)


@tries("use gjob remote from here")
def test_jobs_of_other_hosts_are_started_from_any_system(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert verbs.main(["local", "mkdir"]) == 1
    assert capfd.readouterr().err.endswith("use gjob remote from here\n")
    assert verbs.main(["remote", "start", "--help"]) == 0


@tries("install the OpenSSH client")
def test_ssh_is_what_the_command_reaches_hosts_by(gjob: Gjob, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host h\n    HostName 127.0.0.1\n    Port 1\n")
    words = ["remote", "start", "-r", "x", "-F", str(tmp_path / "config"), "h"]
    told = refused(gjob.run(*words, input="true", env={"PATH": str(tmp_path)}))
    assert told.endswith("install the OpenSSH client")
    assert "Connection refused" in refused(gjob.run(*words, input="true"))


class Talk:
    """What is left of a conversation with a host that ended without an answer.

    :param noise: what came instead of it
    """

    def __init__(self, noise: bytes, *, ready: bool = False):
        answer = type("Answer", (), {"ready": ready, "noise": noise})
        self.answers, self.process = {1: answer, 2: answer}, type("Process", (), {"returncode": 1})


TALKS = [
    Row("what was asked may have been done; see: gjob remote status", lambda: Talk(b"", ready=True),
        lambda: verbs.main(["remote", "status", "--help"])),
    Row("put Python 3.6 or newer first in PATH there", lambda: Talk(b"SSHJOBS-OLD " + b"0" * 32 + b" 3.5\n"),
        lambda: subprocess.run(["python3", "-c", "import sys; assert sys.version_info >= (3, 6)"], check=True)),
    Row("jobs run on Linux only", lambda: Talk(b"SSHJOBS-NOT-LINUX " + b"0" * 32 + b" Darwin\n"),
        lambda: os.uname().sysname == "Linux"),
]


@pytest.mark.parametrize("row", TALKS, ids=lambda row: row.hint)
def test_a_host_that_gave_no_answer_is_explained(row: Row) -> None:
    assert str(connection._explain("h", row.wrong())).endswith(row.hint)  # type: ignore[arg-type]
    row.right()


@tries("nothing was started")
def test_a_file_that_became_shorter_is_sent_by_another_start(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * 100)
    sent = files.Parcel(b"true\n", [str(tmp_path / "data")])
    (tmp_path / "data").write_bytes(b"x")
    with pytest.raises(Trouble, match="it became shorter while it was sent; nothing was started"):
        list(sent.pieces())
    assert b"".join(files.Parcel(b"true\n", [str(tmp_path / "data")]).pieces()).endswith(b"x")
