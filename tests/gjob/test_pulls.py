"""Files of a job as the far side lists and reads them: no link leads out, and what changed meanwhile is not sent."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.gjob import wire
from sshjobs.gjob.agent.pulls import GAP, PIECE, Pull
from sshjobs.gjob.agent.walk import PAGE
from sshjobs.gjob.patterns import Patterns


class Manager:
    """Asks for files as a manager does, one frame at a time."""

    def __init__(self, home: Path, patterns: list[str], cwd: str | None = None, after: str = ""):
        self.pull = Pull({"id": "1.1", "seq": 7, "cwd": cwd, "patterns": patterns, "after": after}, str(home))
        self.pages: list[dict[str, Any]] = []

    def next(self) -> dict[str, Any]:
        """Return the next frame, its bytes under ``body``."""
        while True:
            parts = self.pull.step()
            if parts:
                frame: dict[str, Any] = json.loads(parts[0])
                assert len(parts[0]) < 1 << 16, "a frame that is long for a manager"
                if "n" in frame:
                    frame["body"] = parts[1] if len(parts) > 1 else b""
                return frame

    def page(self) -> dict[str, Any]:
        frame = self.next()
        assert frame["t"] == "found"
        self.pages.append(frame)
        return frame

    def read(self, index: int = 0, offset: int = 0) -> tuple[bytes, str | None, str | None]:
        """Return the bytes of a file from an offset on, its digest and why it was not read."""
        self.pull.get([[index, offset]], False)
        data = bytearray()
        while (frame := self.next())["t"] == "part":
            data += bytes(frame["off"] - offset - len(data)) + frame["body"]
        return bytes(data), frame["sha"], frame["why"]

    def all(self) -> list[str]:
        """Return the paths on all pages."""
        paths = []
        while True:
            page = self.page()
            paths += page["paths"]
            if page["last"]:
                return paths
            self.pull.get([], True)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


@pytest.mark.parametrize(("pattern", "fits", "others"), [
    ("model.bin", ["model.bin"], ["a/model.bin", "model.bi", "model.binx"]),
    ("logs/*.txt", ["logs/a.txt", "logs/.txt", "logs/a\nb.txt"], ["logs/a/b.txt", "a.txt", "logs/a.tx"]),
    ("plots/", ["plots/a", "plots/a/b/c"], ["plots", "plot/a", "a/plots/b"]),
    ("plots", ["plots", "plots/a/b"], ["plotsx"]),
    ("**/*.txt", ["a.txt", "a/b/c.txt"], ["a.txt/x.bin", "a"]),
    ("a/**/z", ["a/z", "a/b/c/z", "a/z/deep"], ["z", "b/z"]),
    ("a/**", ["a/b", "a/b/c"], ["b/a/c", "ab"]),
    ("**", ["a", "a/b"], []),
    ("[ab]?.[!x]", ["a1.y", "bb.z"], ["c1.y", "a.y", "a1.x"]),
    ("[", ["["], ["a"]),
    ("a.b", ["a.b"], ["axb"]),
])
def test_patterns_name_paths(pattern: str, fits: list[str], others: list[str]) -> None:
    patterns = Patterns(["elsewhere/none", pattern])
    assert [path for path in fits if patterns.of(path) != [1] and not path.startswith("a.txt/")] == []
    assert [path for path in others if patterns.of(path) and not path.startswith("a.txt/")] == []


def test_files_are_listed_in_order_and_read_with_their_digest(home: Path) -> None:
    for path in ("b", "a/z", "a/b/c", "a.x", "skip/this"):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(path)
    (home / "b").chmod(0o700)
    manager = Manager(home, ["a", "a.x", "b"])
    page = manager.page()
    assert page["paths"] == ["a/b/c", "a/z", "a.x", "b"] and page["last"]
    assert page["sizes"] == [5, 3, 3, 1] and page["programs"] == [False, False, False, True]
    assert manager.read(1) == (b"a/z", sha(b"a/z"), None)
    # From an offset on, with the digest of all of it.
    assert manager.read(0, 2) == (b"b/c", sha(b"a/b/c"), None)
    assert manager.read(0, 5) == (b"", sha(b"a/b/c"), None)


def test_a_search_goes_on_behind_a_path(home: Path) -> None:
    paths = [f"{a}/{b}" for a in ("d1", "d2", "d2.x") for b in ("f", "g", "h")]
    for path in paths:
        (home / path).parent.mkdir(exist_ok=True)
        (home / path).touch()
    for n, path in enumerate(paths):
        assert Manager(home, ["**"], after=path).all() == paths[n + 1:]
    assert Manager(home, ["**"], after="d2/gone").all() == ["d2/h", *paths[6:]]


def test_many_files_come_in_pages_without_a_page_in_excess(home: Path) -> None:
    names = sorted(f"{'n' * 150}{n}" for n in range(3 * PAGE))
    for name in names:
        (home / name).touch()
    manager = Manager(home, ["*"])
    assert manager.all() == names
    assert all(len(page["paths"]) <= PAGE for page in manager.pages) and len(manager.pages) > 5


def test_names_of_any_bytes_travel(home: Path) -> None:
    names = sorted([b"new\nline", b"\xe2\x80\xaebidi", b"\xff\xfe raw", b"\x1b[31m", b" ", b"-rf", b"\xed\xa0\x80"])
    for name in names:
        (home / os.fsdecode(name)).write_bytes(name)
    manager = Manager(home, ["*"])
    page = manager.page()
    assert [path.encode("utf-8", "surrogateescape") for path in page["paths"]] == names
    for index, name in enumerate(names):
        assert manager.read(index) == (name, sha(name), None)


def test_what_is_no_file_is_refused_without_waiting(home: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (home / "in").write_text("i")
    (home / "out").symlink_to(tmp_path / "secret")
    (home / "up").symlink_to("../secret")
    (home / "etc").symlink_to("/etc")
    (home / "self").symlink_to(".")
    (home / "inner").symlink_to("in")
    os.mkfifo(home / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        os.chdir(home)
        sock.bind("socket")
    manager = Manager(home, ["*", "etc/passwd", "self/in"])
    page = manager.page()
    assert page["paths"] == ["in"] and page["last"]
    assert dict(zip(page["odd"], page["why"], strict=True)) == {
        **dict.fromkeys(["out", "up", "etc", "self", "inner"], "link"),
        **dict.fromkeys(["pipe", "socket"], "not-a-file")}


def swap_file_for_link(home: Path, elsewhere: Path) -> None:
    (home / "d/f").unlink()
    (home / "d/f").symlink_to(elsewhere / "f")


def swap_directory_for_link(home: Path, elsewhere: Path) -> None:
    (home / "d").rename(home / "gone")
    (home / "d").symlink_to(elsewhere)


def swap_directory(home: Path, elsewhere: Path) -> None:
    (home / "d").rename(home / "gone")
    (elsewhere).rename(home / "d")


def swap_top_for_link(home: Path, elsewhere: Path) -> None:
    home.rename(home.parent / "gone")
    home.symlink_to(elsewhere.parent / "gone")


def swap_top(home: Path, elsewhere: Path) -> None:
    home.rename(home.parent / "gone")
    (home / "d").mkdir(parents=True)
    (home / "d/f").write_text("other")


def swap_file_for_pipe(home: Path, elsewhere: Path) -> None:
    (home / "d/f").unlink()
    os.mkfifo(home / "d/f")


def grow(home: Path, elsewhere: Path) -> None:
    with (home / "d/f").open("a") as file:
        file.write("more")


def shrink(home: Path, elsewhere: Path) -> None:
    os.truncate(home / "d/f", 1)


def rewrite(home: Path, elsewhere: Path) -> None:
    (home / "d/f").write_text("enihS")
    os.utime(home / "d/f", ns=(1, 1))


def remove(home: Path, elsewhere: Path) -> None:
    (home / "d/f").unlink()


@pytest.mark.parametrize("act", [swap_file_for_link, swap_directory_for_link, swap_directory, swap_top_for_link, swap_top,
                                 swap_file_for_pipe, grow, shrink, rewrite, remove])
def test_what_was_replaced_between_look_and_read_is_not_read(home: Path, tmp_path: Path,
                                                             act: Callable[[Path, Path], None]) -> None:
    elsewhere = tmp_path / "elsewhere"
    for place in (home / "d", elsewhere):
        place.mkdir()
        (place / "f").write_text("shine")
    manager = Manager(home, ["d/f"])
    assert manager.page()["paths"] == ["d/f"]
    act(home, elsewhere)
    data, digest, why = manager.read()
    assert (data, digest) == (b"", None) and why in ("changed", "gone")


def test_a_directory_that_is_swapped_while_it_is_listed_leads_nowhere(home: Path, tmp_path: Path) -> None:
    for n in range(PAGE + 10):
        (home / "d").mkdir(exist_ok=True)
        (home / f"d/{n:04}").touch()
    manager = Manager(home, ["d/"])
    manager.page()
    swap_directory_for_link(home, tmp_path)
    manager.pull.get([], True)
    rest = manager.page()
    assert rest["paths"] == [] and rest["last"] and set(rest["why"]) == {"changed"}


def test_a_file_that_changes_while_it_is_read_has_no_digest(home: Path) -> None:
    (home / "f").write_bytes(os.urandom(PIECE * 3))
    manager = Manager(home, ["f"])
    manager.page()
    manager.pull.get([[0, 0]], True)
    assert manager.next()["n"] == PIECE
    with (home / "f").open("r+b") as file:
        file.write(b"changed")
    while (frame := manager.next())["t"] == "part":
        pass
    assert frame["sha"] is None and frame["why"] == "changed"


def test_what_was_never_written_is_not_sent(home: Path) -> None:
    size = 5 * GAP + 12345
    with (home / "f").open("wb") as file:
        file.truncate(size)
        file.seek(2 * GAP)
        file.write(b"here")
    manager = Manager(home, ["f"])
    assert manager.page()["sizes"] == [size]
    manager.pull.get([[0, 0]], False)
    sent, reached = 0, 0
    while (frame := manager.next())["t"] == "part":
        assert reached <= frame["off"] <= reached + GAP, "more is passed over than a manager takes at a time"
        sent, reached = sent + frame["n"], frame["off"] + frame["n"]
    assert 4 <= sent <= PIECE and size - reached <= GAP
    assert frame["sha"] == sha((home / "f").read_bytes())


@pytest.mark.parametrize("cwd", ["sub", "./sub", "sub/deep/.."])
def test_a_relative_directory_is_found(home: Path, cwd: str) -> None:
    (home / "sub/deep").mkdir(parents=True)
    (home / "sub/f").touch()
    assert Manager(home, ["f"], cwd).all() == ["f"]


def test_a_directory_of_its_own_that_a_job_made_a_link_is_not_followed(home: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/f").touch()
    (home / "sub").symlink_to(tmp_path / "elsewhere")
    manager = Manager(home, ["f"], "sub")
    assert manager.all() == [] and manager.pages[0]["odd"] == [""]
    # What the user has named on the host is reached as the job reaches it.
    (tmp_path / "named").symlink_to(tmp_path / "elsewhere")
    assert Manager(home, ["f"], str(tmp_path / "named")).all() == ["f"]


def test_home_is_where_the_login_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "out").mkdir()
    (home / "out/f").touch()
    monkeypatch.setenv("HOME", str(home))
    assert Manager(home / "w", ["f"], "~/out").all() == ["f"]


def test_nothing_is_there_any_more(home: Path) -> None:
    manager = Manager(home / "gone", ["f"])
    assert manager.all() == [] and manager.pages[0]["why"] == ["gone"]


def test_files_that_were_not_told_cannot_be_asked_for(home: Path) -> None:
    (home / "f").touch()
    manager = Manager(home, ["f"])
    with pytest.raises(wire.WireError):
        manager.pull.get([], True)
    manager.page()
    with pytest.raises(wire.WireError):
        manager.pull.get([[1, 0]], True)


def test_no_descriptor_is_left_open(home: Path) -> None:
    for path in ("a/b/c", "a/d", "e"):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(bytes(PIECE * 2))
    before = len(os.listdir("/proc/self/fd"))
    manager = Manager(home, ["**"])
    manager.page()
    manager.pull.get([[0, 0]], True)
    manager.next()
    manager.pull.close()
    assert len(os.listdir("/proc/self/fd")) == before
