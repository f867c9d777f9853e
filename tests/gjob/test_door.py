"""The door of an agent by itself: its name, its lock, who comes in, and when it closes."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from sshjobs.gjob import door, files, journal, light, procs, system
from sshjobs.gjob.agent import succession


def test_a_door_has_its_name_from_eight_letters_of_run_and_host(tmp_path: Path) -> None:
    address = door.Address(str(tmp_path), "0123456789abcdef", "fedcba9876543210")
    assert (address.socket, address.lock) == (f"{tmp_path}/01234567-fedcba98.sock", f"{tmp_path}/01234567-fedcba98.lock")


def test_the_lock_is_one_agents_at_a_time_and_not_waited_for_longer_than_asked(tmp_path: Path) -> None:
    address = door.Address(str(tmp_path), "r" * 8, "h" * 8)
    first = address.take_lock(0.0)
    assert first is not None and address.take_lock(0.0) is None
    began = time.monotonic()
    assert address.take_lock(0.2) is None and time.monotonic() - began >= 0.2
    os.close(first)
    second = address.take_lock(0.0)
    assert second is not None
    os.unlink(address.lock)
    third = address.take_lock(0.0)
    assert third is not None, "a lock that was removed is nobody's"
    os.close(second)
    os.close(third)


@contextmanager
def a_door(tmp_path: Path) -> Iterator[tuple[door.Address, door.Door]]:
    address = door.Address(str(tmp_path), "r" * 8, "h" * 8)
    made = address.listen()
    try:
        yield address, made
    finally:
        made.leave_to_another()


def test_who_comes_to_a_door_gives_a_hello_and_two_files(tmp_path: Path) -> None:
    hello = {"t": "hello", "v": 1, "run": "0" * 32, "name": "r", "host": "h", "epoch": 1, "slots": None, "root": None}
    reading, writing = os.pipe()
    with a_door(tmp_path) as (address, made):
        for line, fds, right in ((json.dumps(hello), 2, True), ('{"t":"bye"}', 2, False), ("{", 2, False), (json.dumps(hello), 1, False)):
            before = len(os.listdir("/proc/self/fd"))
            front = address.connect()
            assert front is not None
            rights = [] if fds == 0 else [(light.socket.SOL_SOCKET, light.socket.SCM_RIGHTS, reading.to_bytes(4, sys.byteorder) +
                                           (writing.to_bytes(4, sys.byteorder) if fds == 2 else b""))]
            front.sendmsg([line.encode()], rights)
            came = made.accept()
            assert (came is not None) is right
            if came is not None:
                assert came[0] == hello and front.recv(1) == door.TAKEN
                assert not os.get_inheritable(came[1]) and os.fstat(came[1]).st_ino == os.fstat(reading).st_ino
                assert os.fstat(came[2]).st_ino == os.fstat(writing).st_ino
                os.close(came[1])
                os.close(came[2])
                came[3].close()
            front.close()
            assert len(os.listdir("/proc/self/fd")) == before, "nothing that was handed over stays open"
    os.close(reading)
    os.close(writing)


def test_a_door_is_not_removed_while_somebody_is_coming(tmp_path: Path) -> None:
    with a_door(tmp_path) as (address, made):
        front = address.connect()
        assert front is not None and not made.try_close() and os.path.exists(address.socket)
        front.close()
        assert made.accept() is None
        lock = address.take_lock(0.0)
        assert lock is not None and not made.try_close(), "while another agent is started"
        os.close(lock)
        assert made.try_close() and not os.path.exists(address.socket) and address.connect() is None


def test_an_agent_that_cannot_leave_after_all_is_found_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> NoReturn:
        raise OSError(errno.ENOMEM, "no memory")

    with a_door(tmp_path) as (address, made):
        with monkeypatch.context() as patch:
            patch.setattr(system, "poll", fails)
            with pytest.raises(OSError, match="no memory"):
                made.try_close()
        for _ in range(2):
            lock = address.take_lock(0.0)
            assert lock is not None, "its own lock keeps everybody out"
            os.close(lock)
            with pytest.raises(OSError, match="no memory"):
                made.close_and(fails)
        front = address.connect()
        assert front is not None
        front.close()
        assert made.accept() is None and made.close_and(lambda: 3) == 3 and address.connect() is None


def test_what_is_removed_already_keeps_no_door_from_closing_and_nobody_is_waited_for(tmp_path: Path,
                                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        raise AssertionError("an agent that could leave waits")

    monkeypatch.setattr(system, "sleep", sleep)
    with a_door(tmp_path) as (address, made):
        lock = address.take_lock(0.0)
        assert lock is not None and not made.try_close()
        os.close(lock)
        os.unlink(address.socket)
        assert made.try_close() and not os.path.exists(address.lock)


def test_who_is_at_a_door_is_told_by_the_user_not_by_the_group(tmp_path: Path) -> None:
    stub = SimpleNamespace(getsockopt=lambda level, name, size: struct.pack("3i", 5, 6, 7))
    assert door._peer(stub) == 6  # type: ignore[arg-type]


CLOSES = """
import os, sys
sys.path.insert(0, sys.argv[1])
from sshjobs.gjob import files
kept, other = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)
files.close_all_but([kept])
for fd in (0, 1, 2, kept):
    os.fstat(fd)
try:
    os.fstat(other)
except OSError:
    os.write(1, b"closed")
"""


def test_every_file_but_those_that_are_kept_and_the_first_three_is_closed() -> None:
    root = Path(files.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CLOSES, str(root)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed", "")


def test_a_nice_value_that_is_not_allowed_keeps_no_job_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    def nice(value: int) -> int:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "nice", nice)
    system._prepare([("nice", -5)])


def test_the_newest_agent_is_written_down_whole_over_a_longer_record_and_through_no_link(tmp_path: Path) -> None:
    places = SimpleNamespace(agent=str(tmp_path / "agent"))
    (tmp_path / "agent").write_bytes(b"x" * 500)
    assert not succession.take_over(places)  # type: ignore[arg-type]
    found = succession._read(places)  # type: ignore[arg-type]
    assert found is not None and found[0] == os.getpid() and (tmp_path / "agent").stat().st_size < 300
    succession.leave(places)  # type: ignore[arg-type]
    succession.leave(places)  # type: ignore[arg-type]
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / "agent").symlink_to(tmp_path / "other")
    assert not succession.take_over(places)  # type: ignore[arg-type]
    assert (tmp_path / "other").read_bytes() == b"precious"
    # One from before the last boot is gone, whatever has its pid now.
    (tmp_path / "agent").unlink()
    (tmp_path / "agent").write_bytes(journal.record(b'{"k":"agent","pid":%d,"start":1,"boot":"before"}' % os.getpid()))
    assert not succession.take_over(places)  # type: ignore[arg-type]
    (tmp_path / "agent").write_bytes(journal.record(b'{"k":"agent","pid":%d,"start":1,"boot":"%s"}' % (os.getpid(), procs.identity().encode())))
    assert succession.take_over(places), "of this boot, though another process has that pid now"  # type: ignore[arg-type]
