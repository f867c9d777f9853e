"""What KillWorkers and RestartWorkers make of workers that leave, come and keep silent meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from sshjobs.cluster.engine import Call, Engine, WorkerOptions
from sshjobs.pools.facts import WorkerFacts


class Played(Engine):
    """An engine whose workers are a list: for each look, which are there; and whom telling them reaches."""

    kind = "played"
    libraries: ClassVar[Mapping[str, str]] = {}
    commands: ClassVar[Mapping[str, str]] = {}

    def __init__(self, looks: Sequence[str], reached: Sequence[str] = ("", "")):
        super().__init__(Call("KillWorkers"))
        self.looks, self.reached = list(looks), list(reached)
        self.told: list[tuple[str, str]] = []

    def ask_workers(self, wait: float, enough: Callable[[Collection[WorkerFacts]], bool] | None = None) -> list[WorkerFacts]:
        found = [WorkerFacts(name, "host", ord(name)) for name in self.looks.pop(0)]
        while enough is not None and not enough(found) and self.looks:
            found = [WorkerFacts(name, "host", ord(name)) for name in self.looks.pop(0)]
        return found

    def tell_workers(self, do: str, workers: Collection[WorkerFacts]) -> Collection[str]:
        self.told.append((do, "".join(facts.worker for facts in workers)))
        return list(self.reached.pop(0))

    def launch_broker(self) -> int:
        raise NotImplementedError

    def worker_argv(self, arguments: Sequence[str]) -> list[str]:
        raise NotImplementedError

    @classmethod
    def lay_out(cls, directory: Path, address: str, ports: Sequence[int]) -> list[str]:
        raise NotImplementedError

    @classmethod
    def worker_words(cls, options: WorkerOptions) -> list[str]:
        raise NotImplementedError

    def address(self) -> str:
        raise NotImplementedError

    def connect(self) -> None:
        raise NotImplementedError


def names(printed: str, does: str) -> str:
    """The workers that lines say something of."""
    return "".join(chr(int(line.split()[-2])) for line in printed.splitlines() if line.endswith(f" {does}"))


@pytest.mark.parametrize(
    ("looks", "reached", "code", "quit", "silent"),
    [
        ([""], [], 1, "", ""),
        (["ab"], ["ab"], 0, "ab", ""),
        # a was about to restart; it has gone, and b, which has come in its place, has confirmed: nobody is left to be told.
        (["ab", ""], ["b"], 0, "b", ""),
        # It has gone, and b comes only now.
        (["a", "b"], ["", "b"], 0, "b", ""),
        (["ac", "b"], ["c", "b"], 0, "cb", ""),
        # It has gone, and nobody has come yet.
        (["a", ""], [""], 1, "", ""),
        # One that answers and does not confirm is told again, and then said.
        (["a", "a"], ["", "a"], 0, "a", ""),
        (["ab", "a", "a", "a"], ["b", "", ""], 1, "b", "a"),
        # dask lists those that quit for a moment yet.
        (["ab", "ab", "ab", "ab"], ["b", "", ""], 1, "b", "a"),
    ],
)
def test_kill_ends_well_exactly_when_nobody_is_left_to_be_told(looks: list[str], reached: list[str], code: int, quit: str, silent: str,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    played = Played(looks, reached)
    assert played.kill_workers() == code
    out, err = capsys.readouterr()
    assert (names(out, "quits"), names(err.replace("does not confirm that it quits", "silent"), "silent")) == (quit, silent)
    assert ("no worker answers" in err) == (not quit and not silent)
    assert {do for do, _ in played.told} <= {"quit"} and not played.looks and not played.reached


@pytest.mark.parametrize(
    ("looks", "reached", "code", "restart", "told"),
    [
        (["ab", "b", "bc", "cd"], ["ab"], 0, "ab", ["ab"]),
        # Who has come in the place of one that was leaving has just started.
        (["ab", "bc", "c", "cd"], ["b"], 0, "b", ["ab"]),
        # One that does not confirm counts as none that is back.
        (["ab", "a", "a", "a", "ac"], ["b", "", ""], 1, "b", ["ab", "a", "a"]),
    ],
)
def test_restart_waits_until_those_that_were_told_are_back(looks: list[str], reached: list[str], code: int, restart: str, told: list[str],
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    played = Played(looks, reached)
    assert played.restart_workers() == code
    out, err = capsys.readouterr()
    assert names(out, "restarts") == restart and "are back" not in err
    assert [who for _, who in played.told] == told and not played.looks


def test_workers_that_are_not_back_in_time_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert Played(["abc", "cd"], ["abc"]).restart_workers() == 0
    assert capsys.readouterr().err == "sshjobs: 1 of 3 workers are back; one that works on something finishes that first\n"
