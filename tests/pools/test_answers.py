"""What a host may answer where results are JSON: nothing of it is ever unpickled, and all of it is told in a line."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from sshjobs import CallError, Executor
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.pools.answers import answer_of
from sshjobs.pools.chunks import RemoteTraceback
from sshjobs.store.rundir import RunPaths

PATIENCE = 60


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.place}/evil",)


def hostile_answers(place: Path) -> dict[str, bytes]:
    """What a host may send in the place of an answer."""
    evil = pickle.dumps(Evil(place))
    return {
        "a pickle": evil, "a pickle as of the other form": b"sshjobs value\n" + evil, "an error of the other form": b"sshjobs error\n" + evil,
        "a pickle of text": pickle.dumps("a" * 100, protocol=0), "nothing": b"", "half": b'{"value": [1, 2', "a list": b'["value"]',
        "text": b'"value"', "a number": b"7", "no value": b'{"other": 1}', "an error that is none": b'{"error": 1}',
        "an error that is text": b'{"error": "unable"}', "an error without words": b'{"error": {"type": "X"}}', "deep": b"[" * 1_000_000,
        "no text": b'{"value": "\xff"}', "a long number": b'{"value": ' + b"9" * 100_000 + b"}", "zeros": b"\0" * 1000,
    }


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was unpickled in this process meanwhile."""
    found: list[str] = []

    def refuse(*args: Any, **more: Any) -> Any:
        found.append("something")
        raise AssertionError("a pickle was read")

    for module in (pickle, cloudpickle):
        for name in ("loads", "load", "Unpickler"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, refuse)
    yield found


def answered(where: Path, data: bytes, status: int) -> Job:
    """A call that has ended, with what its host sent."""
    job = Job(JobSpec("true", name="call"))
    job.paths = RunPaths(where, "run")
    job.outcome, job.exit_status = Outcome.SUCCEEDED if status == 0 else Outcome.FAILED, status
    job.stdout.parent.mkdir(parents=True)
    job.stdout.write_bytes(data)
    job.stderr.touch()
    return job


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("name", hostile_answers(Path("/")))
def test_whatever_a_host_answers_is_an_error_in_a_line(name: str, status: int, tmp_path: Path, unpickled: list[str]) -> None:
    job = answered(tmp_path, hostile_answers(tmp_path)[name], status)
    with pytest.raises(CallError) as caught:
        answer_of(job, "json")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert not unpickled and not (tmp_path / "evil").exists()


def test_an_error_of_a_host_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    data = b'{"error": {"type": "\\u001b[2J", "message": "\\u001b]0;x\\u0007", "traceback": "one\\n\\u001b[31m two\\u202e"}}'
    with pytest.raises(CallError) as caught:
        answer_of(answered(tmp_path, data, 1), "json")
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "\x1b" not in f"{caught.value}{caught.value.__cause__}" and "\u202e" not in str(caught.value.__cause__)
    assert str(caught.value.__cause__).count("\n") == 2


def test_a_host_that_answers_with_pickles_is_not_believed(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch,
                                                          unpickled: list[str]) -> None:
    """From end to end: the function is the host's will."""
    monkeypatch.chdir(tmp_path)

    def answer(data: bytes) -> None:
        import contextlib
        import os

        # Whatever is open may be where the answer goes.
        for fd in range(3, 10):
            with contextlib.suppress(OSError):
                os.write(fd, data)
        os._exit(0)

    with Executor(slots=2, results="json") as executor:
        for data in hostile_answers(tmp_path).values():
            with pytest.raises(CallError):
                executor.submit(answer, data[:2000]).result(PATIENCE)
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
    assert not unpickled and not (tmp_path / "evil").exists()
