"""How an agent takes leave of its runners, and what it counts as left behind."""

from __future__ import annotations

import pytest

from sshjobs.gjob import procs, system
from sshjobs.gjob.agent import parting

ME, RUNNER, SERVER, LEFT, OTHER = 100, 200, 201, 300, 900


class Host:
    """Processes by pid, each with its parent; who has ended has none.

    :ivar scans: how often all of them were looked at
    """

    def __init__(self, parents: dict[int, int], monkeypatch: pytest.MonkeyPatch, *, tells: bool = True):
        self.parents, self.tells, self.scans = parents, tells, 0
        for call in (self.pids, self.stat_of, self.children_of):
            monkeypatch.setattr(system, call.__name__, call)
        monkeypatch.setattr(system, "getpid", lambda: ME)

    def pids(self) -> list[int]:
        self.scans += 1
        return list(self.parents)

    def stat_of(self, pid: int) -> bytes:
        if pid not in self.parents:
            raise ProcessLookupError
        return b"%d (x) S %d 1 1%s 7 0" % (pid, self.parents[pid], b" 0" * 15)

    def children_of(self, pid: int) -> list[int]:
        if not self.tells or pid not in self.parents:
            raise FileNotFoundError
        return [child for child, parent in self.parents.items() if parent == pid]

    def end(self) -> None:
        """Runners go, with their fork servers, as their connection ends."""
        for pid in (RUNNER, SERVER):
            self.parents.pop(pid, None)


@pytest.mark.parametrize("tells", [True, False], ids=["", "kernel tells no children"])
@pytest.mark.parametrize(("below", "left"), [
    ({}, 0), ({RUNNER: ME}, 0), ({RUNNER: ME, SERVER: RUNNER}, 0), ({RUNNER: ME, LEFT: ME}, 1), ({LEFT: ME}, 1),
    ({RUNNER: ME, SERVER: RUNNER, LEFT: ME, LEFT + 1: LEFT}, 2)])
def test_what_is_left_is_what_has_come_of_us_and_is_no_runner(
        monkeypatch: pytest.MonkeyPatch, below: dict[int, int], left: int, tells: bool) -> None:
    host = Host({1: 0, ME: 1, OTHER: 1, **below}, monkeypatch, tells=tells)
    assert parting.dismiss({RUNNER} & set(below), host.end) == left
    assert RUNNER not in host.parents
    assert host.scans == (not tells or not set(below) <= {RUNNER}), "all are looked at only where it must be"


def test_a_runner_that_has_just_ended_may_have_left_something(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host({1: 0, ME: 1, LEFT: ME}, monkeypatch)
    assert parting.dismiss({RUNNER}, host.end) == 1


def test_an_idle_runner_that_stays_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host({1: 0, ME: 1, RUNNER: ME}, monkeypatch)
    killed: list[procs.Proc] = []
    monkeypatch.setattr(parting, "WITHIN", 0.0)
    monkeypatch.setattr(procs, "send", lambda proc, number: killed.append(proc))
    assert parting.dismiss({RUNNER}, lambda: None) == 0
    assert [(proc.pid, proc.start) for proc in killed] == [(RUNNER, 7)]
    assert host.scans == 0
