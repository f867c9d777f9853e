"""Whatever a program gives to the API: it is taken, or refused at once with an error of ours, and nothing is left."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import sshjobs
from sshjobs import (
    STATES,
    Attempt,
    Builder,
    InputError,
    Job,
    JobSpec,
    LoggingManager,
    Manager,
    Network,
    Queue,
    Run,
    SshjobsError,
    UsageError,
)
from sshjobs.model.keys import KEYS
from sshjobs.running.runmanager import silent
from tests.hints import tries
from tests.lab.waiting import wait_until

WRONG: list[Any] = [None, 0, -1, 10**400, float("nan"), float("inf"), 1.5, True, "", "no such thing", "\0", "x" * 10_000,
                    b"bytes", [], [None], [1], ["a", object()], ["\0"], {}, {"a": None}, {1: 2}, object(), Path("/"), len]


class Call:
    """A call with good arguments, each of which is then replaced by wrong ones."""

    def __init__(self, function: Callable[..., Any], *words: Any, **named: Any):
        self.function, self.words, self.named = function, words, named

    def spoilt(self, wrong: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield the call once for each argument, with that one wrong."""
        for at in range(len(self.words)):
            words = [wrong if n == at else word for n, word in enumerate(self.words)]
            yield f"argument {at}", partial(self.function, *words, **self.named)
        for name in self.named:
            yield name, partial(self.function, *self.words, **{**self.named, name: wrong})


SPEC: dict[str, Any] = {"name": None, "base_dir": None, **{name: key.default for name, key in KEYS.items()}}


def calls() -> dict[str, Call]:
    """The calls that only look at what they are given."""
    job = Job(JobSpec("true"))
    queue: Queue[Any] = Queue(STATES, ["a"])
    return {
        "JobSpec": Call(JobSpec, "true", index=1, **SPEC),
        "JobSpec of words": Call(JobSpec, argv=["true"]),
        "JobSpec.from_dict": Call(JobSpec.from_dict, {"cmds": ["true"]}),
        "Job": Call(Job, JobSpec("true"), 0, "x"),
        "Job.new_attempt": Call(job.new_attempt, "h", "t"),
        "Attempt": Call(Attempt, 1, "1.1", "h", "t"),
        "Builder.AddJob": Call(Builder().AddJob, "true", repeat=1, **SPEC),
        "Builder.AddJob of words": Call(Builder().AddJob, argv=["true"]),
        "Builder.SetRepeat": Call(Builder().SetRepeat, 1),
        "Builder.AddJobFile": Call(Builder().AddJobFile, "jobs.yaml", data=b"jobs: [{commands: 'true'}]"),
        "Queue": Call(Queue, STATES, ["a"]),
        "Queue.Add": Call(queue.Add, "b"),
        "Queue.SetState": Call(queue.SetState, "a", "busy"),
        "Queue.StateOf": Call(queue.StateOf, "a"),
        "Queue.InState": Call(queue.InState, "free"),
        "Queue.AllInState": Call(queue.AllInState, "free"),
        "Queue.AnyInState": Call(queue.AnyInState, "free"),
        "Queue.CountInState": Call(queue.CountInState, "free"),
        "Queue.ChooseNext": Call(queue.ChooseNext, "busy"),
        "Queue.ChooseRandom": Call(queue.ChooseRandom, "busy"),
        "Manager": Call(Manager, 1.0),
        "Manager.Setup": Call(Manager(1.0).Setup, [JobSpec("true")], "no network"),
        "Manager.post": Call(Manager(1.0).post, print),
        "Manager.cancel": Call(Manager(1.0).cancel, [job]),
        "Network.LaunchJob": Call(Network("results", ["localhost"]).LaunchJob, job, "nosuch"),
        "Network.GetJobStatus": Call(Network("results", ["localhost"]).GetJobStatus, [job]),
        "Network.GetStdout": Call(Network("results", ["localhost"]).GetStdout, job),
        "Network.GetStderr": Call(Network("results", ["localhost"]).GetStderr, job),
        "LoggingManager": Call(LoggingManager, 1.0, io.StringIO()),
        "Network": Call(Network, "results", ["localhost"], False, ssh_config=None, transport="local", slots=1,
                        direct=False, connect_kwargs=None),
        "CheckLocalCommand": Call(sshjobs.CheckLocalCommand, ["true"], False, timeout=60.0),
        "CheckRemoteCommands": Call(sshjobs.CheckRemoteCommands, "nosuch.invalid", "true", False, timeout=10.0,
                                    ssh_config="/dev/null"),
        "CopyLocalFilesToRemoteHost": Call(sshjobs.CopyLocalFilesToRemoteHost, "nosuch.invalid", "x", "/etc/hostname",
                                           ssh_config="/dev/null", verbose=False, timeout=10.0, nonsense=1),
        "WriteRemoteFile": Call(sshjobs.WriteRemoteFile, "nosuch.invalid", "x", "text", False, timeout=10.0,
                                ssh_config="/dev/null"),
    }


@pytest.fixture(autouse=True)
def here(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of its own, at the end of which no thread and no process of ours may be left."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    threads, children = set(threading.enumerate()), _children()
    yield place
    wait_until(lambda: set(threading.enumerate()) <= threads, 30, lambda: str(threading.enumerate()))
    assert _children() <= children


def _children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def complaints(call: Call, values: list[Any], undo: Callable[[Any], None] = lambda result: None) -> list[str]:
    """Return what came out of a call, spoilt by each of the values in turn, that is no error of ours."""
    found = []
    for wrong in values:
        for name, spoilt in call.spoilt(wrong):
            try:
                undo(spoilt())
            except SshjobsError as error:
                text = str(error)
                if max(map(len, text.split("\n"))) > 1000 or ("\n" in text and not isinstance(error, InputError)):
                    found.append(f"{name} = {wrong!r:.60}: an error of {len(text)} letters: {text:.100}")
            except Exception as error:  # noqa: BLE001 (which is what is looked for)
                found.append(f"{name} = {wrong!r:.60}: {type(error).__name__}: {error}"[:300])
    return found


@pytest.mark.parametrize("what", sorted(calls()))
def test_what_is_wrong_is_refused_by_the_call_that_is_given_it(what: str, here: Path) -> None:
    # A command on a host that is not there takes a process: those are few.
    remote = what in ("CheckRemoteCommands", "CopyLocalFilesToRemoteHost", "WriteRemoteFile")
    values = [None, 10**400, "", "\0", [1], object()] if remote else WRONG
    found = complaints(calls()[what], values)
    assert not found, "\n".join(found)
    assert list(here.iterdir()) == []


OPTIONS: dict[str, Any] = {"results": "results", "name": None, "ssh_config": None, "transport": None, "slots": None,
                           "fail_fast": False, "stays_open": False, "listener": silent}


def test_a_start_is_refused_for_each_wrong_argument_and_leaves_nothing(here: Path) -> None:
    def end(run: Run) -> None:
        """Where a wrong value does for a right one, the run goes its way."""
        run.cancel()
        run.wait(60)

    accepted: tuple[Any, ...] = (None, 0, True, "", "no such thing", [], Path("/"), len)
    wrong = [value for value in WRONG if value not in accepted]
    found = complaints(Call(Run.start, [JobSpec("true")], None, **OPTIONS), wrong, end)
    assert not found, "\n".join(found)
    # What is accepted was made; a refusal leaves not even the directory of the results.
    assert [path.name for path in here.iterdir() if path.name != "results"] == []


@pytest.mark.parametrize(("jobs", "says"), [
    (["echo hi"], "JobSpec"), ("echo hi", "cannot be read"), (JobSpec("true"), "list"), (None, "list of JobSpecs"),
    (3, "list"), ([[JobSpec("true")]], "JobSpec"), ({"jobs": []}, "list"), (b"jobs.yaml", "list"),
    ([JobSpec("true", files=["missing.txt"])], "missing.txt' cannot be read"),
    ([JobSpec("cat", stdin="missing.txt")], "missing.txt' cannot be read"),
    ([JobSpec("true", files=["a/x", "/b/../a/x"])], "cannot be read"), ([JobSpec("true", name="a/b")], "cannot be called"),
])
def test_jobs_that_are_none_are_refused_by_the_start(jobs: Any, says: str, here: Path) -> None:
    with pytest.raises(UsageError, match=says):
        Run.start(jobs)
    assert list(here.iterdir()) == []


def test_a_missing_input_is_told_by_the_start(here: Path) -> None:
    (here / "there.txt").write_text("x")
    builder = Builder().AddJob("cat there.txt", files=["there.txt"]).AddJob("cat gone.txt", files=["gone.txt"], name="x")
    with pytest.raises(UsageError, match=r"x: files: 'gone.txt' cannot be read: No such file"):
        Run.start(builder)
    assert [path.name for path in here.iterdir()] == ["there.txt"]


def test_calls_on_a_run_refuse_what_is_wrong_and_the_run_goes_on(here: Path) -> None:
    with Run.start([JobSpec("sleep 600", name="long")], stays_open=True) as run:
        values = [value for value in WRONG if value not in (None, 0, [], {}, 1.5, True)]
        for call in (Call(run.wait, 0.001), Call(run.as_completed, 0.001), Call(run.cancel, ["nobody"]),
                     Call(run.add, [JobSpec("true")]), Call(run.request, {"do": "nothing"})):
            found = complaints(call, values)
            assert not found, "\n".join(found)
        with pytest.raises(UsageError, match="no job is called 'lung'.*did you mean long"):
            run.cancel(["lung"])
        assert [job.outcome for job in run.jobs] == [None]
        run.cancel()
        run.wait(60)
        with pytest.raises(SshjobsError, match="the run has ended"):
            run.add([JobSpec("true")])


def test_a_run_that_cannot_have_a_socket_leaves_no_thread(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> None:
        raise PermissionError(13, "Permission denied", "/nowhere/socket")

    monkeypatch.setattr("sshjobs.running.run.ControlServer", refuse)
    run = Run.start([JobSpec("true")])
    with pytest.raises(SshjobsError, match="the system refused.*Permission denied"):
        run.wait(60)


@tries("raise the limit of processes (ulimit -u)")
def test_a_network_that_cannot_be_opened_leaves_neither_thread_nor_directory(
        here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        if thread.name == "sshjobs-network":
            raise RuntimeError("can't start new thread")
        start(thread)

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(SshjobsError, match=r"no further thread can be started on this machine.*; raise the limit of processes \(ulimit -u\)"):
        Run.start([JobSpec("true")], name="mine")
    assert list((here / "results").iterdir()) == []
    # With room for another thread it starts.
    monkeypatch.setattr(threading.Thread, "start", start)
    assert Run.start([JobSpec("true")], name="mine").wait(60) == 0


@pytest.mark.parametrize("name", ["ProcessJobs", "LaunchJob", "UpdateJobStatus", "turn", "stop", "commit", "abandon"])
def test_a_manager_without_a_run_says_what_comes_first(name: str) -> None:
    with pytest.raises(UsageError, match="the manager has no run yet; call Setup or Resume first"):
        getattr(Manager(1.0), name)()


def test_a_run_takes_a_manager_only() -> None:
    with pytest.raises(UsageError, match="manager must be a RunManager, got 'manager'"):
        Run("manager")  # type: ignore[arg-type]
