"""Homes without room for a while: the reason is told, nothing is lost, and the run goes on by itself."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from sshjobs.model.causes import Cause
from sshjobs.store import RunReader
from tests.conftest import cli_environment, sshjobs_argv
from tests.faults import ledger, outputs
from tests.faults.scene import Scene, agents
from tests.hints import tries
from tests.lab import HostOptions, LabHost, disks, files, wait_until
from tests.lab.process import kill_all

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")]


# Each yields what takes what has become free since: hosts forget jobs that are over, and tidy.


@contextmanager
def without_bytes(host: LabHost) -> Iterator[Callable[[], None]]:
    host.fill_disk()
    yield host.fill_disk
    host.free_disk()


@contextmanager
def without_inodes(host: LabHost) -> Iterator[Callable[[], None]]:
    """Take all that are left of the home's; they are few, because it is remounted so."""
    host.run(["mount", "-o", "remount,nr_inodes=400", files.HOME])
    filler = host.home / "many"
    disks.take_inodes(filler)
    yield lambda: disks.take_inodes(filler)
    shutil.rmtree(filler)


@contextmanager
def read_only(host: LabHost) -> Iterator[Callable[[], None]]:
    """Let nothing new be written in the home. What is open for writing keeps a mount writable: another one over it,
    which is read-only before anybody can see it."""
    side = "/tmp/read-only-home"
    for words in (["mkdir", side], ["mount", "--bind", files.HOME, side], ["mount", "-o", "remount,ro,bind", side],
                  ["mount", "--bind", side, files.HOME]):
        assert host.run(words).returncode == 0
    yield lambda: None
    for words in (["umount", "-l", files.HOME], ["umount", "-l", side]):
        assert host.run(words).returncode == 0


@contextmanager
def without_processes(host: LabHost) -> Iterator[Callable[[], None]]:
    """Let agent and runners make no process: the user has more than one already."""
    ours = [pid for found in agents(host) for pid in found]
    pids = [process.inner_pid for process in host.processes() if process.pid in ours]

    def limit(pid: int, *words: str) -> str:
        done = host.run(["prlimit", f"--pid={pid}", *words], user=host.user)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    for pid in pids:
        limit(pid, "--nproc=1:")
    yield lambda: None
    for pid in pids:
        limit(pid, f"--nproc={limit(pid, '--nproc', '--output=HARD', '--noheadings')}:")


Trouble = Callable[[LabHost], AbstractContextManager[Callable[[], None]]]
TROUBLES: dict[str, tuple[Trouble, str]] = {
    "disk": (without_bytes, r"no room in /home/lab/\.sshjobs \(0 of 24 MiB free\)"),
    "inodes": (without_inodes, r"no room in /home/lab/\.sshjobs \(0 of 400 files free\)"),
    "read-only": (read_only, r"/home/lab/\.sshjobs is read-only"),
    "processes": (without_processes, "no further process can be made there: Resource temporarily unavailable"),
}


def told(scene: Scene, host: LabHost) -> str:
    """What the run says of a host, empty while all is well."""
    with RunReader.open(scene.paths) as reader:
        return next((row.reason or "" for row in reader.hosts() if row.host.name == host.name), "")


def patient(scene: Scene, jobs: int, host_retries: int) -> ledger.Jobs:
    made = outputs.patient_jobs(jobs, scene.seed, pace=2)
    for job in made.jobs:
        job["host_retries"] = host_retries
    return made


def begin(scene: Scene, made: ledger.Jobs) -> None:
    scene.begin(made)
    wait_until(lambda: scene.is_there() and len(outputs.read_tmp(scene.lab.hosts, scene.name)) > 8, 60, "jobs to run")


def end(scene: Scene) -> ledger.Findings:
    scene.finish()
    return ledger.check(scene.paths, scene.jobs, outputs.read_tmp(scene.lab.hosts, scene.name))


@pytest.mark.parametrize("trouble", TROUBLES)
def test_jobs_wait_for_room_on_the_only_host_and_go_on_by_themselves(make_scene, fresh_lab, trouble):
    lab = fresh_lab(options=HostOptions(home_size="24M"))
    scene, (host,) = make_scene(seed=120, lab=lab), lab.hosts
    take_room, words = TROUBLES[trouble]
    begin(scene, patient(scene, 30, host_retries=0))
    with take_room(host) as take_more:
        wait_until(lambda: take_more() or re.fullmatch(rf"{words}: waits; make room, it goes on by itself", told(scene, host)), 60,
                   scene.how)
        # However long it lasts: it counts against no job, not even against those that allow for no fault of a host.
        wait_until(lambda: take_more() or _turned_down(scene) > 2, 60, scene.how)
        assert not scene.manager.ended()
    found = end(scene)
    assert found.bad == []
    assert found.repeated == 0
    assert told(scene, host) == ""


def _turned_down(scene: Scene) -> int:
    with RunReader.open(scene.paths) as reader:
        return sum(attempt.cause == Cause.NO_ROOM
                   for _, attempts in reader.jobs_with_attempts() for attempt in attempts)


def test_jobs_that_find_no_room_run_on_another_host(make_scene, fresh_lab):
    lab = fresh_lab(hosts=2, options=HostOptions(home_size="24M"))
    scene, made = make_scene(seed=121, lab=lab), ledger.Jobs()
    for n in range(60):
        made.add(f"quiet-{n}", ["sleep 0.4", "note end"], env={"LEDGER": "/tmp/ledger"}, host_retries=0)
    begin(scene, made)
    full, other = lab.hosts
    with without_bytes(full) as take_more:
        wait_until(lambda: take_more() or _turned_down(scene), 60, scene.how)
        found = end(scene)
    assert found.bad == []
    assert found.repeated == 0
    with RunReader.open(scene.paths) as reader:
        ends = [one for _, attempts in reader.jobs_with_attempts() for one in attempts]
    first = min(one.ended or 0.0 for one in ends if one.cause == Cause.NO_ROOM)
    assert any(one.host == other.name and one.outcome == "succeeded" and (one.started or 0.0) > first for one in ends)


def test_tmp_without_the_right_to_execute_hinders_nothing(make_scene, fresh_lab):
    lab = fresh_lab()
    scene, (host,) = make_scene(seed=122, lab=lab), lab.hosts
    for where in ("/tmp", "/var/tmp"):
        assert host.run(["mount", "--bind", where, where]).returncode == 0
        assert host.run(["mount", "-o", "remount,noexec,bind", where]).returncode == 0
    scene.begin(ledger.mixed(12, 122))
    scene.finish()
    found = scene.check()
    assert found.bad == []
    assert found.repeated == 0


@tries("see its mode, and noexec")
def test_a_program_of_a_job_in_a_home_without_the_right_to_execute_is_named(make_scene, fresh_lab):
    lab = fresh_lab()
    scene, (host,) = make_scene(seed=123, lab=lab), lab.hosts
    assert host.run(["mount", "--bind", files.HOME, files.HOME]).returncode == 0
    assert host.run(["mount", "-o", "remount,noexec,bind", files.HOME]).returncode == 0
    (scene.directory / "tool").write_text("#!/bin/sh\necho ran\n")
    (scene.directory / "tool").chmod(0o755)
    made = ledger.mixed(4, 123)
    made.jobs.append({"name": "tool", "argv": ["./tool"], "files": ["tool"], "host_retries": 0})
    scene.begin(made)
    scene.finish()
    with RunReader.open(scene.paths) as reader:
        (tool,) = [job for job in reader.jobs() if job.name == "tool"]
        assert tool.reason == "not allowed to run ./tool; see its mode, and noexec"
        assert {job.state for job in reader.jobs() if job.outcome == "succeeded"} == {"done"}
    assert host.run(["mount", "-o", "remount,exec,bind", files.HOME]).returncode == 0
    again = subprocess.run(sshjobs_argv(["retry", scene.paths.root, "tool"]), capture_output=True, text=True, timeout=60,
                           env={**os.environ, **cli_environment()}, check=False)
    assert "tool on node01 exit 0" in again.stdout, again.stdout


def test_hosts_that_share_one_home_keep_apart_in_it_and_lose_nothing(make_scene, fresh_lab):
    lab = fresh_lab(hosts=3, shared_home=True)
    scene = make_scene(seed=124, lab=lab)
    begin(scene, patient(scene, 60, host_retries=20))
    # One directory for each of them, below that of the run, which all of them see.
    (run,) = (lab.hosts[0].home / ".sshjobs").iterdir()
    assert len(list(run.iterdir())) == 3
    # The same pids, tokens and attempts in one directory: what one host says of its own is no word about another's.
    kill_all([pid for found in agents(lab.hosts[0]) for pid in found])
    lab.hosts[1].reboot()
    found = end(scene)
    assert found.bad == []
    assert found.repeated > 0
    assert not (lab.hosts[0].home / ".sshjobs").exists()


# -- the manager's machine -------------------------------------------------------------------------------------------


@contextmanager
def without_files(scene: Scene) -> Iterator[None]:
    """Let the manager open nothing more, not even a connection."""
    assert scene.manager is not None
    pid = scene.manager.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def without_sync(scene: Scene) -> Iterator[None]:
    """Let every sync of the store fail, as on a disk that is about to die."""
    assert scene.manager is not None
    tracer = subprocess.Popen(["strace", "-qq", "-o", os.devnull, "-p", str(scene.manager.pid), "-e",
                               "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"])
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait(30)


@pytest.mark.parametrize(("take_room", "words"), [
    (without_sync, "the store cannot be used at present: disk I/O error.*; waiting"),
    (lambda scene: disks.without_inodes(scene.results), "the disk of this machine is full; waiting; make room"),
    (without_files, "Too many open files; waiting"),
])
def test_a_run_waits_for_its_own_machine_and_goes_on_by_itself(make_scene, take_room, words):
    scene = make_scene(seed=125)
    with outputs.small_results(scene, "48m,nr_inodes=600"):
        begin_here(scene)
        with take_room(scene):
            wait_until(lambda: re.search(words, scene.manager.said()), 60, lambda: scene.how() + scene.manager.said())
            assert not scene.manager.ended()
        scene.finish()
        found = scene.check()
    assert found.bad == []
    assert found.repeated == 0


def begin_here(scene: Scene) -> None:
    scene.begin(ledger.mixed(60, scene.seed, pace=2))
    wait_until(lambda: scene.is_there() and len(scene.ledger()) > 8, 60, "jobs to run")
