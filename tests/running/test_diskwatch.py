"""That a disk fills up is said before anything waits for that, once each time."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from sshjobs.running.diskwatch import EVERY_S, DiskWatch, filling_up

GIB = 1 << 30


def test_it_is_said_once_and_again_after_there_was_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free, told, looks = [500 * GIB], list[str](), list[int]()

    def disk(path: object) -> SimpleNamespace:
        looks.append(1)
        return SimpleNamespace(f_bavail=free[0], f_frsize=1, f_blocks=1000 * GIB)

    monkeypatch.setattr(os, "statvfs", disk)
    watch = DiskWatch(tmp_path, told.append)
    now = 1000.0
    for left in (500, 4, 3, 2.5, 2, 1, 3.5, 2.9, 5, 2.9):
        free[0] = int(left * GIB)
        watch.look(now)
        watch.look(now + 1)
        now += EVERY_S
    assert told == ["the disk of the results is filling up: 2.5 GiB left; below 1.0 GiB large outputs wait on their hosts; make room",
                    "the disk of the results is filling up: 2.9 GiB left; below 1.0 GiB large outputs wait on their hosts; make room"]
    assert len(looks) == 10
    free[0] = 2 * GIB
    assert filling_up(tmp_path) == "the disk of the results is filling up: 2.0 GiB left; below 1.0 GiB large outputs wait on their hosts; make room"
    free[0] = 3 * GIB
    assert filling_up(tmp_path) is None


def test_a_disk_that_does_not_tell_or_is_gone_is_no_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[str] = []
    DiskWatch(tmp_path / "gone", told.append).look(0.0)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=0, f_frsize=4096, f_blocks=0))
    DiskWatch(tmp_path, told.append).look(0.0)
    assert not told
    assert filling_up(tmp_path) is None
    monkeypatch.undo()
    assert filling_up(tmp_path / "gone") is None
