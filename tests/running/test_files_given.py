"""What jobs are given: files placed elsewhere, without some, or by link; and what other jobs of the run have left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs import InputError, JobSpec, Run, UsageError
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.model.sent import Sent, Taken
from sshjobs.model.states import Outcome
from sshjobs.store.rundir import RunPaths
from tests.conftest import SshjobsCli
from tests.hints import tries


@pytest.fixture
def start(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)
    return lambda *specs, **options: Run.start(specs, ["localhost slots=4"], **options)


@pytest.mark.parametrize(("item", "place"), [
    (Sent("a/b"), "a/b"), (Sent("/x/b"), "b"), (Sent("../b"), "b"), (Sent("a/b", "in/"), "in/b"), (Sent("a/b", "c"), "c"),
    (Sent("a/b", "c/d"), "c/d"), (Sent("..", "in/"), None), (Sent("..", "in"), "in"), (Sent("a/b", "./"), "b"),
])
def test_where_what_is_sent_is_placed(item: Sent, place: str | None) -> None:
    assert item.place == place


@pytest.mark.parametrize(("item", "path", "alone", "of_several"), [
    (Taken("e", "a/m.bin"), "a/m.bin", "a/m.bin", "j/a/m.bin"),
    (Taken("e", "a/m.bin", "in/"), "a/m.bin", "in/m.bin", "in/j/m.bin"),
    (Taken("e", "a/m.bin", "in"), "a/m.bin", "in", "in/j"),
    (Taken("e", "logs/*.txt", "in/"), "logs/a.txt", "in/a.txt", "in/j/a.txt"),
    (Taken("e", "**/*.txt", "in/"), "logs/a.txt", "in/logs/a.txt", "in/j/logs/a.txt"),
    (Taken("e", "a/plots/", "in/"), "a/plots/x/y", "in/plots/x/y", "in/j/plots/x/y"),
    (Taken("e", "a/plots/", "in"), "a/plots/x/y", "in/x/y", "in/j/x/y"),
    (Taken("e", "a/plots/", "./"), "a/plots/x", "plots/x", "j/plots/x"),
])
def test_where_what_others_left_is_placed(item: Taken, path: str, alone: str, of_several: str) -> None:
    assert item.place(path, None) == alone and item.place(path, "j") == of_several


def test_files_are_placed_where_they_are_wanted_without_what_is_left_out(start: Callable[..., Run], tmp_path: Path) -> None:
    for path in ("data/a", "data/b.tmp", "data/deep/c", "data/deep/d.tmp", "data/cache/e", "one"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    os.mkfifo(tmp_path / "data/cache/pipe")
    run = start(JobSpec(["find . -type f | sort; cat in/data/a"], name="a", base_dir=str(tmp_path), files=[
        {"path": "data", "to": "in/", "exclude": ["**/*.tmp", "cache/"]}, {"path": "one", "to": "two"}, "one"]))
    assert run.wait(60) == EXIT_OK
    assert run.jobs[0].stdout.read_text().split() == ["./in/data/a", "./in/data/deep/c", "./one", "./two", "data/a"]


def test_what_is_readonly_is_one_file_on_the_host_for_all_jobs(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("given")
    (tmp_path / "data/program").write_text("#!/bin/sh\necho runs\n")
    (tmp_path / "data/program").chmod(0o755)
    script = ["stat -c '%i %a' data/a; data/program; rm -f data/a; echo mine > data/a; cat data/a"]
    run = start(*(JobSpec(script, name=f"j{n}", base_dir=str(tmp_path), after=[f"j{n - 1}"] if n else [],
                          files=[{"path": "data", "readonly": True}]) for n in range(3)))
    assert run.wait(60) == EXIT_OK
    said = [job.stdout.read_text().splitlines() for job in run.jobs]
    inodes = {lines[0].split()[0] for lines in said}
    assert len(inodes) == 1 and said[0][0].endswith(" 400") and all(lines[1:] == ["runs", "mine"] for lines in said)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to everything")
def test_a_job_cannot_write_through_what_is_readonly(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("given")
    run = start(JobSpec(["echo mine > a"], base_dir=str(tmp_path), files=[{"path": "a", "readonly": True}]))
    assert run.wait(60) == EXIT_JOBS_FAILED


def test_a_job_that_writes_through_a_link_all_the_same_harms_no_later_job(start: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("given")
    files = [{"path": "a", "readonly": True}]
    run = start(JobSpec(["chmod +w a; echo mine > a"], name="bad", base_dir=str(tmp_path), files=files),
                JobSpec(["cat a"], name="next", base_dir=str(tmp_path), files=files, after="bad"))
    assert run.wait(60) == EXIT_OK
    assert {job.name: job.stdout.read_text() for job in run.jobs}["next"] == "given"


def pairs(n: int) -> list[JobSpec]:
    made = [JobSpec(["mkdir out; echo made by $SSHJOBS_JOB > out/model"], name=f"prep-{k}", entry="prep", params={"k": str(k)},
                    outputs=["out/model"]) for k in range(n)]
    return made + [JobSpec(["cat in/model"], name=f"fit-{k}", entry="fit", params={"k": str(k)}, after="prep",
                           files=[{"from": "prep", "path": "out/model", "to": "in/"}]) for k in range(n)]


def test_each_of_a_pair_is_given_what_the_other_left_and_one_is_given_all(start: Callable[..., Run]) -> None:
    everything = JobSpec(["cat in/*/model", "ls -R in | grep -c model"], name="all", after={"prep": {"jobs": "all"}},
                         files=[{"from": "prep", "path": "out/", "to": "in"}])
    run = start(*pairs(5), everything)
    assert run.wait(60) == EXIT_OK, [job.reason for job in run.jobs]
    said = {job.name: job.stdout.read_text() for job in run.jobs}
    assert [said[f"fit-{k}"] for k in range(5)] == [f"made by prep-{k}\n" for k in range(5)]
    assert said["all"] == "".join(f"made by prep-{k}\n" for k in range(5)) + "5\n"


def test_after_a_resume_files_of_jobs_that_had_ended_are_given(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("""jobs:
- {name: prep, commands: echo made > model, outputs: [model]}
- {name: fit, commands: cat model, after: prep, files: [{from: prep, path: model}]}
""")
    for failpoint in ("before_release:kill@1", "after_intent:kill@2"):
        killed = sshjobs_cli("run", "jobs.yaml", "--hosts", "localhost", "--name", failpoint[:6],
                             env={"SSHJOBS_FAILPOINTS": failpoint})
        assert killed.returncode == -signal.SIGKILL
        run = Run.resume(RunPaths(tmp_path / "results", failpoint[:6]))
        assert run.process() == EXIT_OK and (run.paths.stdout("fit")).read_text() == "made\n"


def test_jobs_that_are_added_are_given_files_of_those_before(start: Callable[..., Run]) -> None:
    run = start(*pairs(1), stays_open=True)
    run.add([JobSpec(["cat model"], name="late", after={"prep": {"jobs": "all"}}, files=[{"from": "prep", "path": "out/model", "to": "./"}])])
    run.finish()
    assert run.wait(60) == EXIT_OK, [job.reason for job in run.jobs]


@tries("name it in the outputs of {}, and run both anew")
def test_what_was_not_left_is_told(start: Callable[..., Run]) -> None:
    prep = JobSpec(["touch a"], name="prep", outputs=["a"])
    run = start(prep, JobSpec(["true"], name="fit", after="prep", files=[{"from": "prep", "path": "b"}]),
                JobSpec(["ls"], name="ended", after={"prep": {"when": "ended"}}, files=[{"from": "prep", "path": "b"}, {"from": "prep", "path": "a"}]))
    assert run.wait(60) == EXIT_JOBS_FAILED
    jobs = {job.name: job for job in run.jobs}
    assert jobs["fit"].outcome is Outcome.NEVER_STARTED and "prep has left no file for 'b'" in (jobs["fit"].reason or "")
    assert jobs["ended"].outcome is Outcome.SUCCEEDED and jobs["ended"].stdout.read_text() == "a\n"
    again = start(JobSpec(["touch a b"], name="prep", outputs=["a", "b"]),
                  JobSpec(["true"], name="fit", after="prep", files=[{"from": "prep", "path": "b"}]))
    assert again.wait(60) == EXIT_OK


def test_mistakes_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "jobs.yaml").write_text("""jobs:
- {name: prep, commands: "true"}
- {name: made, commands: "true", outputs: [a]}
- {name: a, commands: "true", after: made, files: [{from: other, path: a}]}
- {name: b, commands: "true", after: prep, files: [{from: prep, path: a}]}
- {name: c, commands: "true", after: made, files: [{from: made, path: ../a}]}
- {name: d, commands: "true", files: [{path: data, to: /in}]}
- {name: e, commands: "true", files: [{path: gone, to: in/}]}
- {name: f, commands: "true", files: [{path: data, exclude: [/x]}]}
- {name: g, commands: "true", files: [{path: data, sometimes: 1}]}
- {name: h, commands: "true", files: [{to: in/}]}
- {name: i, commands: "true", files: [{path: data, to: x}, {path: jobs.yaml, to: x}]}
- {name: j, commands: "true", files: [{path: data, readonly: 1}]}
- {name: k, commands: "true", files: [7]}
""")
    with pytest.raises(InputError) as caught:
        load_jobfile(tmp_path / "jobs.yaml")
    told = [str(problem) for problem in caught.value.problems]
    assert any(one.endswith("jobs.yaml:4:59: files: from: 'other' is not named by after; write after: other, or correct it")
               for one in told), told
    for line, text in ((4, "files: from: 'other' is not named by after"), (5, "files: from: 'prep' leaves no files"),
                       (6, "'../a' leads out"), (7, "'/in' leads out"), (8, "'gone' cannot be read"), (9, "'/x' leads out"),
                       (10, "has no 'sometimes'"), (11, "needs a path"), (12, "both be placed as 'x'"), (13, "readonly cannot be 1"),
                       (14, "files, item 1,")):
        assert any(f"jobs.yaml:{line}:" in one and text in one for one in told), (line, text, told)
    with pytest.raises(UsageError, match="not named by after"):
        JobSpec(["true"], files=[{"from": "x", "path": "y"}])
