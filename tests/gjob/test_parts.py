"""The agent's parts by themselves: runners and their journals, inputs on their way, what is asked of a link, how trees are ended."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.gjob import kill, procs, system
from sshjobs.gjob.agent.agent import Agent
from sshjobs.gjob.agent.attempts import Attempt
from sshjobs.gjob.agent.blobs import Blobs
from sshjobs.gjob.agent.link import TOO_MUCH
from sshjobs.gjob.agent.loop import READ, WRITE
from sshjobs.gjob.agent.pool import Pool, Worker
from sshjobs.gjob.light import socket
from sshjobs.gjob.places import Places
from sshjobs.gjob.wire import WireError

# -- runners -------------------------------------------------------------------------------------------------------------


class Runners:
    """A pool of two slots whose runners are sockets.

    :ivar ends: of the runners, by slot
    """

    def __init__(self, top: Path):
        self.top = top
        history: Any = SimpleNamespace()
        self.pool = Pool(Places(str(top), "r", "h"), history, "run", "host", 2, lambda hold: None)
        self.ends: dict[int, socket.socket] = {}

    def worker(self, slot: int) -> Worker:
        """Make the runner of a slot, with its journal."""
        ours, its = socket.socketpair()
        ours.setblocking(False)
        its.settimeout(20)
        self.ends[slot] = its
        journal = self.top / f"{slot}.log"
        journal.touch()
        worker = self.pool._workers[slot] = Worker(0, ours, slot, str(journal))
        return worker

    def work(self, worker: Worker, uid: str, keep: bool = False) -> Attempt:
        """Have a runner do an attempt."""
        attempt = Attempt(uid, "t", b"a launch\n")
        attempt.keep = keep
        self.pool.assign(worker, attempt)
        assert self.ends[worker.slot].recv(100) == b"a launch\n"
        self.pool.done(worker)
        return attempt

    def close(self) -> None:
        for sock in [*self.ends.values(), *(worker.sock for worker in self.pool._workers.values())]:
            sock.close()


@pytest.fixture
def runners(tmp_path: Path) -> Iterator[Runners]:
    made = Runners(tmp_path)
    yield made
    made.close()


def test_a_runner_that_is_done_does_the_next_job(runners: Runners) -> None:
    worker = runners.worker(1)
    runners.work(worker, "1.1")
    assert runners.pool.idle() is worker and runners.pool.get(None) is worker
    runners.work(worker, "2.1")
    assert runners.pool.idle() is worker and not runners.pool.busy


def test_a_runner_whose_job_may_leave_processes_ends_with_it(runners: Runners) -> None:
    worker = runners.worker(1)
    runners.work(worker, "1.1", keep=True)
    assert runners.pool.idle() is None
    assert runners.ends[1].recv(1) == b"", "it is told that nothing more comes"
    worker.sock.close()


def test_a_runner_whose_slot_is_gone_ends_after_its_job(runners: Runners) -> None:
    first, second = runners.worker(1), runners.worker(2)
    runners.pool.set_slots(1)
    runners.work(second, "1.1")
    assert runners.pool.idle() is None and runners.ends[2].recv(1) == b""
    runners.work(first, "2.1")
    assert runners.pool.idle() is first
    second.sock.close()


def test_a_journal_is_deleted_with_the_last_that_is_released_in_it_once_its_runner_is_gone(runners: Runners) -> None:
    worker = runners.worker(1)
    attempts = [runners.work(worker, uid) for uid in ("1.1", "2.1", "3.1")]
    journal = Path(worker.journal)
    runners.pool.forget(attempts[0])
    assert journal.exists()
    runners.pool.remove(worker)
    assert journal.exists() and not runners.pool.unused
    runners.pool.forget(attempts[1])
    assert journal.exists(), "an attempt in it is not released"
    runners.pool.forget(attempts[2])
    assert not journal.exists()


def test_a_journal_in_which_nothing_is_left_goes_with_its_runner(runners: Runners) -> None:
    worker = runners.worker(1)
    runners.pool.forget(runners.work(worker, "1.1"))
    assert Path(worker.journal).exists(), "more may come into it"
    runners.pool.remove(worker)
    assert not Path(worker.journal).exists()


# -- inputs --------------------------------------------------------------------------------------------------------------

DATA = b"an input"
SHA, CRC = hashlib.sha256(DATA).hexdigest(), zlib.crc32(DATA)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    (tmp_path / "r/h/b").mkdir(parents=True)
    return Blobs(Places(str(tmp_path), "r", "h"))


def there(tmp_path: Path) -> list[str]:
    return sorted(os.listdir(tmp_path / "r/h/b"))


def test_an_input_has_its_name_when_all_of_it_is_here(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.put(SHA, len(DATA), CRC, 0, DATA[:3]) is None
    assert there(tmp_path) == [SHA + ".part"]
    assert blobs.put(SHA, len(DATA), CRC, 3, DATA[3:]) is None
    assert there(tmp_path) == [SHA] and (tmp_path / "r/h/b" / SHA).read_bytes() == DATA
    # What is here already is dropped, by the piece.
    assert blobs.put(SHA, len(DATA), CRC, 0, b"ano") is None and blobs.put(SHA, len(DATA), CRC, 3, b"other") is None
    assert (tmp_path / "r/h/b" / SHA).read_bytes() == DATA


@pytest.mark.parametrize(("offset", "data", "words"), [
    (0, DATA + b"x", "more than the size"), (3, DATA[3:] + b"x", "more than the size"), (len(DATA), b"x", "more than the size"),
    (4, DATA[4:], "at 4, expected 3"), (3, b"n other", "more than the size"), (3, b"other", "the crc32 is another")])
def test_a_piece_that_does_not_fit_is_refused(blobs: Blobs, tmp_path: Path, offset: int, data: bytes, words: str) -> None:
    blobs.put(SHA, len(DATA), CRC, 0, DATA[:3])
    with pytest.raises(WireError, match=words):
        blobs.put(SHA, len(DATA), CRC, offset, data)
    blobs.forget_halves()
    assert there(tmp_path) == []


def test_an_input_that_finds_no_room_is_told_once_taken_to_its_end_and_not_here(
        blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(system, "write", full)
        assert blobs.put(SHA, len(DATA), CRC, 0, DATA[:3]) == "an input file cannot be kept: No space left on device"
    # There is room again; without the first piece the others are of no use.
    assert blobs.put(SHA, len(DATA), CRC, 3, DATA[3:5]) is None
    assert blobs.put(SHA, len(DATA), CRC, 5, DATA[5:]) is None
    assert there(tmp_path) == []
    lacking: list[list[str]] = []
    blobs.ask([[SHA, len(DATA)]], lacking.append)
    assert lacking == [[SHA]] and not blobs.busy
    assert blobs.put(SHA, len(DATA), CRC, 0, DATA) is None and there(tmp_path) == [SHA]


# -- links ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("waiting", "paused", "wanted"), [
    (0, False, READ), (1, False, READ | WRITE), (TOO_MUCH, False, READ | WRITE), (TOO_MUCH + 1, False, WRITE),
    (1, True, READ), (TOO_MUCH + 1, True, 0)])
@pytest.mark.parametrize("files", [(5, 5), (5, 6)])
def test_nothing_more_is_read_from_a_manager_that_does_not_read(
        waiting: int, paused: bool, wanted: int, files: tuple[int, int]) -> None:
    agent, events = Agent.__new__(Agent), dict.fromkeys(files, 0)

    def want(fd: int, what: int) -> None:
        events[fd] |= what

    agent._loop = SimpleNamespace(want=want)  # type: ignore[assignment]
    link: Any = SimpleNamespace(reading=files[0], writing=files[1], waiting=waiting, paused=paused, flush=lambda: not waiting)
    agent._write(link)
    assert (events[files[0]] & READ, events[files[1]] & WRITE) == (wanted & READ, wanted & WRITE)


@pytest.mark.parametrize("linked", [True, False])
def test_a_deletion_tells_once_a_second_how_far_it_is(linked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, now, told = Agent.__new__(Agent), 0.0, list[int]()

    def clearing(kept: set[str]) -> Iterator[int]:
        nonlocal now
        for _ in range(12):
            now += 0.25
            yield 0

    def say(t: str, pieces: int) -> None:
        assert t == "clearing"
        told.append(pieces)

    monkeypatch.setattr(system, "monotonic", lambda: now)
    link = SimpleNamespace(say=say, flush=lambda: True)
    agent._talk = SimpleNamespace(link=link) if linked else None  # type: ignore[assignment]
    agent._places = SimpleNamespace(clearing=clearing, remove_empty_parents=lambda: 0)  # type: ignore[assignment]
    assert agent._clean(set()) == 0
    assert told == ([4, 8, 12] if linked else [])


# -- trees ---------------------------------------------------------------------------------------------------------------

class Tree:
    """Processes that note what they are sent, and die of KILL alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.living = [procs.Proc(pid, 1, "S", pid) for pid in (11, 12)]
        self.sent: list[tuple[int, int]] = []
        monkeypatch.setattr(procs, "send", self._send)

    def _send(self, proc: procs.Proc, number: int) -> bool:
        self.sent.append((proc.pid, number))
        if number == signal.SIGKILL:
            self.living.remove(proc)
        return True

    def members(self) -> list[procs.Proc]:
        return list(self.living)

    def take(self) -> set[int]:
        """Return which signals were sent since the last time."""
        sent, self.sent = {number for _, number in self.sent}, []
        return sent


TERM, KILL, GO_ON = signal.SIGTERM, signal.SIGKILL, signal.SIGCONT


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(monkeypatch)


def test_a_tree_is_asked_first_and_killed_when_its_grace_is_over(tree: Tree) -> None:
    killer = kill.Killer(tree.members, 5.0, 100.0)
    assert killer.act(100.0) == 105.0 and tree.take() == {TERM, GO_ON}
    assert killer.act(104.9) == 105.0 and tree.take() == set()
    killer.act(105.1)
    assert tree.take() == {KILL} and tree.living == []


@pytest.mark.parametrize("grace", [0.0, 2.0])
def test_a_hurried_end_comes_sooner_and_not_without_asking(tree: Tree, grace: float) -> None:
    killer = kill.Killer(tree.members, 1000.0, 100.0)
    killer.hurry(grace, 100.0)
    assert killer.act(100.0) == pytest.approx(100.0 + (grace or kill.FIRST_PAUSE)) and TERM in tree.take()
    killer.act(100.0 + grace + 0.1)
    assert tree.living == []


def test_an_end_is_hurried_after_it_was_asked_for(tree: Tree) -> None:
    killer = kill.Killer(tree.members, 1000.0, 100.0)
    assert killer.act(100.0) == 1100.0 and tree.take() == {TERM, GO_ON}
    killer.hurry(2.0, 101.0)
    assert killer.act(101.0) == 103.0 and tree.take() == set()
    killer.hurry(50.0, 101.0)
    assert killer.act(103.1) < 104.0 and tree.take() == {KILL}, "a longer grace does not put it off"


def test_a_hurry_does_not_put_off_the_next_round_of_what_is_being_killed(tree: Tree) -> None:
    killer = kill.Killer(tree.members, 0.0, 100.0)
    killer.act(100.0)
    tree.living = [procs.Proc(13, 1, "S", 13)]
    due = killer.act(100.0)
    killer.hurry(0.0, 100.0)
    assert killer.act(100.0) == due > 100.0
    killer.act(due)
    assert tree.living == []
