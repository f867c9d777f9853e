"""Whether a manager lives: a proof of death, or none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sshjobs.store import ManagerIdentity
from sshjobs.store.identity import _start_ticks
from tests.lab.waiting import wait_until

ME = ManagerIdentity.this_process(since=5.0)


def test_this_process_is_alive() -> None:
    assert ME.is_alive()
    assert ME.pid == os.getpid()
    assert ME.since == 5.0


def test_a_process_that_was_killed_is_dead_even_before_its_parent_looks(tmp_path: Path) -> None:
    # A name like this shifts the numbers for who reads /proc/PID/stat carelessly.
    program = tmp_path / "a) Z 1 2 3"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "600"])
    try:
        def identity() -> ManagerIdentity:
            return ME._replace(pid=child.pid, start_ticks=_start_ticks(child.pid) or 0)

        wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_text().startswith("a) Z"))
        manager = identity()
        assert manager.start_ticks > 0
        assert manager.is_alive()
        child.kill()
        wait_until(lambda: not manager.is_alive())
        assert Path(f"/proc/{child.pid}").exists()
    finally:
        child.kill()
        child.wait()
    assert not manager.is_alive()


def test_another_process_with_the_same_pid_is_not_taken_for_it() -> None:
    assert not ME._replace(start_ticks=ME.start_ticks + 1).is_alive()


def test_a_boot_since_then_is_a_proof() -> None:
    assert not ME._replace(boot_id="another").is_alive()


def test_of_another_machine_nothing_is_proved() -> None:
    assert ME._replace(boot_id="another", hostname="elsewhere", pid=2 ** 30).is_alive()


def test_a_machine_that_changed_its_name_is_still_this_one() -> None:
    assert ME._replace(hostname="elsewhere").is_alive()
    assert not ME._replace(hostname="elsewhere", start_ticks=1).is_alive()


def test_without_start_times_the_pid_has_to_do() -> None:
    assert ME._replace(start_ticks=0).is_alive()
    assert not ME._replace(start_ticks=0, pid=2 ** 30).is_alive()


def test_it_says_who_and_since_when() -> None:
    assert str(ME).startswith(f"process {os.getpid()} on {ME.hostname}, since 1970-01-01 ")
