"""Which cgroup is ours to use, from what the kernel tells; and which is a runner's."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from sshjobs.gjob import cgroup, system

MOUNTS = ("21 20 0:19 / /proc rw - proc proc rw\n"
          "30 20 0:26 /top /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n")


@pytest.mark.parametrize(("group", "found"), [
    ("0::/top/unit\n", "/sys/fs/cgroup/unit"), ("1:cpu:/x\n0::/top/a/b\n", "/sys/fs/cgroup/a/b"), ("0::/top\n", "/sys/fs/cgroup"),
    ("0::/topper\n", None), ("0::/else\n", None), ("0::/\n", None), ("0::/../x\n", None), ("1:cpu:/top\n", None), ("", None), (None, None)])
@pytest.mark.parametrize("writable", [True, False])
def test_our_own_cgroup_is_found_where_it_is_mounted_and_ours_to_write(contents: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch,
                                                                     group: str | None, found: str | None, writable: bool) -> None:
    contents({"/proc/self/mountinfo": MOUNTS, **({} if group is None else {"/proc/self/cgroup": group})})
    asked: list[str] = []

    def access(path: str, mode: int) -> bool:
        asked.append(path)
        return writable

    monkeypatch.setattr(system, "access", access)
    monkeypatch.setattr(system, "getuid", lambda: 7)
    monkeypatch.setattr(system, "stat", lambda path: SimpleNamespace(st_uid=7))
    assert cgroup.home() == (found if writable else None)
    assert asked == ([] if found is None else [found + "/cgroup.procs"])
    monkeypatch.setattr(system, "stat", lambda path: SimpleNamespace(st_uid=8))
    assert cgroup.home() is None


def test_root_takes_a_cgroup_for_its_own_only_by_the_mark_of_who_gave_it(contents: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    contents({"/proc/self/mountinfo": MOUNTS, "/proc/self/cgroup": "0::/top/u\n"})
    marks: dict[str, bytes] = {}

    def getxattr(path: str, name: str) -> bytes:
        if name not in marks:
            raise OSError(errno.ENODATA, "")
        return marks[name]

    monkeypatch.setattr(system, "access", lambda path, mode: True)
    monkeypatch.setattr(system, "getuid", lambda: 0)
    monkeypatch.setattr(system, "getxattr", getxattr)
    assert cgroup.home() is None
    for name in ("user.delegate", "trusted.delegate"):
        marks.clear()
        marks[name] = b"0"
        assert cgroup.home() is None
        marks[name] = b"1"
        assert cgroup.home() == "/sys/fs/cgroup/u"


def test_processes_of_a_runners_cgroup_are_told_only_from_one_that_we_have_made(tmp_path: Path) -> None:
    ours, other = tmp_path / "sshjobs-a", tmp_path / "other"
    for directory in (ours, other):
        directory.mkdir()
        (directory / "cgroup.procs").write_text("12\n0\n34\n")
        (directory / "cgroup.kill").write_text("")
    assert cgroup.pids(str(ours)) == [12, 34]
    assert cgroup.pids(str(other)) == cgroup.pids(None) == cgroup.pids(str(tmp_path / "sshjobs-gone")) == []
    for path in (str(ours), str(other), None, str(tmp_path / "sshjobs-gone")):
        cgroup.kill(path)
    assert [(directory / "cgroup.kill").read_text() for directory in (ours, other)] == ["1", ""]
