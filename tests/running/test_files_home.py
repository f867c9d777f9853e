"""Files that jobs leave come home from a real agent: whole, whatever they are, and whatever is cut or killed meanwhile."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sshjobs import Builder, InputError, Job, JobSpec, Run, UsageError
from sshjobs.audit.checks import verify
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.model.causes import Cause
from sshjobs.model.states import Outcome
from sshjobs.network.session.arrivals import ArrivingFiles
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.conftest import SshjobsCli, cli_environment
from tests.lab.waiting import wait_until

PIECE = 1 << 18


@pytest.fixture
def start(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)
    return lambda *specs, **options: Run.start(specs, ["localhost slots=4"], **options)


def files_of(paths: RunPaths, job: str) -> dict[str, bytes]:
    """What came of a job, by path."""
    top = paths.files(job)
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if not path.is_dir() or path.is_symlink()}


def agrees(paths: RunPaths) -> list[str]:
    return [f"{one}" for one in verify(paths, paths.name).disagreements]


# -- hostile files -----------------------------------------------------------------------------------------------------

#: Names that files may have; all but the first would do something in a message, a shell or a pattern.
NAMES = ["plain", "new\nline", "bidi\u202e\u2066", "\x1b[31m\x1b]0;x\x07", "-rf", "a b\t'\"$(id)`", "..x", "x" * 255, "*", "\u00e9[!]"]
#: What stands under such a name, and what is said of it.
KINDS = {
    'ln -s /etc/passwd -- "./$N"': "a link",
    'ln -s ../../../../../../../../../../etc/passwd -- "./$N"': "a link",
    'ln -s /etc -- "./$N"': "a link",
    'ln -s . -- "./$N"': "a link",
    'ln -s -- "./$N" "./$N"': "a link",
    'ln -s gone -- "./$N"': "a link",
    'ln -s good -- "./$N"': "a link",
    'mkfifo -- "./$N"': "a pipe, a socket or a device",
    'ln -s /dev/zero -- "./$N"': "a link",
    'mknod -- "./$N" c 1 5 2>/dev/null || mkfifo -- "./$N"': "a pipe, a socket or a device",
}


class Case(NamedTuple):
    """A job that leaves one good file and one that is not to be brought."""

    job: str
    name: str
    word: str
    spec: JobSpec


def cases() -> Iterator[Case]:
    for number, (script, word) in enumerate(KINDS.items()):
        for place, name in enumerate(NAMES):
            for way, (patterns, inside) in enumerate(((["*"], "."), (["**"], "d/e"))):
                job = f"case-{number}-{place}-{way}"
                lines = [f"mkdir -p {inside}; cd {inside}", "echo good > good", script]
                yield Case(job, name, word, JobSpec(lines, name=job, env={"N": name}, outputs=patterns))


def test_of_200_hostile_files_none_is_brought_and_each_is_told(start: Callable[..., Run]) -> None:
    made = list(cases())
    assert len(made) == 200
    run = start(*(case.spec for case in made))
    assert run.wait(120) == EXIT_OK
    jobs = {job.name: job for job in run.jobs}
    for case in made:
        job = jobs[case.job]
        inside = "good" if case.spec.outputs.keys() == {"*"} else "d/e/good"
        assert files_of(run.paths, case.job) == {inside: b"good\n"}, case
        assert job.outcome is Outcome.SUCCEEDED and job.reason is not None and f"({case.word})" in job.reason
        assert job.reason.isprintable() and len(job.reason) < 500 and "\u202e" not in job.reason
        assert job.attempts[-1].brought is not None and job.attempts[-1].brought.files == 1
    assert agrees(run.paths) == []


def test_good_files_of_any_name_come_whole(start: Callable[..., Run]) -> None:
    spec = JobSpec(['i=0; for n in "$A" "$B" "$C" "$D" "$E" "$F" "$G" "$H" "$I" "$J"; do mkdir -p "d$i"; '
                    'printf %s "$n" > "d$i/./$n"; i=$((i + 1)); done', "chmod +x d0/plain; cp -l d0/plain d0/second",
                    "printf '\\377' > $'raw\\377'"],
                   name="names", env=dict(zip("ABCDEFGHIJ", NAMES, strict=True)), outputs=["**"])
    run = start(spec)
    assert run.wait(60) == EXIT_OK
    expected = {f"d{n}/{name}": name.encode() for n, name in enumerate(NAMES)}
    assert files_of(run.paths, "names") == {**expected, "d0/second": b"plain", "raw\udcff": b"\xff"}
    assert os.access(run.paths.files("names") / "d0/plain", os.X_OK)
    assert agrees(run.paths) == []


def test_many_files_and_a_huge_hole_come_whole(start: Callable[..., Run]) -> None:
    many = JobSpec(["mkdir many; for i in {1..2000}; do echo $i > many/$i; done"], name="many", outputs=["many/"])
    hole = JobSpec(["truncate -s 4G hole; echo end >> hole"], name="hole", outputs=["hole"])
    run = start(many, hole)
    assert run.wait(120) == EXIT_OK
    assert files_of(run.paths, "many") == {f"many/{n}": f"{n}\n".encode() for n in range(1, 2001)}
    found = (run.paths.files("hole") / "hole").stat()
    assert found.st_size == (4 << 30) + 4 and found.st_blocks < 2000
    with (run.paths.files("hole") / "hole").open("rb") as file:
        file.seek(4 << 30)
        assert file.read() == b"end\n"


MANY = """
import resource, sys
from sshjobs import JobSpec, Run
number = int(sys.argv[1])
run = Run.start([JobSpec([f"mkdir many; cd many; seq {number} | xargs touch; echo x > 7"], name="many", outputs=["many/"])],
                ["localhost slots=1"], name=f"many-{number}")
assert run.wait(240) == 0
assert list(run.jobs)[0].attempts[-1].brought.files == number == len(list((run.paths.files("many") / "many").iterdir()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_thousand_files_come_whole_and_take_little_memory(clean_home: Path, tmp_path: Path) -> None:
    few, many = (int(subprocess.run([sys.executable, "-c", MANY, str(number)], cwd=tmp_path, check=True, capture_output=True, text=True,
                                    env={**os.environ, **cli_environment()}).stdout) for number in (1000, 100_000))
    assert many - few < 64 << 10, "KiB, at most"


# -- what is asked for -------------------------------------------------------------------------------------------------

def test_patterns_count_from_where_the_job_runs_and_only_what_ended_well_is_brought(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    run = start(
        JobSpec(["mkdir sub; cd sub; touch a b; mkdir c; touch c/d"], name="own", outputs=["sub/*", "nothing/**"]),
        JobSpec(["touch there"], name="there", cwd=str(tmp_path / "far"), outputs=["there"]),
        JobSpec(["touch log model; exit 3"], name="bad", outputs={"model": None, "log": {"when": "always"}}),
        JobSpec(["true"], name="lacks", outputs={"model": {"required": True}}, retries=1),
        JobSpec(["kill -9 $$"], name="killed", outputs={"log": {"required": True, "when": "always"}}),
        JobSpec(["true"], name="none"))
    assert run.wait(60) == EXIT_JOBS_FAILED
    jobs = {job.name: job for job in run.jobs}
    assert files_of(run.paths, "own").keys() == {"sub/a", "sub/b", "sub/c/d"}
    assert "'nothing/**'" in (jobs["own"].reason or "") and jobs["own"].outcome is Outcome.SUCCEEDED
    assert files_of(run.paths, "there").keys() == {"there"} and files_of(run.paths, "bad").keys() == {"log"}
    lacks = jobs["lacks"]
    assert lacks.outcome is Outcome.FAILED and lacks.attempts[0].cause is Cause.OUTPUT_MISSING and len(lacks.attempts) == 2
    assert "a required file is missing" in (lacks.reason or "") and "'model'" in (lacks.reason or "")
    assert jobs["killed"].outcome is Outcome.SIGNALLED
    assert jobs["none"].attempts[0].brought is None and not run.paths.files("none").exists()
    assert agrees(run.paths) == []


def test_the_files_of_an_earlier_attempt_are_put_aside(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(JobSpec(["echo $SSHJOBS_ATTEMPT > n; test $SSHJOBS_ATTEMPT = 2"], name="a", retries=1,
                        outputs={"n": {"when": "always"}}))
    assert run.wait(60) == EXIT_OK
    assert files_of(run.paths, "a") == {"n": b"2\n"}
    assert (run.paths.attempt("a", 1) / "files/n").read_text() == "1\n"
    assert agrees(run.paths) == []


def test_what_was_changed_or_lost_since_is_found(start: Callable[..., Run]) -> None:
    run = start(*(JobSpec(["mkdir d; echo a > d/a; echo b > b"], name=name, outputs=["**"]) for name in
                  ("changed", "gone", "more", "renamed", "linked", "fine")))
    assert run.wait(60) == EXIT_OK
    (run.paths.files("changed") / "d/a").write_text("A\n")
    (run.paths.files("gone") / "b").unlink()
    (run.paths.files("more") / "c").write_text("")
    (run.paths.files("renamed") / "b").rename(run.paths.files("renamed") / "c")
    (run.paths.files("linked") / "b").unlink()
    (run.paths.files("linked") / "b").symlink_to("d/a")
    found = verify(run.paths, "word").disagreements
    assert [Path(one.where).parent.name for one in found] == ["changed", "gone", "more", "renamed", "linked"]


def test_a_checkpoint_comes_while_the_job_runs_and_is_there_for_the_next_attempt(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(JobSpec(["n=$(cat ckpt/n || echo 0)", "mkdir -p ckpt; echo $((n + 1)) > ckpt/new; mv ckpt/new ckpt/n",
                         "echo kept > ckpt/$SSHJOBS_ATTEMPT", f"until [ -e {tmp_path}/go-$n ]; do sleep 0.05; done", "test $n = 2"],
                        name="a", retries=2, outputs={"ckpt/": {"every": 1, "carry": True}}))
    here = run.paths.files("a") / "ckpt/n"
    for n in (1, 2):
        # While it runs: it waits for us.
        expected = f"{n}\n"
        wait_until(lambda expected=expected: here.exists() and here.read_text() == expected, 30, "the checkpoint")  # type: ignore[misc]
        (tmp_path / f"go-{n - 1}").touch()
    (tmp_path / "go-2").touch()
    assert run.wait(60) == EXIT_OK
    assert [attempt.outcome for attempt in run.jobs[0].attempts] == [Outcome.FAILED, Outcome.FAILED, Outcome.SUCCEEDED]
    assert files_of(run.paths, "a") == {"ckpt/n": b"3\n", **{f"ckpt/{n}": b"kept\n" for n in (1, 2, 3)}}
    assert agrees(run.paths) == []


def test_times_are_given_as_elsewhere_in_jobfiles(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("""jobs:
- {name: a, commands: "true", outputs: {x: {every: 10m}, y: {every: 2.5, carry: true}}}
""")
    spec = load_jobfile(str(tmp_path / "jobs.yaml"))[0].spec
    assert [how["every"] for how in spec.outputs.values()] == [600.0, 2.5]
    for key in ("{x: {every: 0.5}}", "{x: {every: soon}}", "{x: {every: true}}", "{x: {carry: 1}}"):
        (tmp_path / "jobs.yaml").write_text(f"jobs:\n- {{name: a, commands: 'true', outputs: {key}}}\n")
        with pytest.raises(InputError, match="jobs.yaml:2:5[0-9]: outputs.*'x'"):
            load_jobfile(str(tmp_path / "jobs.yaml"))
    with pytest.raises(UsageError, match="directory of the job's own"):
        JobSpec(["true"], cwd="/data", outputs={"x": {"carry": True}})


# -- cuts, deaths and full disks ---------------------------------------------------------------------------------------

def test_after_a_cut_a_file_goes_on_at_the_byte(start: Callable[..., Run], pieces: list[tuple[int, int]],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    size = 20 * PIECE + 7
    run = start(JobSpec([f"head -c {size} /dev/urandom > big; sha256sum big"], name="a", outputs=["big"]))
    noted = ArrivingFiles.write

    def cutting(self: ArrivingFiles, *arguments: Any) -> None:
        noted(self, *arguments)
        if len(pieces) in (5, 11):
            # In the thread of the sessions, which is the one that may do so.
            run.manager.network._engine._sessions["localhost"]._stream.abort()  # type: ignore[attr-defined]

    monkeypatch.setattr(ArrivingFiles, "write", cutting)
    assert run.wait(60) == EXIT_OK
    assert sum(length for _, length in pieces) == size, "every byte was written once"
    assert [offset for offset, _ in pieces] == [n * PIECE for n in range(21)]
    assert (run.paths.files("a") / "big").stat().st_size == size
    # The host may still delete what it had: the connection was new.
    wait_until(lambda: agrees(run.paths) == [], 60, "the host to have nothing left")


@pytest.mark.parametrize(("failpoint", "left"), [("file:kill@5", 16), ("exit_seen:kill@1", 0), ("before_release:kill@1", 0),
                                                 ("files_here:kill@1", 0)])
def test_a_manager_that_is_killed_loses_no_file(sshjobs_cli: SshjobsCli, tmp_path: Path, pieces: list[tuple[int, int]],
                                                failpoint: str, left: int) -> None:
    size = 20 * PIECE + 7
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{
        "name": "a", "commands": ["echo x >> ~/ledger", f"head -c {size} /dev/urandom > big"], "outputs": ["big"]}]}))
    killed = sshjobs_cli("run", "jobs.yaml", "--hosts", "localhost", env={"SSHJOBS_FAILPOINTS": failpoint})
    assert killed.returncode == -signal.SIGKILL
    run = Run.resume(RunPaths(tmp_path / "results", "jobs-1"))
    assert run.process() == EXIT_OK
    assert len(pieces) == left and (run.paths.files("a") / "big").stat().st_size == size
    assert (tmp_path / "home/ledger").read_text() == "x\n"
    with RunReader.open(run.paths) as reader:
        assert reader.brought(1, 1)[1, 1][:2] == (1, size)
    assert agrees(run.paths) == []


def test_a_full_disk_here_is_waited_for(start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    write, tries = os.pwrite, [0]

    def full(descriptor: int, data: bytes, offset: int) -> int:
        tries[0] += 1
        if tries[0] in (2, 3):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    run = start(JobSpec([f"head -c {3 * PIECE} /dev/urandom > big"], name="a", outputs=["big"]))
    assert run.wait(60) == EXIT_OK
    assert tries[0] > 4 and (run.paths.files("a") / "big").stat().st_size == 3 * PIECE and agrees(run.paths) == []


def test_outputs_that_leave_the_directory_are_told_with_their_place(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("""jobs:
- name: a
  commands: "true"
  outputs: [fine, ../out]
- name: b
  commands: "true"
  outputs: {/etc/passwd: null}
- name: c
  commands: "true"
  outputs: {x: {when: later}}
- {name: d, commands: "true", outputs: {x: {required: maybe}}}
- {name: e, commands: "true", outputs: {x: {sometimes: true}}}
- {name: f, commands: "true", outputs: [x, x]}
- {name: g, commands: "true", outputs: true}
- {name: h, commands: "true", outputs: [""]}
- {name: i, commands: "true", outputs: [a//b]}
""")
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", "localhost")
    assert told.returncode == 2 and not (tmp_path / "results").exists()
    for place, text in (("4:19", "'../out' leads out of the directory"), ("7:26", "'/etc/passwd' leads out"),
                        ("10:23", "use success or always"), ("11:55", "use true or false"), ("12:45", "takes when, required"),
                        ("13:44", "'x' twice"), ("14:40", "a list of patterns"), ("15:41", "got ''"), ("16:41", "no plain path")):
        assert any(line.startswith(f"jobs.yaml:{place}: outputs") and text in line for line in told.stderr.splitlines()), (
            place, text, told.stderr)


def test_programs_give_outputs_as_jobfiles_do() -> None:
    builder = Builder()
    for outputs in ("a", ["a"], {"a": None}, {"a": {"when": "success"}}):
        builder.AddJob(["true"], outputs=outputs)
    assert {json.dumps(spec.outputs) for spec in builder.job_specs} == {json.dumps({"a": {"when": "success", "required": False, "every": None, "carry": False}})}
    assert Job(builder.job_specs[0]).spec.outputs
