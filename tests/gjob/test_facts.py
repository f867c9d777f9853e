"""What a host tells of itself, from files that no machine of the tests has: memory, cores, processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from sshjobs.gjob import light, oom, procs, seals, system, trees
from sshjobs.gjob.agent import facts, pulse
from sshjobs.gjob.agent.cache import MOST, SHARE, Cache
from tests.gjob.client import eventually


@pytest.mark.parametrize(("group", "path"), [
    ("0::/a/b\n", "/sys/fs/cgroup/a/b/memory.events"), ("0::/\n", "/sys/fs/cgroup/memory.events"),
    ("4:cpu,memory:/x\n0::/\n", "/sys/fs/cgroup/memory/x/memory.oom_control"), ("", "/proc/vmstat"),
    ("4:cpu:/x\n", "/sys/fs/cgroup/memory/memory.oom_control")])
def test_kills_for_want_of_memory_are_counted_where_the_kernel_counts_ours(contents: Callable[[dict[str, str]], None], group: str, path: str) -> None:
    given = {"/proc/self/cgroup": group, "/proc/vmstat": "oom_kill 70\n", path: "low 1\noom_kill 0\n"}
    if not group:
        del given["/proc/self/cgroup"]
    contents(given)
    watch = oom.Watch()
    assert not watch.struck()
    given[path] = "oom_kill_all 9\noom_kill 1\n"
    assert watch.struck() and not watch.struck()
    if path != "/proc/vmstat":
        given["/proc/vmstat"] = "oom_kill 71\n"
        assert not watch.struck(), "that of the machine may be anybody's"
    given[path] = "oom_kill x\n"
    assert not watch.struck()
    del given[path]
    assert not watch.struck()


def test_without_counters_nothing_was_killed_for_want_of_memory(contents: Callable[[dict[str, str]], None]) -> None:
    contents({})
    assert not oom.Watch().struck()


@pytest.mark.parametrize(("meminfo", "limits", "bytes_"), [
    ("MemFree: 5 kB\nMemTotal:  100 kB\nMemTotal: 7 kB\n", {}, 102400), ("", {}, 0), (None, {"/sys/fs/cgroup/memory.max": "77"}, 77),
    ("MemTotal: x kB\n", {"/sys/fs/cgroup/memory.max": "max"}, 0), ("MemTotal:\n", {}, 0),
    ("MemTotal: 100 kB\n", {"/sys/fs/cgroup/a/memory.max": "5000", "/sys/fs/cgroup/memory.max": "6000"}, 5000),
    ("MemTotal: 100 kB\n", {"/sys/fs/cgroup/a/b/memory.max": "999999", "/sys/fs/cgroup/a/memory.max": "4000"}, 4000),
    ("MemTotal: 100 kB\n", {"/sys/fs/cgroup/memory/memory.limit_in_bytes": str(1 << 60)}, 102400),
    (None, {"/sys/fs/cgroup/memory/memory.limit_in_bytes": str((1 << 60) - 1)}, (1 << 60) - 1),
    (None, {"/sys/fs/cgroup/memory/memory.limit_in_bytes": str(1 << 60)}, 0)])
def test_memory_is_the_machines_less_where_a_cgroup_has_a_limit(contents: Callable[[dict[str, str]], None], meminfo: str | None,
                                                               limits: dict[str, str], bytes_: int) -> None:
    contents({"/proc/self/cgroup": "0::/a/b\n", **limits, **({} if meminfo is None else {"/proc/meminfo": meminfo})})
    assert facts.memory() == bytes_


@pytest.mark.parametrize(("limits", "cores"), [
    ({}, 8), ({"/sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 8), ({"/sys/fs/cgroup/a/b/cpu.max": "150000 100000"}, 2),
    ({"/sys/fs/cgroup/a/cpu.max": "200000 100000"}, 2), ({"/sys/fs/cgroup/cpu.max": "1 100000"}, 1),
    ({"/sys/fs/cgroup/cpu.max": "900000 100000"}, 8), ({"/sys/fs/cgroup/cpu.max": "100000 0"}, 8),
    ({"/sys/fs/cgroup/cpu.max": "0 100000"}, 1), ({"/sys/fs/cgroup/cpu.max": "300000"}, 8),
    ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 3),
    ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8)])
def test_cores_are_those_we_are_pinned_to_less_where_a_cgroup_has_a_quota(contents: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch,
                                                                         limits: dict[str, str], cores: int) -> None:
    monkeypatch.setattr(system, "cores", lambda: 8)
    contents({"/proc/self/cgroup": "3:cpuset:/z\n0::/a/b\n", **limits})
    assert facts.cores() == cores


def test_what_can_still_be_written_is_told_up_to_what_a_number_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "statvfs", lambda path: SimpleNamespace(f_bavail=3, f_frsize=4096, f_blocks=9))
    assert facts.passing("/")["disk"] == 12288
    monkeypatch.setattr(system, "statvfs", lambda path: SimpleNamespace(f_bavail=1 << 60, f_frsize=4096, f_blocks=0))
    assert facts.passing("/")["disk"] == 1 << 60

    def broken(path: str) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(system, "statvfs", broken)
    assert facts.passing("/")["disk"] == 0


@pytest.mark.parametrize(("disk", "present", "most"), [((10, 4096), 0, 10240), ((10, 4096), 8000, 12240), ((1 << 40, 4096), 0, MOST)])
def test_the_cache_takes_a_quarter_of_the_room_and_ten_gibibytes_at_most(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                                        disk: tuple[int, int], present: int, most: int) -> None:
    monkeypatch.setattr(system, "statvfs", lambda path: SimpleNamespace(f_bavail=disk[0], f_frsize=disk[1]))
    assert Cache(str(tmp_path))._limit(present) == most
    assert (MOST, SHARE) == (10 * 2**30, 4)


STAT = b"%d (a) Z 1) S 3 %d 5 0 -1 0 0 0 0 0 11 22 33 44 20 0 1 0 %d 1000 7 0\n"


def test_a_process_is_told_from_its_line_whatever_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "stat_of", lambda pid: STAT % (pid, 4, 999))
    proc = procs.look(42)
    assert proc is not None
    assert (proc.pid, proc.ppid, proc.session, proc.state, proc.start, proc.dead) == (42, 3, 5, "S", 999, False)
    assert procs.lives(42, 999) and not procs.lives(42, 998) and procs.runs(42)
    monkeypatch.setattr(system, "stat_of", lambda pid: b"42 (x) S 1 2")
    assert procs.look(42) is None
    for error in (FileNotFoundError(errno.ENOENT, ""), ProcessLookupError(errno.ESRCH, ""), PermissionError(errno.EACCES, "")):
        def gone(pid: int, error: OSError = error) -> bytes:
            raise error

        monkeypatch.setattr(system, "stat_of", gone)
        assert procs.look(42) is None and not procs.runs(42)

    def unseen(pid: int) -> bytes:
        raise OSError(errno.EMFILE, "")

    monkeypatch.setattr(system, "stat_of", unseen)
    with pytest.raises(OSError):
        procs.look(42)


def test_holders_of_a_token_are_found_by_whole_words_and_who_cannot_be_seen_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    environs: dict[int, bytes | OSError] = {
        1: b"A=1\0SSHJOBS_TOKEN=abc\0B=2", 2: b"SSHJOBS_TOKEN=abcd", 3: b"XSSHJOBS_TOKEN=abc", 4: b"SSHJOBS_TOKEN=abc",
        5: PermissionError(errno.EACCES, ""), 6: ProcessLookupError(errno.ESRCH, ""), 7: FileNotFoundError(errno.ENOENT, ""), 8: b"X=1\0SSHJOBS_TOKEN=xyz"}

    def environ_of(pid: int) -> bytes:
        found = environs[pid]
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(system, "environ_of", environ_of)
    table = {pid: procs.Proc(pid, 0, "Z" if pid == 4 else "S", 1) for pid in environs}
    assert [proc.pid for proc in procs.holders(["abc", "xyz"], table)] == [1, 8]


def test_a_signal_goes_to_that_very_process_or_nowhere() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        there = procs.look(child.pid)
        assert there is not None
        procs.send(procs.Proc(child.pid, 0, "S", there.start + 1), signal.SIGKILL)
        assert child.poll() is None, "the pid is another's by now"
        assert procs.send(there, signal.SIGKILL)
        eventually(lambda: child.poll() is not None, "the end of the child")
    assert not procs.send(there, signal.SIGKILL)


@pytest.mark.parametrize(("word", "number"), [
    ("37", 37), (" 100 ", 100), ("101", 100), ("[N/A]", None), ("", None), ("-1", None), ("1.5", None), ("9" * 11, 100), ("9" * 12, None)])
def test_a_number_of_nvidia_smi_is_taken_up_to_its_most(word: str, number: int | None) -> None:
    assert pulse._whole(word, 100) == number


def test_what_a_job_takes_is_counted_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    below = {42: [43, 44], 43: [], 44: [45], 45: []}

    def stat_of(pid: int) -> bytes:
        if pid == 43:
            raise ProcessLookupError(errno.ESRCH, "")
        return STAT % (pid, 1, 999)

    monkeypatch.setattr(system, "stat_of", stat_of)
    monkeypatch.setattr(system, "children_of", below.__getitem__)
    crew = SimpleNamespace(running=lambda: [("1.1", 42), ("2.1", 45)])
    beats = pulse.Pulse(SimpleNamespace(base="/"), crew, False, 0.0)  # type: ignore[arg-type]
    assert beats._jobs() == (["1.1", "2.1"], [3.3, 1.1], [3 * 7 * 4, 7 * 4])
    monkeypatch.setattr(pulse, "MOST_PROCESSES", 3)
    assert beats._jobs()[0] == ["1.1"], "so many processes are looked at in one pulse"


def test_a_seal_that_cannot_be_put_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha, path = light.sha256(b"abc"), tmp_path / "blob"
    path.write_bytes(b"abc")

    def utime(fd: int, times: tuple[float, float]) -> None:
        raise PermissionError(errno.EPERM, "")

    with monkeypatch.context() as patch:
        patch.setattr(system, "utime", utime)
        os.close(seals.open_whole(str(path), sha))
    assert path.stat().st_mtime != seals.seal(sha)
    os.close(seals.open_whole(str(path), sha))
    assert path.stat().st_mtime == seals.seal(sha) == 1e8 + 2 * int(sha[:7], 16)
    path.write_bytes(b"abd")
    with pytest.raises(FileNotFoundError, match="somebody has changed it"):
        seals.open_whole(str(path), sha)
    assert not path.exists()


def test_what_cannot_be_deleted_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t/d").mkdir(parents=True)
    for name in ("t/a", "t/b", "t/d/c"):
        (tmp_path / name).touch()
    real = system.unlink

    def unlink(path: str, dir_fd: int | None = None) -> None:
        if path in ("b", "c"):
            raise PermissionError(errno.EPERM, "")
        real(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(system, "unlink", unlink)
        assert trees.remove_tree(str(tmp_path / "t")) >= 2
        left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
        assert left == ["t", "t/b", "t/d", "t/d/c"]
    assert trees.remove_tree(str(tmp_path / "t")) == 0 and not (tmp_path / "t").exists()
