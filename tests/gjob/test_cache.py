"""Large inputs outlive their run on a host, and nothing that a job does reaches them."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.gjob import seals
from sshjobs.gjob.agent import cache as cache_
from sshjobs.gjob.agent.cache import LEAST, Cache
from tests.gjob.client import FarHost, Link, eventually

BIG = bytes(range(256)) * (LEAST // 256) + b"end"
SHA = hashlib.sha256(BIG).hexdigest()


def put(link: Link, data: bytes) -> str:
    sha = hashlib.sha256(data).hexdigest()
    for offset in range(0, len(data), 1 << 18):
        piece = data[offset:offset + (1 << 18)]
        link.say("put", piece, sha=sha, size=len(data), crc=zlib.crc32(data), off=offset, n=len(piece))
    return sha


def lacking(link: Link, *blobs: bytes) -> list[str]:
    link.say("want", blobs=[[hashlib.sha256(data).hexdigest(), len(data)] for data in blobs])
    shas: list[str] = link.until("lack")["shas"]
    return shas


def end(link: Link, *uids: str) -> None:
    """Let the run be over."""
    link.say("release", ids=list(uids))
    link.say("bye")
    assert link.until("gone")["files"] == 0


@pytest.fixture
def next_run(make_far: Callable[..., FarHost]) -> Callable[[FarHost], Link]:
    """Another run on the same host, by the same user."""
    def make(far: FarHost) -> Link:
        other = make_far()
        other.environ["HOME"] = str(far.home)
        return other.connect()
    return make


def test_a_large_input_is_there_for_the_next_run_and_a_small_one_is_not(
        far: FarHost, next_run: Callable[[FarHost], Link]) -> None:
    link = far.connect()
    put(link, BIG)
    put(link, b"a password")
    assert lacking(link, BIG, b"a password") == []
    end(link)
    link = next_run(far)
    assert lacking(link, BIG, b"a password") == [hashlib.sha256(b"a password").hexdigest()]
    link.run("1.1", script="cat big | wc -c\n", files=[["big", SHA, 0o644]])
    assert link.stdout("1.1").split() == [str(len(BIG)).encode()]


def test_a_job_that_changes_its_input_changes_nobody_elses(
        far: FarHost, next_run: Callable[[FarHost], Link]) -> None:
    link = far.connect()
    put(link, BIG)
    spoil = "echo spoilt >> in; : > in; chmod 777 in; echo spoilt > /dev/stdin || true\n"
    link.run("1.1", script=spoil, files=[["in", SHA, 0o644]], stdin=SHA)
    # As root may write to what is read-only, what was spoilt must not be what others get.
    if os.getuid() != 0:
        link.run("2.1", script="sha256sum < in\n", files=[["in", SHA, 0o644]])
        assert link.stdout("2.1").split()[0] == SHA.encode()
    end(link, "1.1")
    link = next_run(far)
    if not lacking(link, BIG):
        link.run("1.1", script="sha256sum < in\n", files=[["in", SHA, 0o644]])
        assert link.stdout("1.1").split()[0] == SHA.encode()


def test_a_file_that_is_not_as_it_was_left_is_sent_again(far: FarHost, next_run: Callable[[FarHost], Link]) -> None:
    link = far.connect()
    put(link, BIG)
    end(link)
    [kept] = (far.home / ".sshjobs" / "cache").glob("*/*")
    assert kept.stat().st_mode & 0o777 == 0o400
    kept.chmod(0o600)
    kept.write_bytes(BIG[:-1])
    kept.chmod(0o400)
    link = next_run(far)
    assert lacking(link, BIG) == [SHA]
    put(link, BIG)
    assert lacking(link, BIG) == []


def test_what_a_run_needs_stays_when_the_cache_is_cleared(far: FarHost) -> None:
    link = far.connect()
    put(link, BIG)
    assert lacking(link, BIG) == []
    assert Cache(str(far.home / ".sshjobs")).clear() == (1, len(BIG))
    assert lacking(link, BIG) == []
    link.run("1.1", script="wc -c < in\n", files=[["in", SHA, 0o644]])
    assert link.stdout("1.1").split() == [str(len(BIG)).encode()]
    end(link, "1.1")
    eventually(lambda: not (far.home / ".sshjobs").exists(), "nothing to be left")


def _content(number: int) -> bytes:
    return b"%d" % number * 100


def fetch(cache: Cache, sha: str, size: int, target: Path) -> bool:
    return list(cache.fetching(sha, size, str(target)))[-1]


def _keep(cache: Cache, root: Path, name: str, age: float, content: bytes = b"x" * 100) -> Path:
    path = root / name
    path.write_bytes(content)
    path.chmod(0o400)
    cache.keep(str(path), name, 100)
    os.utime(path, (path.stat().st_mtime - age, seals.seal(SHA)))
    path.unlink()
    return path


def test_what_was_not_needed_for_long_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(str(tmp_path))
    names = [hashlib.sha256(_content(number)).hexdigest() for number in range(6)]
    for number, name in enumerate(names):
        _keep(cache, tmp_path, name, number * 60.0, _content(number))
    _keep(cache, tmp_path, "old", cache_.KEPT_FOR + 60)
    monkeypatch.setattr(cache_, "MOST", 400)
    cache.trim()
    assert sorted(path.name for path in (tmp_path / "cache").glob("*/*")) == sorted(names[:4])
    monkeypatch.setattr(cache_, "MOST_FILES", 2)
    assert fetch(cache, names[3], 100, tmp_path / "used")
    cache.trim()
    assert sorted(path.name for path in (tmp_path / "cache").glob("*/*")) == sorted([names[0], names[3]])


def test_nothing_is_taken_from_before_the_last_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _keep(Cache(str(tmp_path)), tmp_path, SHA, 0.0)
    monkeypatch.setattr("sshjobs.gjob.procs.boot_id", lambda: "another")
    assert not fetch(Cache(str(tmp_path)), SHA, 100, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_link_in_the_place_of_a_cached_file_leads_nowhere(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    _keep(cache, tmp_path, SHA, 0.0)
    [kept] = (tmp_path / "cache").glob(f"*/{SHA}")
    kept.unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 100)
    secret.chmod(0o400)
    kept.symlink_to(secret)
    assert not fetch(cache, SHA, 100, tmp_path / "b")
    assert not os.path.lexists(tmp_path / "b") and secret.exists()


# -- what jobs have left -----------------------------------------------------------------------------------------------


def bring(link: Link, uid: str, *, keep: bool = True, cwd: str | None = None, pattern: str = "model") -> str | None:
    """Read a file of an ended attempt whole, as a manager does; return its sha256."""
    link.say("pull", id=uid, seq=1, cwd=cwd, patterns=[pattern], after="", keep=keep)
    if not link.until("found")["paths"]:
        return None
    link.say("get", id=uid, files=[[0, 0]], more=False)
    sha: str | None = link.until("whole")["sha"]
    return sha


def leave(link: Link, uid: str, script: str = "") -> None:
    assert link.run(uid, script=f"cp in model; chmod 600 model\n{script}\n", files=[["in", put(link, BIG + uid.encode()), 0o644]])["status"] == 0


def test_what_a_job_left_is_there_for_the_next_one_once_it_was_brought(far: FarHost, next_run: Callable[[FarHost], Link]) -> None:
    link, bytes_ = far.connect(), b"made here" * LEAST
    sha = hashlib.sha256(bytes_).hexdigest()
    assert link.run("1.1", script=f"set +o pipefail; yes 'made here' | tr -d '\\n' | head -c {len(bytes_)} > model; chmod 755 model\n")["status"] == 0
    assert lacking(link, bytes_) == [sha]
    assert bring(link, "1.1") == sha
    link.say("release", ids=["1.1"])
    assert lacking(link, bytes_) == []
    link.run("2.1", script="sha256sum < in; stat -c %a in\n", files=[["in", sha, 0o644]])
    assert link.stdout("2.1").split() == [sha.encode(), b"-", b"644"]
    end(link, "2.1")
    assert lacking(next_run(far), bytes_) == []


def test_only_large_files_that_are_wanted_are_kept(far: FarHost) -> None:
    link = far.connect()
    for uid, script, keep in (("1.1", "", False), ("2.1", "head -c 1000 in > model", True)):
        leave(link, uid, script)
        bring(link, uid, keep=keep)
    kept = {path.name for path in (far.home / ".sshjobs" / "cache").glob("*/*")}
    assert kept == {hashlib.sha256(BIG + uid).hexdigest() for uid in (b"1.1", b"2.1")}, "but for the inputs"


def test_a_file_that_others_may_write_to_is_not_kept(far: FarHost, tmp_path: Path) -> None:
    link, data = far.connect(), tmp_path / "data"
    data.mkdir()
    leave(link, "1.1", f"echo more >> model; ln model {data}/linked")
    leave(link, "2.1", f"echo more >> model; mv model {data}/model")
    first, second = bring(link, "1.1"), bring(link, "2.1", cwd=str(data))
    assert first is not None and second is not None
    kept = {path.name for path in (far.home / ".sshjobs" / "cache").glob("*/*")}
    assert not kept & {first, second} and not any(name.endswith(".new") for name in kept)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in data.iterdir())


def test_a_file_that_was_changed_after_it_was_kept_is_sent(far: FarHost) -> None:
    link = far.connect()
    leave(link, "1.1", "echo more >> model")
    sha = bring(link, "1.1")
    [kept] = (far.home / ".sshjobs" / "cache").glob(f"*/{sha}")
    assert kept.stat().st_mode & 0o777 == 0o400 and kept.stat().st_nlink == 2
    kept.chmod(0o600)
    with kept.open("r+b") as file:
        file.write(b"X")
    kept.chmod(0o400)
    link.say("want", blobs=[[sha, kept.stat().st_size]])
    assert link.until("lack")["shas"] == [sha] and not kept.exists()
