"""Files are fetched that were not brought: of failed jobs, of runs without a manager, whatever is cut or killed meanwhile;
nothing that is here is lost, and what a host answers is believed only as far as it was checked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs import JobSpec, Run, UsageError
from sshjobs.audit.checks import verify
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, LocalError
from sshjobs.network.session.arrivals import ArrivingFiles
from sshjobs.network.transport.local import LocalTransport
from sshjobs.running.fetching import FetchedJob, fetch_files
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.hints import tries
from tests.house.source import ROOT
from tests.lab.waiting import wait_until

PIECE = 1 << 18
SIZE = 20 * PIECE + 7


@pytest.fixture
def far(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the host that jobs run in, which stays."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far").mkdir()
    return tmp_path / "far"


def failed(far: Path, *specs: JobSpec) -> RunPaths:
    """Return a run that is over, of jobs that fail in the same directory."""
    run = Run.start(list(specs) or [JobSpec([f"head -c {SIZE} /dev/urandom > big; exit 3"], name="a", cwd=str(far),
                                            outputs=["big"])], ["localhost slots=4"])
    assert run.wait(60) == EXIT_JOBS_FAILED
    return run.paths


def here(paths: RunPaths, job: str = "a") -> dict[str, bytes]:
    """What is here of a job, by path."""
    top = paths.files(job)
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def agrees(paths: RunPaths) -> list[str]:
    return [f"{one}" for one in verify(paths, paths.name).disagreements]


# -- what is fetched ---------------------------------------------------------------------------------------------------

def test_files_of_a_failed_job_are_fetched_once_and_known_to_the_store(far: Path, pieces: list[tuple[int, int]]) -> None:
    paths = failed(far)
    assert not paths.files("a").exists()
    [told] = fetch_files(paths)
    assert told == FetchedJob("a", "localhost", 1, SIZE, paths.files("a"))
    assert here(paths) == {"big": (far / "big").read_bytes()} and sum(size for _, size in pieces) == SIZE
    with RunReader.open(paths) as reader:
        assert reader.brought(1, 1)[1, 1][:2] == (1, SIZE)
    assert agrees(paths) == []
    pieces.clear()
    [again] = fetch_files(paths)
    assert again.trouble is None and pieces == [], "it looks, and nothing comes again"
    assert sorted(path.name for path in paths.job("a").iterdir()) == ["files", "stderr", "stdout"]
    (paths.files("a") / "big").unlink()
    assert [one.files for one in fetch_files(paths)] == [1] and agrees(paths) == [], "what was lost here comes again"


def test_only_what_lacks_files_is_told_and_what_was_named_always(far: Path) -> None:
    paths = failed(far, JobSpec(["echo 1 > one"], name="done", cwd=str(far), outputs=["one"]),
                   JobSpec(["echo 2 > two; exit 1"], name="kept", cwd=str(far), outputs={"two": {"when": "always"}}),
                   JobSpec(["exit 1"], name="none"), JobSpec(["touch x; exit 1"], name="own", outputs=["x"]),
                   JobSpec(["true"], name="skipped", after={"none": None}, outputs=["x"]))
    told = {one.job: one for one in fetch_files(paths)}
    assert set(told) == {"own"} and "removed at its end" in (told["own"].trouble or "")
    named = {one.job: one for one in fetch_files(paths, ["done", "none", "skipped"])}
    assert named["done"] == FetchedJob("done", None, 1, 2, paths.files("done"))
    assert named["none"].trouble == "it has no outputs; name them in its entry"
    assert named["skipped"].trouble == "it has not started"


def test_what_the_host_does_not_have_any_more_stays_here(far: Path) -> None:
    paths = failed(far, JobSpec(["mkdir ckpt; echo 1 > ckpt/1; echo log > log; exit 1"], name="a", cwd=str(far),
                                outputs={"ckpt/": {"when": "always"}, "log": None}))
    assert here(paths) == {"ckpt/1": b"1\n"}
    (far / "ckpt/1").rename(far / "ckpt/2")
    [told] = fetch_files(paths)
    assert (told.files, told.trouble) == (3, None)
    assert here(paths) == {"ckpt/1": b"1\n", "ckpt/2": b"1\n", "log": b"log\n"} and agrees(paths) == []


def test_a_directory_of_ones_own_keeps_what_is_in_it(far: Path, tmp_path: Path) -> None:
    paths = failed(far, JobSpec(["mkdir d e; echo new > d/f; echo e > e/e; exit 1"], name="a", cwd=str(far), outputs=["**"]))
    mine = tmp_path / "mine/a"
    mine.mkdir(parents=True)
    (mine / "notes").write_text("mine")
    (mine / "d").mkdir()
    (mine / "d/f").write_text("other")
    (mine / "files.old").mkdir()
    (mine / "e").symlink_to("d")
    [told] = fetch_files(paths, to=tmp_path / "mine")
    assert told.directory == mine and told.trouble == "something else stands in the place of 'e/e'"
    assert (mine / "d/f").read_text() == "new\n" and (mine / "notes").read_text() == "mine"
    assert sorted(path.name for path in mine.iterdir()) == ["d", "e", "files.old", "notes"]
    assert not (mine / "d/e").exists() and not paths.files("a").exists()
    (mine / "e").unlink()
    assert [one.trouble for one in fetch_files(paths, to=tmp_path / "mine")] == [None] and (mine / "e/e").read_text() == "e\n"


@tries("name a directory of yours: --to DIR")
def test_a_place_that_cannot_be_is_told(far: Path, tmp_path: Path) -> None:
    paths = failed(far)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="files cannot be put there.*name a directory of yours: --to DIR"):
        list(fetch_files(paths, to=tmp_path / "file"))
    assert [one.files for one in fetch_files(paths, to=tmp_path / "deep/er")] == [1]


def test_programs_fetch_too(far: Path, tmp_path: Path) -> None:
    with Run.start([JobSpec(["echo x > x; exit 1"], name="a", cwd=str(far), outputs=["x"])], ["localhost"]) as run:
        assert run.wait(60) == EXIT_JOBS_FAILED
    assert run.fetch(["a"], to=str(tmp_path / "to"))[0].directory == tmp_path / "to/a"
    assert run.fetch() == [FetchedJob("a", "localhost", 1, 2, run.paths.files("a"))]
    for names, to in ((["b"], None), ("a", None), (None, 7), (None, "")):
        with pytest.raises(UsageError):
            run.fetch(names, to=to)  # type: ignore[arg-type]


def test_a_live_run_is_fetched_from_and_goes_on(far: Path, tmp_path: Path) -> None:
    run = Run.start([JobSpec([f"echo {n} > {n}; exit {n}"], name=f"bad-{n}", cwd=str(far), outputs=[str(n)]) for n in (1, 2)]
                    + [JobSpec(["echo now > now; until [ -e go ]; do sleep 0.02; done"], name="slow", cwd=str(far), outputs=["now"])],
                    ["localhost slots=4"])
    jobs = {job.name: job for job in run.jobs}
    wait_until(lambda: all(jobs[f"bad-{n}"].attempts and jobs[f"bad-{n}"].attempts[-1].released for n in (1, 2)), 30, "both to fail")
    wait_until((far / "now").exists, 30, "the third to begin")
    assert {one.job: (one.files, one.trouble) for one in run.fetch()} == {"bad-1": (1, None), "bad-2": (1, None)}
    assert "it is not over" in (run.fetch(["slow"])[0].trouble or "")
    assert run.fetch(["slow"], to=tmp_path / "to")[0].files == 1 and (tmp_path / "to/slow/now").read_text() == "now\n"
    assert jobs["bad-1"].attempts[-1].brought is not None
    (far / "go").touch()
    assert run.wait(60) == EXIT_JOBS_FAILED
    assert here(run.paths, "slow") == {"now": b"now\n"} and agrees(run.paths) == []


# -- cuts, deaths and full disks ---------------------------------------------------------------------------------------

def test_after_a_cut_a_file_goes_on_at_the_byte(far: Path, pieces: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a stream that is cut a MiB and more may be on its way: enough is left for two more even so.
    count = 60
    paths = failed(far, JobSpec([f"head -c {count * PIECE} /dev/urandom > big; exit 3"], name="a", cwd=str(far), outputs=["big"]))
    streams, begun, opened, noted = [], list[int](), LocalTransport.open, ArrivingFiles.write

    async def remembered(self: LocalTransport, host: Any) -> Any:
        streams.append(await opened(self, host))
        begun.append(len(pieces))
        return streams[-1]

    def cutting(self: ArrivingFiles, *arguments: Any) -> None:
        noted(self, *arguments)
        # Counted from where this stream began: of one that is cut, some pieces may still be on their way.
        if len(streams) < 3 and len(pieces) - begun[-1] == 5:
            streams[-1].abort()

    monkeypatch.setattr(LocalTransport, "open", remembered)
    monkeypatch.setattr(ArrivingFiles, "write", cutting)
    [told] = fetch_files(paths)
    assert told.trouble is None and len(streams) == 3
    assert [offset for offset, _ in pieces] == [n * PIECE for n in range(count)], "every byte was written once"
    assert here(paths) == {"big": (far / "big").read_bytes()} and agrees(paths) == []


@pytest.mark.parametrize("to", [False, True])
def test_a_fetch_that_is_killed_is_gone_on_with(far: Path, tmp_path: Path, sshjobs_cli: SshjobsCli, pieces: list[tuple[int, int]],
                                                to: bool) -> None:
    paths = failed(far)
    words = ["--to", "mine"] if to else []
    killed = sshjobs_cli("fetch", *words, env={"SSHJOBS_FAILPOINTS": "file:kill@5"})
    assert killed.returncode == -signal.SIGKILL and agrees(paths) == []
    [told] = fetch_files(paths, to=tmp_path / "mine" if to else None)
    assert told.trouble is None and sum(size for _, size in pieces) == SIZE - 5 * PIECE
    assert told.directory is not None and (told.directory / "big").read_bytes() == (far / "big").read_bytes()
    assert agrees(paths) == []


def test_a_full_disk_here_ends_it_and_what_came_is_kept(far: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[tuple[int, int]]) -> None:
    paths = failed(far)
    with monkeypatch.context() as full:
        noted = ArrivingFiles.write

        def refusing(self: ArrivingFiles, *arguments: Any) -> None:
            if len(pieces) == 5:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            noted(self, *arguments)

        full.setattr(ArrivingFiles, "write", refusing)
        with pytest.raises(LocalError, match="the disk of this machine is full; make room"):
            list(fetch_files(paths))
    [told] = fetch_files(paths)
    assert told.trouble is None and sum(size for _, size in pieces) == SIZE and agrees(paths) == []


def test_of_two_fetches_the_second_waits_and_finds_all_here(far: Path, tmp_path: Path) -> None:
    paths = failed(far)

    def begin(**env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(sshjobs_argv(["fetch", "--json"]), cwd=tmp_path, env={**os.environ, **cli_environment(), **env},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = begin(SSHJOBS_FAILPOINTS="file:stop@3")
    try:
        wait_until(lambda: Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", 30, "the first to stand still")
        second = begin()
        assert second.stderr is not None
        assert "being fetched already; waiting" in second.stderr.readline()
        first.send_signal(signal.SIGCONT)
        told = [json.loads(one.communicate(timeout=60)[0]) for one in (first, second)]
    finally:
        first.kill()
    assert [(one["files"], one["trouble"]) for one in told] == [(1, None)] * 2 and (first.returncode, second.returncode) == (0, 0)
    assert here(paths) == {"big": (far / "big").read_bytes()} and agrees(paths) == []


def test_a_run_whose_manager_was_killed_is_fetched_from_and_resumed(tmp_path: Path, clean_home: Path,
                                                                    pieces: list[tuple[int, int]]) -> None:
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{
        "name": "a", "commands": [f"head -c {SIZE} /dev/urandom > big; until [ -e ~/go ]; do sleep 0.02; done; touch ~/over"],
        "outputs": ["big"]}]}))
    manager = subprocess.Popen(sshjobs_argv(["run", "jobs.yaml", "--hosts", "localhost"]), cwd=tmp_path,
                               env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL)
    try:
        [work] = wait_until(lambda: list(clean_home.glob(".sshjobs/*/*/w/1.1/big")), 30, "the job to begin")
    finally:
        manager.kill()
        manager.wait()
    paths = RunPaths(tmp_path / "results", "jobs-1")
    wait_until(lambda: work.stat().st_size == SIZE, 30, "the file to be whole")
    (clean_home / "go").touch()
    wait_until((clean_home / "over").exists, 30, "the job to end")
    [told] = fetch_files(paths)
    assert told.trouble is None and here(paths) == {"big": work.read_bytes()}
    pieces.clear()
    resumed = Run.resume(paths)
    assert resumed.process() == EXIT_OK and pieces == [], "nothing comes twice"
    assert len(here(paths)["big"]) == SIZE
    wait_until(lambda: agrees(paths) == [], 60, "the host to have nothing left")


def test_what_was_fetched_of_a_job_that_started_again_is_not_taken_for_its_files(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = failed(far, JobSpec(["test -e one || echo 1 > one; exit 3"], name="a", cwd=str(far), outputs=["one"]))
    publish = ArrivingFiles._close

    def again(self: ArrivingFiles) -> None:
        publish(self)
        if not done:
            done.append(True)
            retried = Run.go_on(paths, stays_open=True)
            retried.request({"do": "retry", "jobs": ["a"]})
            retried.finish()
            assert retried.wait(60) == EXIT_JOBS_FAILED

    done: list[bool] = [True]
    monkeypatch.setattr("sshjobs.network.staging.fetched.IntoRun._close", again)
    fetching = fetch_files(paths)
    done.clear()
    [told] = fetching
    assert told.trouble is not None and "it was started again" in told.trouble
    assert not paths.files("a").exists() and agrees(paths) == []


# -- hostile hosts -----------------------------------------------------------------------------------------------------

def found(*paths: str, size: int = 3, **keys: Any) -> dict[str, Any]:
    return {"t": "found", "id": "1.1", "seq": 1, "last": True, "paths": list(paths), "sizes": [size] * len(paths),
            "times": [1] * len(paths), "programs": [False] * len(paths), "odd": [], "why": [], **keys}


def part(body: str, off: int = 0, file: int = 0) -> list[Any]:
    return [{"t": "part", "id": "1.1", "i": file, "off": off}, body]


def whole(body: str, file: int = 0) -> dict[str, Any]:
    return {"t": "whole", "id": "1.1", "i": file, "sha": hashlib.sha256(body.encode()).hexdigest(), "why": None}


GOOD = [part("yes"), whole("yes")]
NONSENSE = "the host said what it must not say"
#: What a host answers to ``pull`` and to ``get``, and what is said of it.
ANSWERS: dict[str, tuple[list[Any], list[Any], str]] = {
    "above": ([found("../out")], [], NONSENSE),
    "absolute": ([found("/tmp/out")], [], NONSENSE),
    "own name": ([found("./x")], [], NONSENSE),
    "nobody asked": ([found("other")], [], NONSENSE),
    "twice": ([found("x", "x")], [], NONSENSE),
    "out of order": ([found("xb", "xa")], [], NONSENSE),
    "endless size": ([found("x", size=1 << 62)], [], "more than 8 TiB"),
    "negative size": ([found("x", size=-1)], [], NONSENSE),
    "lists": ([found("x", sizes=[1, 2])], [], NONSENSE),
    "more than told": ([found("x")], [part("yes, and more")], NONSENSE),
    "another file": ([found("x")], [part("yes", file=7)], NONSENSE),
    "an offset": ([found("x", size=1 << 40)], [part("yes", off=1 << 39)], NONSENSE),
    "damaged": ([found("x")], [part("yes"), whole("no!")], "it was damaged on its way"),
    "short": ([found("x")], [part("y"), whole("y")], "it was damaged on its way"),
    "a longer body": ([found("x")], [[{"t": "part", "id": "1.1", "i": 0, "off": 0, "n": 1 << 40}, ""]], NONSENSE),
    "an end": ([{"t": "ended", "id": "1.1", "why": "exited", "status": 0, "out": 0, "err": 0}], [], NONSENSE),
    "output": ([[{"t": "out", "id": "1.1", "s": 1, "off": 0, "crc": 0}, "x"]], [], NONSENSE),
    "a warning": ([{"t": "warn", "msg": "\x1b[31mred"}], [], NONSENSE),
    "no frame": (["what? \x1b[31m\n"], [], NONSENSE),
    "a long line": (["x" * (3 << 20)], [], NONSENSE),
    "a flood": (['{"t":"pong","seq":0}\n' * 30_000], [], NONSENSE),
    "too many words": ([found(*(f"x{n:04}" for n in range(1001)))], [], NONSENSE),
    "another attempt": ([found("x", id="9.9")] * 3 + [{"t": "error", "msg": "enough\x1b[31m"}], [], NONSENSE),
    "lone surrogates": ([found("x\udc80\ud800")], [], NONSENSE),
    "the end": ([found("x")], [["", ""]], "did not come"),
}


@pytest.mark.parametrize("name", [name for name in ANSWERS if name != "the end"])
def test_a_host_that_lies_is_told_and_nothing_of_it_is_kept(far: Path, tmp_path: Path, sshjobs_cli: SshjobsCli, name: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} \"$@\"\n")
    python.chmod(0o755)
    (tmp_path / "hosts.txt").write_text(f"liar python={python}\n")
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{"name": "a", "commands": ["exit 1"], "cwd": str(far), "outputs": ["x*"]}]}))
    assert sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt", "--transport", "local").returncode == EXIT_JOBS_FAILED
    pulled, got, said = ANSWERS[name]
    (tmp_path / "answers").write_text(json.dumps({"pull": [pulled], "get": [got]}))
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {ROOT}/tests/hostile/answering.py {tmp_path}/answers\n")
    before = sorted(tmp_path.iterdir())
    told = sshjobs_cli("fetch", "--to", "mine")
    assert told.returncode == EXIT_JOBS_FAILED and said in told.stderr, told.stderr
    assert told.stderr.isprintable() or told.stderr.replace("\n", "").isprintable()
    assert "Traceback" not in told.stderr and len(told.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) in (before, sorted([*before, tmp_path / "mine"]))
    assert [path for path in (tmp_path / "mine").rglob("*") if path.is_file() and ".sshjobs-fetch-" not in str(path)] == []
    into_run: Callable[..., Any] = sshjobs_cli
    assert into_run("fetch").returncode == EXIT_JOBS_FAILED and not (tmp_path / "results/jobs-1/jobs/a/files").exists()
