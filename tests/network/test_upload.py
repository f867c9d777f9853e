"""Inputs on their way: asked for, sent once, marked, and never in the way of anything else."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sshjobs import JobSpec, Run
from sshjobs.model.host import Host
from sshjobs.model.spec import Job
from sshjobs.model.states import Outcome
from sshjobs.network.contract import KEPT_FROM
from sshjobs.network.protocol import link as words
from sshjobs.network.session import dialog
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.book import HostBook
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.session.upload import MARK, Upload
from sshjobs.network.staging import digests
from sshjobs.network.staging.digests import RACY, Digests
from sshjobs.network.staging.inputs import Staging
from sshjobs.network.supervise import Threads
from sshjobs.network.transport.pipes import part_of
from sshjobs.network.trouble import LocalTrouble

BIG = b"0123456789abcdef" * (KEPT_FROM // 16)


class Scene:
    """An upload whose frames are looked at instead of being sent."""

    def __init__(self, directory: Path, have: Callable[[str], bool] = lambda sha: False):
        self.events: list[Any] = []
        self.said: list[dict[str, Any]] = []
        self.launched: list[str] = []
        self.directory, self.have = directory, have
        self.before_put: Callable[[dict[str, Any]], None] = lambda frame: None
        self._link = words.Link("0" * 32)
        self.book = HostBook("far", OutputFiles(), self.events.append, lambda item: None)
        self.upload = Upload(Staging(Digests()), self.book, self._link, self._send, self._launch,
                             self._send_file, LocalTrouble(self.events.append, Threads(1).do))

    def bring(self, *specs: JobSpec) -> None:
        """Bring the inputs of jobs, to the end."""
        async def play() -> None:
            task = asyncio.ensure_future(self.upload.serve())
            for number, spec in enumerate(specs):
                attempt = LiveAttempt(f"{number + 1}.1", Job(spec, number), "t" * 16, self.directory)
                self.book.live[attempt.uid] = attempt
                self.upload.add(attempt)
            deadline = time.monotonic() + 20.0
            while len(self.launched) + len(self.events) < len(specs):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.001)
            task.cancel()
        asyncio.run(play())

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The frames of one type."""
        return [frame for frame in self.said if frame["t"] == kind]

    async def _send(self) -> None:
        data = self._link.take()
        while data:
            line, _, data = data.partition(b"\n")
            frame = json.loads(line)
            if "n" in frame:
                data = data[frame["n"]:]
                self.before_put(frame)
            self.said.append(frame)
            if frame["t"] == "want":
                asyncio.get_running_loop().call_soon(
                    self.upload.lack, [sha for sha, _ in frame["blobs"] if not self.have(sha)])
        await asyncio.sleep(0)

    async def _send_file(self, line: bytes, file: int, offset: int, size: int) -> bool:
        data, whole = part_of(file, offset, size)
        self._link.say_bytes(line + data)
        await self._send()
        return whole

    async def _launch(self, attempt: LiveAttempt, manifest: Any) -> None:
        self.launched.append(attempt.uid)


def _spec(directory: Path, **files: bytes) -> JobSpec:
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return JobSpec(argv=["true"], files=list(files), base_dir=directory)


def test_a_host_is_asked_for_what_is_large_and_sent_what_is_small(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.bring(_spec(tmp_path, big=BIG, small=b"1"), _spec(tmp_path, big=BIG, other=b"2"))
    assert [[size for _, size in frame["blobs"]] for frame in scene.of("want")] == [[len(BIG)]]
    assert sorted(frame["size"] for frame in scene.of("put") if frame["off"] == 0) == [1, 1, len(BIG)]
    assert all(frame["crc"] == zlib.crc32(BIG) for frame in scene.of("put") if frame["size"] == len(BIG))
    assert scene.launched == ["1.1", "2.1"]


def test_what_a_host_has_is_not_sent(tmp_path: Path) -> None:
    scene = Scene(tmp_path, have=lambda sha: True)
    scene.bring(_spec(tmp_path, big=BIG))
    assert scene.of("put") == [] and scene.launched == ["1.1"]


def test_a_sign_of_life_is_asked_for_behind_each_mebibyte(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.bring(_spec(tmp_path, big=BIG * ((3 << 20) // len(BIG)), small=b"x"))
    marks = [frame for frame in scene.of("ping") if frame["seq"] == MARK]
    assert len(marks) == 4
    for _ in marks:
        assert scene.upload.busy
        scene.upload.mark()
    assert not scene.upload.busy


def test_no_host_gets_all_of_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    spec = _spec(tmp_path, big=BIG * 3)

    def change(frame: dict[str, Any]) -> None:
        (tmp_path / "big").write_bytes(b"x" * len(BIG * 3))
    scene.before_put = change
    scene.bring(spec)
    assert scene.launched == [] and scene.events[0].outcome is Outcome.NEVER_STARTED
    assert "changed while it was sent" in scene.events[0].reason
    assert all(frame["off"] + frame["n"] < frame["size"] for frame in scene.of("put"))


def test_a_file_that_is_gone_is_named_and_the_next_job_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.bring(JobSpec(argv=["true"], files=["missing"], base_dir=tmp_path), _spec(tmp_path, small=b"1"))
    assert "missing" in scene.events[0].reason and scene.launched == ["2.1"]


def test_more_files_than_a_frame_can_name_arrive(tmp_path: Path) -> None:
    directory = tmp_path / "many"
    directory.mkdir()
    for number in range(8000):
        (directory / f"{number:0100}").write_bytes(b"%d" % (number % 7))
    spec = JobSpec("ls many | wc -l; cat many/*7999", ["many"], name="count", base_dir=tmp_path)
    run = Run.start([spec], results=tmp_path / "results")
    assert run.wait(timeout=120) == 0
    assert (run.paths.root / "jobs" / "count" / "stdout").read_text().split() == ["8000", str(7999 % 7)]


#: Passes standard input on at 256 KiB a second.
SLOW = """#!{python}
import os, subprocess, sys, time
far = subprocess.Popen([{python!r}] + sys.argv[1:], stdin=subprocess.PIPE)
passed, began = 0, time.monotonic()
while True:
    data = os.read(0, 1 << 14)
    if not data:
        break
    os.write(far.stdin.fileno(), data)
    passed += len(data)
    time.sleep(max(0.0, passed / (1 << 18) - (time.monotonic() - began)))
far.stdin.close()
sys.exit(far.wait())
"""


def test_an_upload_that_takes_its_time_is_not_taken_for_a_dead_link(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialog, "PING_AFTER", 0.15)
    monkeypatch.setattr(dialog, "PING_BUSY", 0.15)
    monkeypatch.setattr(dialog, "DEAD_BUSY", 0.6)
    python = tmp_path / "slow-python"
    python.write_text(SLOW.format(python=sys.executable))
    python.chmod(0o755)
    (tmp_path / "big").write_bytes(os.urandom(5 << 18))
    events: list[dict[str, Any]] = []
    run = Run.start([JobSpec("wc -c < big", ["big"], name="job", base_dir=tmp_path)],
                    [Host("localhost", python=str(python))], results=tmp_path / "results", transport="local",
                    listener=events.append)
    assert run.wait(timeout=60) == 0
    assert [event for event in events if event["event"] == "host" and event["state"] != "up"] == []
    assert (run.paths.root / "jobs" / "job" / "stdout").read_text() == f"{5 << 18}\n"


# -- digests -------------------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read for their digests."""
    found: list[Path] = []
    real = digests._sums_of

    def counted(path: Path, identity: Any) -> tuple[str, int]:
        found.append(path)
        return real(path, identity)
    monkeypatch.setattr(digests, "_sums_of", counted)
    return found


def _old(path: Path, data: bytes) -> Path:
    """A file that has not changed for long, as far as this file system lets a test say so."""
    path.write_bytes(data)
    os.utime(path, (1e9, 1e9))
    return path


def test_a_large_file_is_read_once_for_all_runs(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[Path]) -> None:
    # The time of an inode's change cannot be set back, so the rule about young files is.
    monkeypatch.setattr(digests, "RACY", -60.0)
    store, big = tmp_path / "cache" / "digests", _old(tmp_path / "big", b"x" * (1 << 20))
    first = Digests(store).of(big)
    assert Digests(store).of(big) == first and reads == [big]
    assert store.stat().st_mode & 0o777 == 0o600
    big.write_bytes(b"y" * (1 << 20))
    assert Digests(store).of(big).sha != first.sha


def test_the_digest_of_a_file_that_was_just_written_is_not_kept(tmp_path: Path, reads: list[Path]) -> None:
    asked = Digests(tmp_path / "digests")
    young = tmp_path / "young"
    young.write_bytes(b"x" * (1 << 20))
    asked.of(young)
    if young.stat().st_ctime > time.time() - RACY:
        assert asked.of(young) and reads == [young, young]
        assert not (tmp_path / "digests").exists()


def test_a_damaged_store_of_digests_only_costs_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[Path]) -> None:
    monkeypatch.setattr(digests, "RACY", -60.0)
    store, big = tmp_path / "digests", _old(tmp_path / "big", b"x" * (1 << 20))
    right = Digests(store).of(big)
    whole = store.read_text()
    for damage in ("", "[1,2]\n", "\xff\n", whole[:50], "{}\n[]\nnull\n", whole.replace('"', "'"),
                   whole.replace(right.sha, "../" + right.sha)):
        store.write_text(damage, encoding="latin-1")
        assert Digests(store).of(big) == right
    store.unlink()
    store.mkdir()
    assert Digests(store).of(big) == right


def test_eight_hosts_that_want_a_file_have_it_read_once(tmp_path: Path, reads: list[Path]) -> None:
    big, asked = _old(tmp_path / "big", os.urandom(8 << 20)), Digests()
    with ThreadPoolExecutor(8) as pool:
        shas = set(pool.map(lambda _: asked.of(big).sha, range(8)))
    # The file is young: only those who wait while it is read share what is found.
    assert len(shas) == 1 and len(reads) < 8
