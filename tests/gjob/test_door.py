"""The door of an agent by itself: its name, its lock, who comes in, and when it closes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sshjobs.gjob import door, light


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
