"""Leases: without a manager a job ends by itself, whoever of ours was killed; with one it goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sshjobs.gjob import lease, procs
from tests.gjob.client import FarHost, Link, alive, eventually, holders, token_of

#: Long enough that a busy machine answers in time, short enough to wait for.
LEASE = 2.0
STAY = "setsid sleep 600 &\nwhile :; do sleep 0.1; done\n"
#: For what has to outlive it, on a machine that may stand still for a while.
LONGER = 5.0


class Manager:
    """A manager's end of a link that answers what it is asked about leases."""

    def __init__(self, link: Link):
        self.link = link
        self.answered = 0

    def until(self, t: str, **keys: Any) -> dict[str, Any]:
        """Return the first frame of a type, having answered what came before it."""
        while True:
            frame = self.link.next()
            if frame["t"] == t and all(frame[key] == value for key, value in keys.items()):
                return frame
            self.answer(frame)

    def answer(self, frame: dict[str, Any]) -> None:
        """Answer a frame, if it asks."""
        assert frame["t"] not in ("error", "refused"), frame
        if frame["t"] == "lease":
            self.link.say("lease", at=frame["at"])
            self.answered += 1


def start(far: FarHost, *, script: str = STAY, seconds: float = LEASE, **spec: Any) -> tuple[Manager, int]:
    """Start one job with a lease; return the manager and the runner's pid."""
    manager = Manager(far.connect())
    manager.link.launch("1.1", script=script, lease=seconds, **spec)
    manager.until("started", id="1.1")
    (runner,) = far.runners()
    return manager, runner


def gone(uid: str = "1.1") -> bool:
    return not holders(f"SSHJOBS_TOKEN={token_of(uid)}")


def end_after(far: FarHost, manager: Manager) -> dict[str, Any]:
    """Return how the attempt ended, as the next manager hears it."""
    second = Manager(far.again(manager.link, "1.1"))
    return second.until("ended", id="1.1")


def test_a_job_whose_manager_answers_outlives_its_lease(far: FarHost) -> None:
    manager, _ = start(far, script='until [ -e "$HOME/go" ]; do sleep 0.05; done\n', seconds=LONGER)
    deadline = time.monotonic() + 1.5 * LONGER
    while time.monotonic() < deadline:
        manager.answer(manager.link.next())
    assert manager.answered >= 3
    (far.home / "go").touch()
    assert manager.until("ended", id="1.1")["why"] == "exited"


def test_without_a_manager_the_whole_tree_is_ended(far: FarHost) -> None:
    manager, _ = start(far, script="trap '' TERM\n" + STAY)
    manager.link.cut()
    eventually(gone, "the end of the tree")
    end = end_after(far, manager)
    assert end["why"] == "lease"
    assert end["msg"] == "its lease of 2s ran out while no manager was there"


def test_a_manager_that_is_connected_and_silent_is_none(far: FarHost) -> None:
    manager, _ = start(far)
    assert manager.link.end_of("1.1")["why"] == "lease"
    assert gone()


def test_the_runner_alone_ends_the_job(far: FarHost) -> None:
    manager, runner = start(far)
    far.kill_agent()
    eventually(gone, "the end of the tree")
    eventually(lambda: not alive(runner), "the runner's leave")
    assert end_after(far, manager)["why"] == "lease"


def test_the_agent_alone_ends_the_job(far: FarHost) -> None:
    manager, runner = start(far)
    os.kill(runner, signal.SIGKILL)
    manager.link.cut()
    eventually(gone, "the end of the tree")
    assert end_after(far, manager)["why"] == "lease"


def test_an_agent_after_agent_and_runner_were_killed_ends_the_job(far: FarHost) -> None:
    manager, runner = start(far)
    os.kill(runner, signal.SIGKILL)
    far.kill_agent()
    ran_out = lease.clock() + LEASE
    eventually(lambda: lease.clock() > ran_out, "the end of the lease")
    assert not gone()
    # Whether a manager answers now or not: it may have given the job to another host.
    assert end_after(far, manager)["why"] == "lease"
    assert gone()


def test_a_new_agent_renews_the_lease_for_the_runner_of_the_one_before(far: FarHost) -> None:
    manager, runner = start(far, script='until [ -e "$HOME/go" ]; do sleep 0.05; done\n', seconds=LONGER)
    far.kill_agent()
    second = Manager(far.again(manager.link, "1.1"))
    deadline = time.monotonic() + 1.5 * LONGER
    while time.monotonic() < deadline:
        second.answer(second.link.next())
    assert alive(runner)
    (far.home / "go").touch()
    assert second.until("ended", id="1.1")["why"] == "exited"


def test_an_answer_counts_from_its_question(far: FarHost) -> None:
    """However long it was on its way: the manager has reckoned from then on."""
    manager = Manager(far.connect())
    manager.link.launch("1.1", script=STAY, lease=LEASE)
    asked = manager.link.until("lease")["at"]
    eventually(lambda: lease.clock() > asked + LEASE, "the end of the lease")
    manager.link.say("lease", at=asked)
    # It does not start on that; the agent asks again.
    assert manager.until("started", id="1.1")
    assert manager.answered > 0


def test_what_waited_until_its_lease_was_over_does_not_start_for_the_next_manager(far: FarHost) -> None:
    manager = Manager(far.connect(slots=1))
    for uid in ("1.1", "2.1"):
        manager.link.launch(uid, script='echo "$SSHJOBS_JOB" >> "$HOME/ledger"\n' + STAY, lease=LEASE)
    manager.until("started", id="1.1")
    manager.link.cut()
    eventually(gone, "the end of the first")
    second = Manager(far.again(manager.link, "1.1", "2.1", slots=1))
    ends = [second.until("ended")["id"], second.until("ended")["id"]]
    assert sorted(ends) == ["1.1", "2.1"]
    assert [frame["why"] for frame in second.link.frames if frame["t"] == "ended" and frame["id"] == "2.1"] == ["fenced"]
    assert (far.home / "ledger").read_text().split() == ["job-1.1"]


def test_jobs_without_a_lease_are_not_asked_about_and_run_past_one_that_waits(far: FarHost) -> None:
    link = far.connect(slots=1)
    assert link.run("1.1", "true")["why"] == "exited"
    assert not [frame for frame in link.frames if frame["t"] == "lease"]
    link.launch("2.1", "true", lease=LEASE)
    assert link.run("3.1", "true")["why"] == "exited"
    assert not [frame for frame in link.frames if frame["t"] == "ended" and frame["id"] == "2.1"]


def test_an_answer_to_what_was_not_asked_is_refused(far: FarHost) -> None:
    link = far.connect()
    link.say("lease", at=lease.clock() + 3600.0)
    assert "before it was asked" in link.next()["msg"]


@pytest.mark.parametrize("line", [b"", b"\0" * 60, b"00000000 {}\n", b"x" * 5000])
def test_a_damaged_file_means_that_no_manager_was_heard_of(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "lease").write_bytes(line)
    assert lease.Heard(str(tmp_path / "lease")).at == lease.NEVER


def test_what_was_heard_before_the_last_boot_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = lease.Heard(str(tmp_path / "lease"))
    assert heard.note(lease.clock()) is None
    assert lease.Heard(str(tmp_path / "lease")).covers(60.0)
    monkeypatch.setattr(procs, "identity", lambda: "another boot")
    assert not lease.Heard(str(tmp_path / "lease")).covers(60.0)


def test_a_full_disk_does_not_keep_a_lease_from_being_renewed(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    heard = lease.Heard(str(path))
    heard.note(5.0)
    before = path.stat()
    heard.note(123456.789)
    after = path.stat()
    assert (after.st_size, after.st_ino, after.st_blocks) == (before.st_size, before.st_ino, before.st_blocks)
    heard.note(7.0)
    assert heard.at == lease.Heard(str(path)).at == 123456.789


@pytest.mark.parametrize(("seconds", "said"), [(1800.0, "30m"), (5400.0, "90m"), (7200.0, "2h"), (86400.0, "1d"),
                                               (45.5, "45.5s")])
def test_a_lease_is_told_in_the_units_that_people_use(seconds: float, said: str) -> None:
    assert f"lease of {said} ran" in lease.words(seconds)
