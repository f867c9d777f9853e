"""Input trees: links stay links, and what cannot be sent is told before anything starts, or once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from sshjobs.inputs.jobpaths import PathChecker
from sshjobs.model.spec import JobSpec
from sshjobs.network.staging.digests import Digests
from sshjobs.network.staging.inputs import Staging
from tests.conftest import SshjobsCli
from tests.hints import tries


def jobfile(where: Path, **job: object) -> Path:
    """Write a jobfile with one job."""
    (where / "jobs.yaml").write_text(json.dumps({"jobs": [job]}))
    return where / "jobs.yaml"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with links within it."""
    (tmp_path / "d" / "deep").mkdir(parents=True)
    (tmp_path / "d" / "file").write_text("content\n")
    (tmp_path / "d" / "self").symlink_to(".")
    (tmp_path / "d" / "deep" / "up").symlink_to("../file")
    (tmp_path / "d" / "also").symlink_to("deep")
    return tmp_path / "d"


def test_links_within_a_directory_are_sent_as_links(tree: Path, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    jobfile(tmp_path, name="links", files=["d"], commands="readlink d/self d/deep/up d/also; cat d/self/deep/up; ls d/also")
    told = sshjobs_cli("run", "jobs.yaml", "--output", "grouped")
    assert (told.returncode, told.stdout) == (0, ".\n../file\ndeep\ncontent\nup\n"), told.stderr


def test_a_link_that_a_job_names_itself_is_what_it_leads_to(tree: Path, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to("d")
    told = sshjobs_cli("exec", "--send", "named", "--send", "d/deep/up", "cat named/file d/deep/up; [ ! -L named ]; : {}", ":::", "x")
    assert (told.returncode, told.stdout) == (0, "content\ncontent\n")


def make_trouble(tree: Path, what: str) -> str:
    """Put something into a tree that cannot be sent, deep in it; return what is said of it."""
    at = tree / "deep" / "it"
    if what == "dangling":
        at.symlink_to("nowhere")
        return "is a link to nowhere, which is not there; correct it, or take it out"
    if what == "out":
        (tree.parent / "other").write_text("other\n")
        at.symlink_to("../../other")
        return "is a link to ../../other, which leads out of the directory that is sent; put a copy in its place"
    if what == "absolute":
        at.symlink_to(tree / "file")
        return f"is a link to {tree}/file, which leads out of the directory that is sent; put a copy in its place"
    if what == "pipe":
        os.mkfifo(at)
        return "is a named pipe, which cannot be sent; take it out"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(at))
    return "is a socket, which cannot be sent; take it out"


@pytest.mark.parametrize("what", ["dangling", "out", "absolute", "pipe", "socket"])
def test_what_cannot_be_sent_is_told_before_anything_starts(what: str, tree: Path, sshjobs_cli: SshjobsCli,
                                                            tmp_path: Path) -> None:
    words = make_trouble(tree, what)
    jobfile(tmp_path, files=["d"], commands="true")
    told = sshjobs_cli("run", "jobs.yaml")
    assert told.returncode == 2
    assert told.stderr.endswith(f"files: 'd/deep/it' {words}\n") and told.stderr.count("\n") == 1
    told = sshjobs_cli("exec", "--send", "d", "true", ":::", "x")
    assert (told.returncode, told.stderr) == (2, f"sshjobs: job 1: --send: 'd/deep/it' {words}\n")
    assert not (tmp_path / "results").exists()
    # What is advised works.
    (tree / "deep" / "it").unlink()
    assert sshjobs_cli("exec", "--send", "d", "true", ":::", "x").returncode == 0


def test_what_may_not_be_read_is_told_however_deep_it_is(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("deep/secret"))
    (tree / "deep" / "secret").touch()
    complaint = PathChecker(str(tree.parent)).complaint("d", directories=True)
    assert complaint == "'d/deep/secret' cannot be read: no permission; see chmod"


def test_a_tree_of_any_depth_is_looked_at(tmp_path: Path) -> None:
    # Deeper than Python's own limit.
    deep = "d/" + "/".join("x" for _ in range(1100))
    subprocess.run(["sh", "-c", f"mkdir -p {deep} && echo deep > {deep}/file"], cwd=tmp_path, check=True)
    try:
        assert PathChecker(str(tmp_path)).complaint("d", directories=True) is None
        manifest = Staging(Digests(tmp_path / "digests")).manifest(JobSpec("x", files=["d"], base_dir=tmp_path))
        assert manifest.placed[-1].path == f"{deep}/file" and len(manifest.placed) == 1102
    finally:
        # What cleans up behind tests would not manage that.
        subprocess.run(["rm", "-rf", "d"], cwd=tmp_path, check=True)


@tries("put it back, then: sshjobs retry --failed")
def test_a_file_that_vanished_is_told_once_and_the_advice_works(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("here\n")
    # The second job finds its file gone, because the first removes it.
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [
        {"name": "first", "commands": f"rm {tmp_path}/input"},
        {"name": "second", "files": ["input"], "commands": "cat input"}]}))
    told = sshjobs_cli("run", "jobs.yaml", "--slots", "1", "--name", "r")
    assert told.returncode == 1
    advice = "put it back, then: sshjobs retry --failed"
    assert f"{tmp_path}/input: a file of the job cannot be read: No such file or directory; {advice}" in told.stdout
    assert "attempt 2" not in told.stdout
    status = json.loads(sshjobs_cli("status", "--json").stdout)
    assert [(job["name"], job["outcome"], len(job["attempts"])) for job in status["jobs"]] == [
        ("first", "succeeded", 1), ("second", "never_started", 1)]
    (tmp_path / "input").write_text("back\n")
    assert sshjobs_cli("retry", "--failed").returncode == 0
    assert sshjobs_cli("logs", "second").stdout == "back\n"


@pytest.mark.parametrize(("job", "words"), [
    ({"argv": ["./nox.sh"], "files": ["nox.sh"]}, "it has no execute bit"),
    ({"argv": ["./win.sh"], "files": ["win.sh"]}, "the file has Windows line ends"),
    ({"argv": ["no-such-program"]}, "no such program: no-such-program; PATH is "),
    ({"argv": ["pwd"], "cwd": "$HOME"}, "variables are not expanded in cwd: write ~ or the whole path"),
    ({"argv": ["pwd"], "cwd": "/no/such"}, "no such directory: /no/such"),
])
def test_what_cannot_get_better_by_itself_is_tried_once(job: dict[str, object], words: str, sshjobs_cli: SshjobsCli,
                                                        tmp_path: Path) -> None:
    (tmp_path / "nox.sh").write_text("#!/bin/sh\n")
    (tmp_path / "win.sh").write_text("#!/bin/bash\r\necho\r\n", newline="")
    (tmp_path / "win.sh").chmod(0o755)
    jobfile(tmp_path, name="x", retries=2, **job)
    told = sshjobs_cli("run", "jobs.yaml")
    assert told.returncode == 1 and words in told.stdout, told.stdout
    (told_of,) = json.loads(sshjobs_cli("status", "--json").stdout)["jobs"]
    assert len(told_of["attempts"]) == 1


def test_naming_a_job_that_cannot_be_tried_again_is_a_failure(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [
        {"name": "fine", "commands": "true"}, {"name": "once", "commands": "false", "once": True},
        {"name": "bad", "commands": f"test -e {tmp_path}/mended"}]}))
    assert sshjobs_cli("run", "jobs.yaml", "--name", "r").returncode == 1
    for words, code, said in ((["fine"], 1, "0 jobs of r to be tried again; 1 job had not failed"),
                              (["once"], 1, "0 jobs of r to be tried again"), (["bad"], 1, "1 job of r to be tried again")):
        told = sshjobs_cli("retry", "r", *words)
        assert told.returncode == code and said in told.stdout, told
    (tmp_path / "mended").touch()
    # The job that can be tried again is, and succeeds; the other was named in vain.
    told = sshjobs_cli("retry", "r", "bad", "fine")
    assert told.returncode == 1 and "1 job of r to be tried again; 1 job had not failed" in told.stdout
    assert json.loads(sshjobs_cli("status", "--json").stdout)["counts"] == {
        "free": 0, "busy": 0, "unknown": 0, "done": 2, "error": 1}
    assert sshjobs_cli("retry", "r", "--failed").returncode == 0


def test_a_program_that_lies_here_and_is_not_sent_is_told_before_anything_starts(sshjobs_cli: SshjobsCli,
                                                                                 tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("x.sh", "bin/y"):
        (tmp_path / name).write_text("#!/bin/sh\necho it ran $1\n")
        (tmp_path / name).chmod(0o755)
    for words, program, send in ((["./x.sh", "{}"], "./x.sh", "x.sh"), (["./x.sh {} && true"], "./x.sh", "x.sh"),
                                 (["bin/y", "{}"], "bin/y", "bin/y"), (["./{}", "a"], "./x.sh", "x.sh")):
        value = "x.sh" if words[0] == "./{}" else "a"
        told = sshjobs_cli("exec", *words, ":::", value)
        assert told.stderr == (f"sshjobs: job 1: {program} lies here and is not sent, so the job would not find it; "
                               f"write --send {send}\n")
        assert (told.returncode, (tmp_path / "results").exists()) == (2, False)
    assert sshjobs_cli("exec", "--send", "x.sh", "./x.sh", "{}", ":::", "a").stdout == "it ran a\n"
    assert sshjobs_cli("exec", "--send", "bin", "bin/y {}", ":::", "a").stdout == "it ran a\n"
    assert sshjobs_cli("exec", "--cwd", str(tmp_path), "./x.sh", "{}", ":::", "a").stdout == "it ran a\n"


def test_a_file_that_a_failed_command_names_is_told(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('trained')\n")
    for words in (["python3", "train.py"], ["--strict", "python3 train.py; : {}"]):
        told = sshjobs_cli("exec", *words, ":::", "1")
        assert told.returncode == 1
        assert told.stderr.endswith("sshjobs: train.py lies here and was not sent; if the jobs need it: --send train.py\n")
    told = sshjobs_cli("exec", "wc", "-l", ":::", "train.py")
    assert told.stderr.endswith("--send train.py\n")
    told = sshjobs_cli("exec", "--send", "train.py", "python3", "train.py", ":::", "1")
    assert (told.returncode, told.stdout, told.stderr) == (0, "trained\n", "")
