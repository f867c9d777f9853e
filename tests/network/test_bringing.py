"""Files on their way home as this side takes them: whatever a host says, nothing is written but below one directory."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import LocalError, ProtocolError
from sshjobs.model.causes import Cause
from sshjobs.model.outputs import outputs_of, wanted_meanwhile
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.contract import Warned
from sshjobs.network.protocol import link as words
from sshjobs.network.session import bringing, pull
from sshjobs.network.session.attempts import Collected, Ended, LiveAttempt
from sshjobs.network.session.book import HostBook
from sshjobs.network.session.bringing import AT_ONCE
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.session.pull import GAP, Stage
from sshjobs.network.supervise import Threads
from sshjobs.network.trouble import LocalTrouble
from tests.hostile.far_side import WELCOME


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Host:
    """A host that says what a test wants, to a book that brings files."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.given = set[str]()
        self.told: list[Any] = []
        self._said: list[Any] = []
        #: By attempt: the number of what was asked last.
        self.seqs: dict[str, int] = {}
        self.outputs = OutputFiles()
        self.start()

    def start(self) -> None:
        """Let a manager begin that knows nothing yet."""
        self.book = HostBook("h", self.outputs, self.told.append, self._said.append, self.given)
        self.meet()

    def meet(self) -> None:
        list(self.book.have())
        self.book.welcome(WELCOME)
        self.said()

    def said(self) -> list[dict[str, Any]]:
        """Return what was said to the host since."""
        link = words.Link("0" * 32)
        for item in self._said:
            if not isinstance(item, LiveAttempt):
                item(link)
        self._said.clear()
        said = [json.loads(line) for line in link.take().splitlines()]
        self.seqs.update({frame["id"]: frame.pop("seq") for frame in said if frame["t"] == "pull"})
        return said

    def end(self, outputs: Any, uid: str = "1.1", *, status: int = 0, why: str = "exited", known: bool = False,
            adopted: Any = None, **keys: Any) -> None:
        """Have an attempt end that has outputs."""
        if not known:
            attempt = LiveAttempt(uid, Job(JobSpec(["true"], name="job", outputs=outputs, **keys)), "t", self.directory / uid)
            attempt.brought = adopted
            self.book.launch(attempt)
            self.book.create(attempt)
            self.said()
        self.book.ended({"id": uid, "why": why, "status": status, "signal": None, "started": 1.0, "ended": 2.0,
                         "out": 0, "err": 0, "msg": None, "cpu": 0.0, "rss": 1})

    def work(self) -> None:
        """Let what takes its time be done."""
        files = self.book.bringing

        async def play() -> None:
            files._more = asyncio.Event()
            files._more.set()
            task = asyncio.ensure_future(files.serve(LocalTrouble(self.told.append, Threads(1).do)))
            while files._due or files._more.is_set() or any(one.stage is Stage.LOOKS for one in files._pulls.values()):
                await asyncio.sleep(0.001)
            task.cancel()
        asyncio.run(play())

    def found(self, files: dict[str, int], *, uid: str = "1.1", last: bool = True, odd: dict[str, str] | None = None,
              **keys: Any) -> list[dict[str, Any]]:
        """Tell of files, and return what was asked for then."""
        self.said()
        frame = {"id": uid, "seq": self.seqs[uid], "last": last, "paths": list(files), "sizes": list(files.values()), "times": [1] * len(files),
                 "programs": [False] * len(files), "odd": list(odd or {}), "why": list((odd or {}).values()), **keys}
        assert self.book.bringing.found(frame)
        self.work()
        return self.said()

    def part(self, data: bytes, file: int = 0, off: int = 0, uid: str = "1.1") -> bool:
        return self.book.bringing.part(words.Part(uid, file, off, data))

    def whole(self, digest: str | None, file: int = 0, uid: str = "1.1", why: str | None = None) -> bool:
        return self.book.bringing.whole({"id": uid, "i": file, "sha": digest, "why": why})

    def give(self, data: bytes, file: int = 0) -> None:
        self.part(data, file)
        self.whole(sha(data), file)

    def ends(self) -> list[Ended]:
        return [event for event in self.told if isinstance(event, Ended)]

    def warnings(self) -> list[str]:
        return [event.message for event in self.told if isinstance(event, Warned)]

    @property
    def files(self) -> dict[str, bytes]:
        """What is in its place."""
        top = self.directory / "1.1/files"
        return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


    @property
    def keeps(self) -> list[bool]:
        """Whether the host is asked to keep what it is asked for."""
        return [frame.get("keep", False) for frame in self.said() if frame["t"] == "pull"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_host_is_to_keep_what_others_are_given_and_nobody_writes_to_any_more(host: Host) -> None:
    host.end(["a"])
    assert host.keeps == [False]
    host.given.add("job")
    host.end(["a"], "2.1")
    assert host.keeps == [True]
    host.end(["a"], "3.1", leftovers="keep")
    assert host.keeps == [False]


def test_a_host_does_not_keep_by_another_name_what_a_person_may_write_to(host: Host) -> None:
    host.given.add("job")
    host.end({"a": {"when": "always"}}, "1.1", keep_directory="on_failure", status=1)
    assert host.keeps == [False]
    host.end(["a"], "2.1", keep_directory="on_failure")
    assert host.keeps == [True]
    host.end(["a"], "3.1", keep_directory="always")
    assert host.keeps == [False]


def test_files_come_and_are_put_in_their_place_together(host: Host) -> None:
    host.end(["out/*", "a"])
    assert host.said() == [{"t": "pull", "id": "1.1", "cwd": None, "patterns": ["out/*", "a"], "after": ""}]
    assert Collected("1.1") in host.told, "its slot is free meanwhile"
    assert host.found({"a": 3, "out/b": 4})[0]["files"] == [[0, 0], [1, 0]]
    host.give(b"aaa")
    assert host.files == {} and host.ends() == [] and not host.book.live["1.1"].over
    host.part(b"bb", 1)
    host.part(b"bb", 1, 2)
    host.whole(sha(b"bbbb"), 1)
    host.work()
    (end,) = host.ends()
    assert host.files == {"a": b"aaa", "out/b": b"bbbb"} and end.outcome is Outcome.SUCCEEDED
    assert end.brought is not None and end.brought[:2] == (2, 7) and host.warnings() == []
    assert sorted(path.name for path in (host.directory / "1.1").iterdir()) == ["files", "stderr", "stdout"]


def test_a_failed_job_brings_what_is_always_wanted(host: Host) -> None:
    host.end({"a": None, "log": {"when": "always"}}, status=1)
    assert host.said()[0]["patterns"] == ["log"]
    host.end({"a": None}, "2.1", status=1)
    assert host.said() == [] and [end.uid for end in host.ends()] == ["2.1"]
    host.end({"log": {"when": "always"}}, "3.1", why="start_failed")
    assert host.said() == [] and [end.uid for end in host.ends()] == ["2.1", "3.1"]


def test_a_required_file_that_is_not_there_fails_the_job(host: Host) -> None:
    host.end({"a": {"required": True}, "b": None, "evil\x1b[31m\u202e\n": None})
    host.found({"b": 0})
    host.whole(sha(b""))
    host.work()
    (end,) = host.ends()
    assert end.outcome is Outcome.FAILED and end.cause is Cause.OUTPUT_MISSING and host.files == {"b": b""}
    assert end.reason is not None and "'a' (required)" in end.reason and end.reason.isprintable()


@pytest.mark.parametrize("frame", [
    {"paths": ["b", "a"], "sizes": [1, 1]}, {"paths": ["a", "a"], "sizes": [1, 1]}, {"paths": ["a.b", "a/b"], "sizes": [1, 1]},
    {"paths": ["elsewhere"], "sizes": [1]}, {"paths": ["a"], "sizes": []}, {"why": ["link"]},
    {"paths": ["a"], "sizes": [1], "times": []},
])
def test_a_page_that_cannot_be_ends_the_link(host: Host, frame: dict[str, Any]) -> None:
    host.end(["a", "b", "a/*", "a.*"])
    n = len(frame.get("paths", []))
    with pytest.raises(ProtocolError):
        host.found({}, **{"times": [1] * n, "programs": [False] * n, **frame})
    assert host.files == {}


def test_the_next_page_is_behind_the_last(host: Host) -> None:
    host.end(["*"])
    host.found({"b": 0}, last=False)
    host.whole(sha(b""))
    with pytest.raises(ProtocolError, match="order"):
        host.found({"a": 0})


@pytest.mark.parametrize("act", [
    lambda host: host.part(b"x", 1), lambda host: host.part(b"x" * 11), lambda host: host.part(b"x", off=10),
    lambda host: (host.part(b"xx"), host.part(b"x", off=1)), lambda host: host.whole(sha(b""), 1),
    lambda host: host.whole(sha(b""), 5),
])
def test_parts_that_were_not_asked_for_end_the_link(host: Host, act: Callable[[Host], Any]) -> None:
    host.end(["*"])
    host.found({"a": 10, "b": 10})
    with pytest.raises(ProtocolError):
        act(host)


def test_a_part_of_nothing_that_is_brought_changes_nothing(host: Host) -> None:
    assert not host.part(b"x") and not host.whole(sha(b"x")) and not host.book.bringing.found({"id": "7.1", "seq": 1})
    host.end(["*"])
    assert not host.part(b"x") and not host.whole(sha(b"x"))


def test_no_more_is_passed_over_at_a_time_than_is_quickly_digested(host: Host) -> None:
    host.end(["*"])
    host.found({"a": 3 * GAP})
    host.part(b"", off=GAP)
    host.part(b"", off=2 * GAP)
    host.whole(sha(bytes(3 * GAP)))
    host.work()
    found = (host.directory / "1.1/files/a").stat()
    assert found.st_size == 3 * GAP and found.st_blocks == 0
    host.end(["*"], "2.1")
    host.found({"a": 3 * GAP}, uid="2.1")
    with pytest.raises(ProtocolError, match="order"):
        host.part(b"", off=GAP + 1, uid="2.1")


def test_bytes_that_were_damaged_are_not_taken_for_the_file(host: Host) -> None:
    host.end({"a": {"required": True}})
    host.found({"a": 3})
    host.part(b"abc")
    host.whole(sha(b"abd"))
    host.work()
    assert host.files == {} and host.ends()[0].outcome is Outcome.FAILED and "damaged" in (host.ends()[0].reason or "")


def test_what_was_refused_on_the_host_is_told(host: Host) -> None:
    host.end(["*"])
    odd = {f"l{n}\x1b]0;x\x07\u202e\n": "link" for n in range(200)}
    host.found({"a": 1, "b": 1}, odd=dict(zip([key.encode("unicode_escape").decode() for key in odd], odd.values(), strict=True)))
    host.whole(None, why="changed")
    host.give(b"b", 1)
    host.work()
    assert host.files == {"b": b"b"} and host.ends()[0].outcome is Outcome.SUCCEEDED
    (warning,) = host.warnings()
    assert "(a link)" in warning and "and 196 more" in warning and warning.isprintable() and len(warning) < 1000


def test_nothing_is_put_in_its_place_but_what_came_whole(host: Host, tmp_path: Path) -> None:
    for name in ("of-before", "d/of-before"):
        (tmp_path / "1.1/files.part" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "1.1/files.part" / name).write_text("cut")
    host.end(["**"])
    host.found({"damaged": 3, "good": 3, "half": 3})
    host.part(b"abc")
    host.whole(sha(b"abd"))
    host.give(b"yes", 1)
    host.part(b"h", 2)
    host.whole(None, 2, why="changed")
    host.work()
    assert host.files == {"good": b"yes"}


def test_names_of_any_bytes_are_kept_and_none_leads_out(host: Host, tmp_path: Path) -> None:
    names = sorted(["new\nline", "\u202ebidi", "\udcff", "\x1b[31m", " ", "-rf", "..x", "..."], key=lambda name: name.encode(
        "utf-8", "surrogateescape"))
    host.end(["*"])
    host.found(dict.fromkeys(names, 1))
    for index in range(len(names)):
        host.give(b"x", index)
    host.work()
    assert sorted(os.listdir(tmp_path / "1.1/files")) == sorted(os.fsdecode(name.encode("utf-8", "surrogateescape"))
                                                                 for name in names)


@pytest.mark.parametrize("planted", ["link", "link to a file", "directory", "file"])
def test_what_stands_where_files_arrive_is_not_written_through(host: Host, tmp_path: Path, planted: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/f").write_text("mine")
    part = tmp_path / "1.1/files.part"
    host.end(["d/f"])
    part.mkdir()
    if planted == "link":
        (part / "d").symlink_to(tmp_path / "elsewhere")
    elif planted == "file":
        (part / "d").write_text("x")
    else:
        (part / "d").mkdir()
        if planted == "directory":
            (part / "d/f").mkdir()
        else:
            (part / "d/f").symlink_to(tmp_path / "elsewhere/f")
    host.found({"d/f": 4})
    host.give(b"evil")
    host.work()
    assert (tmp_path / "elsewhere/f").read_text() == "mine"
    assert len(host.ends()) == 1 and os.listdir(tmp_path / "elsewhere") == ["f"]
    assert planted != "link to a file" or host.files == {"d/f": b"evil"}


def test_a_name_that_is_too_long_here_is_told_and_the_others_come(host: Host) -> None:
    host.end(["**"])
    long = "/".join(["d" * 200] * 20)
    host.found({"a": 1, long: 1, "n" * 300: 1})
    for index in range(3):
        host.give(b"x", index)
    host.work()
    assert host.files == {"a": b"x"} and "too long" in host.warnings()[0]


def test_after_a_cut_a_file_goes_on_at_the_byte_and_what_is_done_is_not_asked_for(host: Host) -> None:
    host.end(["*"])
    host.found({"a": 1}, last=False)
    host.give(b"a")
    host.found({"b": 1, "c": 6, "d": 1})
    host.give(b"b")
    host.part(b"ccc", 1)
    host.meet()
    assert not host.part(b"ccc", 1, 3), "what comes late over the old connection is nobody's"
    host.end(None, known=True)
    assert host.said()[0]["after"] == "a"
    # The host says so again: nothing follows from that.
    host.end(None, known=True)
    assert host.said() == []
    # First what is here in part.
    assert host.found({"b": 1, "c": 6, "d": 1}) == [{"t": "get", "id": "1.1", "files": [[0, 1], [1, 3]], "more": False}]
    host.whole(sha(b"b"))
    host.part(b"CCC", 1, 3)
    host.whole(sha(b"cccCCC"), 1)
    assert host.said() == [{"t": "get", "id": "1.1", "files": [[2, 0]], "more": True}]
    host.give(b"d", 2)
    host.work()
    assert host.files == {"a": b"a", "b": b"b", "c": b"cccCCC", "d": b"d"}


def test_after_the_death_of_a_manager_all_is_asked_for_from_where_it_is(host: Host) -> None:
    host.end(["*"])
    host.found({"a": 4, "b": 4, "c": 4})
    host.give(b"aaaa")
    host.part(b"bb", 1)
    host.start()
    host.end(["*"])
    host.said()
    # Meanwhile b has become another file, which only its digest tells.
    assert host.found({"a": 4, "b": 5, "c": 4})[0]["files"] == [[0, 4], [1, 2]]
    host.whole(sha(b"aaaa"))
    host.part(b"BBB", 1, 2)
    host.whole(sha(b"BBBBB"), 1)
    assert host.said()[0]["files"] == [[1, 0], [2, 0]]
    host.give(b"BBBBB", 1)
    host.give(b"cccc", 2)
    host.work()
    assert host.files == {"a": b"aaaa", "b": b"BBBBB", "c": b"cccc"}


def test_what_was_brought_before_is_verified_and_not_sent_again_and_never_written_to(host: Host, tmp_path: Path) -> None:
    (tmp_path / "1.1/files").mkdir(parents=True)
    (tmp_path / "1.1/files/a").write_bytes(b"aaaa")
    (tmp_path / "1.1/files/b").write_bytes(b"bbbb")
    os.link(tmp_path / "1.1/files/b", tmp_path / "kept")
    host.end(["*"])
    host.said()
    assert host.found({"a": 4, "b": 4})[0]["files"] == [[0, 4], [1, 4]]
    host.whole(sha(b"aaaa"))
    host.whole(sha(b"BBBB"), 1)
    assert host.said()[0]["files"] == [[1, 0]]
    host.give(b"BBBB", 1)
    host.work()
    assert host.files == {"a": b"aaaa", "b": b"BBBB"} and (tmp_path / "kept").read_bytes() == b"bbbb"


@pytest.mark.parametrize("changed", [False, True])
def test_what_an_earlier_manager_had_brought_stays_in_its_place_for_who_reads_it(host: Host, tmp_path: Path, changed: bool) -> None:
    host.end(["*"])
    host.found({"a": 1, "b": 0})
    host.give(b"a")
    host.whole(sha(b""), 1)
    host.work()
    before, brought = (tmp_path / "1.1/files").stat().st_ino, host.ends()[0].brought
    if changed:
        (tmp_path / "1.1/files/a").write_bytes(b"?")
    host.start()
    touched = (tmp_path / "1.1/files/a").stat().st_ctime_ns
    host.end(["*"], adopted=brought)
    host.said()
    assert host.found({"a": 1, "b": 0})[0]["files"] == [[0, 1]]
    host.whole(sha(b"a"))
    if changed:
        # What is wrong is found by its digest; then all is brought as if nothing were here.
        assert host.said()[0]["after"] == ""
        assert host.found({"a": 1, "b": 0})[0]["files"] == [[0, 1]]
        host.whole(sha(b"a"))
        assert host.said()[0]["files"] == [[0, 0], [1, 0]]
        host.give(b"a")
    else:
        assert host.said()[0]["files"] == [[1, 0]]
        assert (tmp_path / "1.1/files/a").stat().st_ctime_ns == touched, "who digests it at the moment must not notice"
    host.whole(sha(b""), 1)
    host.work()
    assert host.files == {"a": b"a", "b": b""} and host.ends()[1].brought == brought
    assert ((tmp_path / "1.1/files").stat().st_ino == before) is not changed


@pytest.mark.parametrize("names", [{"files.old"}, {"files.old", "files.part"}, {"files.old", "files"}])
def test_a_death_between_two_names_loses_nothing(host: Host, tmp_path: Path, names: set[str]) -> None:
    for name in names:
        (tmp_path / f"1.1/{name}").mkdir(parents=True)
        (tmp_path / f"1.1/{name}/a").write_bytes(b"aaaa")
    host.end(["*"])
    host.said()
    assert host.found({"a": 4})[0]["files"] == [[0, 4]]
    host.whole(sha(b"aaaa"))
    host.work()
    assert host.files == {"a": b"aaaa"} and not (tmp_path / "1.1/files.old").exists()


def test_a_full_disk_is_waited_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.end(["*"])
    host.found({"a": 4})
    write = os.pwrite

    def full(*arguments: Any) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "pwrite", full)
    for _ in range(2):
        with pytest.raises(LocalError) as caught:
            host.part(b"aa")
        assert caught.value.passing
    monkeypatch.setattr(os, "pwrite", write)
    host.part(b"aa")
    host.part(b"AA", off=2)
    host.whole(sha(b"aaAA"))
    host.work()
    assert host.files == {"a": b"aaAA"}


def test_a_person_who_cancels_does_not_wait_for_files(host: Host) -> None:
    host.end(["*"])
    host.found({"a": 4})
    host.part(b"aa")
    host.book.cancel("1.1", 5.0)
    (end,) = host.ends()
    assert end.outcome is Outcome.CANCELLED and host.said() == [{"t": "drop", "id": "1.1"}] and host.book.live["1.1"].over


def test_a_host_that_has_forgotten_the_attempt_ends_the_wait(host: Host) -> None:
    host.end({"a": None})
    host.meet()
    host.end(None, known=True, why="fenced")
    host.work()
    (end,) = host.ends()
    assert end.outcome is Outcome.SUCCEEDED and "knows nothing" in (end.reason or "") and end.brought is None


def test_of_many_attempts_a_few_are_brought_at_a_time(host: Host) -> None:
    asked = []
    for n in range(1, 11):
        host.end(["*"], f"{n}.1")
        asked += host.said()
    assert [said["id"] for said in asked] == [f"{n}.1" for n in range(1, AT_ONCE + 1)]
    assert {"t": "pull", "id": f"{AT_ONCE + 1}.1", "cwd": None, "patterns": ["*"], "after": ""} in host.found({}, uid="2.1")


def test_more_files_than_can_be_are_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "MOST_FILES", 3)
    host.end({"*": {"required": True}})
    host.said()
    host.found({"a": 0, "b": 0, "c": 0, "d": 0})
    (end,) = host.ends()
    assert end.outcome is Outcome.FAILED and "more than 3 files" in (end.reason or "")
    host.end({"*": None}, "2.1")
    host.found({"a": 1 << 62, "b": 1 << 62}, uid="2.1")
    assert host.ends()[1].outcome is Outcome.SUCCEEDED and "8 TiB" in (host.ends()[1].reason or "")


def in_a_loop(act: Callable[[], Any], until: Callable[[], Any]) -> None:
    """Do something in a loop that goes on until something is so."""
    async def play() -> None:
        act()
        for _ in range(2000):
            await asyncio.sleep(0.001)
            if until():
                return
        raise AssertionError("it did not come true")
    asyncio.run(play())


@pytest.fixture
def running(host: Host) -> Host:
    """A host on which an attempt runs whose files are brought meanwhile."""
    spec = JobSpec(["true"], name="j", outputs={"ckpt/": {"every": 1, "carry": True}, "log": None})
    attempt = LiveAttempt("1.1", Job(spec), "t", host.directory / "1.1")
    host.book.launch(attempt)
    host.book.create(attempt)
    host.said()
    return host


def again(host: Host) -> list[dict[str, Any]]:
    """Let it be time to bring files; return what was asked."""
    wanted, _ = wanted_meanwhile(outputs_of(host.book.live["1.1"].spec.outputs))
    host.book.bringing._watched.setdefault("1.1", {})
    host.book.bringing._add(host.book.live["1.1"], None, wanted)
    return host.said()


def test_files_of_a_running_attempt_are_brought_when_it_is_time(running: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringing, "wanted_meanwhile", lambda outputs: (wanted_meanwhile(outputs)[0], 0.001))
    in_a_loop(lambda: running.book.started({"id": "1.1", "pid": 1, "at": 1.0}), lambda: "1.1" in running.book.bringing._pulls)
    assert running.said()[0]["patterns"] == ["ckpt/"] and "1.1" not in running.book.bringing


def test_what_has_not_changed_is_not_even_read_again(running: Host) -> None:
    again(running)
    running.found({"ckpt/a": 1, "ckpt/b": 1})
    running.give(b"a")
    running.give(b"b", 1)
    running.work()
    assert running.files == {"ckpt/a": b"a", "ckpt/b": b"b"} and running.ends() == []
    again(running)
    # The second was written anew, with as many bytes: only its digest tells whether with others.
    assert running.found({"ckpt/a": 1, "ckpt/b": 1}, times=[1, 2])[0]["files"] == [[1, 1]]
    running.whole(sha(b"B"), 1)
    assert running.said()[0]["files"] == [[1, 0]]
    running.give(b"B", 1)
    running.work()
    assert running.files == {"ckpt/a": b"a", "ckpt/b": b"B"}


@pytest.mark.parametrize("why", ["changed", "gone", "unreadable"])
def test_only_a_whole_set_is_put_in_place_while_the_job_runs(running: Host, why: str) -> None:
    again(running)
    running.found({"ckpt/a": 1})
    running.give(b"a")
    running.work()
    again(running)
    running.found({"ckpt/a": 2, "ckpt/b": 1})
    running.give(b"AA")
    running.whole(None, 1, why=why)
    running.work()
    assert running.files == {"ckpt/a": b"a"} and running.warnings() == []
    again(running)
    running.found({}, odd={"": "gone"})
    running.work()
    assert running.files == {"ckpt/a": b"a"}


def test_the_end_of_an_attempt_does_not_wait_for_what_was_brought_meanwhile(running: Host) -> None:
    again(running)
    old = running.seqs["1.1"]
    running.end(None, known=True, status=1)
    (asked,) = running.said()
    # What the next attempt is to find is brought however it ended.
    assert asked["patterns"] == ["ckpt/"] and "1.1" in running.book.bringing
    late = {"id": "1.1", "seq": old, "last": True, "paths": [], "sizes": [], "times": [], "programs": [], "odd": [], "why": []}
    assert not running.book.bringing.found(late)
    running.found({"ckpt/a": 1})
    running.give(b"a")
    running.work()
    assert running.files == {"ckpt/a": b"a"} and running.ends()[0].outcome is Outcome.FAILED


def test_a_cut_ends_what_is_brought_meanwhile(running: Host) -> None:
    again(running)
    running.found({"ckpt/a": 1})
    running.meet()
    assert "1.1" not in running.book.bringing._pulls and not running.part(b"a")
    again(running)
    running.found({"ckpt/a": 1})
    running.give(b"a")
    running.work()
    assert running.files == {"ckpt/a": b"a"}


def test_a_value_that_leads_out_of_the_directory_is_told_and_the_host_is_not_asked(host: Host) -> None:
    spec = JobSpec(["true"], name="j", outputs={"a": {"required": True}})
    spec.outputs = {"../x": spec.outputs["a"]}
    attempt = LiveAttempt("1.1", Job(spec), "t", host.directory / "1.1")
    host.book.launch(attempt)
    host.book.create(attempt)
    host.said()
    host.end(None, known=True)
    host.work()
    assert host.said() == [] and host.ends()[0].outcome is Outcome.FAILED and "leads out" in (host.ends()[0].reason or "")


def test_a_directory_named_by_home_is_the_jobs(host: Host) -> None:
    for n, (cwd, env, told) in enumerate([("~/x", {}, "~/x"), ("~/x", {"HOME": "/h"}, "/h/x"), ("/x", {"HOME": "/h"}, "/x")], 1):
        attempt = LiveAttempt(f"{n}.1", Job(JobSpec(["true"], name="j", outputs=["a"], cwd=cwd, env=env)), "t", host.directory / f"{n}.1")
        host.book.launch(attempt)
        host.book.create(attempt)
        host.said()
        host.end(None, f"{n}.1", known=True)
        assert host.said()[0]["cwd"] == told
