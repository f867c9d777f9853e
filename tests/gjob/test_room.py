"""Hosts without room: what cannot be started is given back with the reason, and nothing that ran is forgotten."""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gjob.client import FarHost, Link, alive, eventually, holders, token_of
from tests.lab import disks

GO = 'until [ -e "$GO" ]; do sleep 0.02; done\n'
needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


TROUBLES = {
    "bytes": (disks.without_bytes, "disk-full", "no room in {root} (0 of 4 MiB free)"),
    "inodes": (disks.without_inodes, "disk-full", "no room in {root} (0 of 200 files free)"),
    "read-only": (lambda home: disks.read_only(home, home.parent / "side"), "read-only", "{root} is read-only"),
}


@pytest.fixture
def small(far: FarHost, tmp_path: Path) -> Iterator[FarHost]:
    """A host with a small disk of its own for the home."""
    far.environ["GO"] = str(tmp_path / "go")
    with disks.small_disk(far.home, "4m,nr_inodes=200"):
        yield far
        far.close()


@needs_mounts
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_job_without_room_is_given_back_with_the_reason_and_runs_when_there_is_some(
        small: FarHost, trouble: str) -> None:
    link = small.connect()
    link.run("1.1", "true")
    take_room, _, words = TROUBLES[trouble]
    with take_room(small.home):
        end = link.run("2.1", script="echo out\n")
        assert (end["why"], end["msg"]) == ("no_room", words.format(root=small.welcome["root"]))
        assert end["started"] is None
    assert link.run("2.2", script="echo out\n")["why"] == "exited"
    assert link.stdout("2.2") == b"out\n"


@pytest.mark.parametrize(("module", "call", "number", "words"), [
    ("runner", "system.mkdir(path, 0o700)", "EDQUOT", "the quota there is used up"),
    ("runner", "system.open(self._places.stream(job.uid, number), NEW | os.O_APPEND, 0o600)", "EDQUOT", "the quota there"),
    ("journal", "system.write(self.fd, data)", "EDQUOT", "the quota there is used up"),
    ("start", "system.open(path, NEW, 0o600)", "EDQUOT", "the quota there is used up"),
    ("start", "system.spawn(self._program(argv[0], env), argv, env, stdio, start.before)", "EAGAIN",
     "no further process can be made there"),
])
def test_whatever_step_finds_no_room_the_job_is_given_back_and_may_be_tried_again(
        make_failing: Callable[..., FarHost], module: str, call: str, number: str, words: str) -> None:
    far = make_failing(module, call, number)
    link = far.connect()
    assert link.run("1.1", script="true\n")["why"] == "exited"
    (far.home / "fail").touch()
    end = link.run("2.1", script="true\n")
    assert end["why"] == "no_room" and words in end["msg"], end
    (far.home / "fail").unlink()
    assert link.run("2.2", script="echo out\n")["why"] == "exited"
    assert link.stdout("2.2") == b"out\n"


def test_jobs_wait_for_others_when_no_more_runner_can_be_made_and_are_given_back_when_there_is_none(
        make_failing: Callable[..., FarHost], tmp_path: Path) -> None:
    far = make_failing("agent.pool", "system.fork", "EAGAIN")
    far.environ["GO"] = str(tmp_path / "go")
    (far.home / "fail").touch()
    link = far.connect(slots=2)
    end = link.run("1.1", "true")
    assert end["why"] == "no_room" and "no further process can be made there" in end["msg"], end
    (far.home / "fail").unlink()
    link.launch("2.1", script=GO)
    link.until("started", id="2.1")
    (far.home / "fail").touch()
    link.launch("3.1", "echo", "out")
    assert "no further process can be made there" in link.until("warn")["msg"]
    (tmp_path / "go").touch()
    assert link.end_of("3.1")["why"] == "exited"
    assert link.stdout("3.1") == b"out\n"


@needs_mounts
@pytest.mark.parametrize("trouble", TROUBLES)
def test_while_the_directory_of_a_run_cannot_be_written_no_other_takes_its_place(
        small: FarHost, trouble: str, tmp_path: Path) -> None:
    link = small.connect()
    link.launch("1.1", script="echo before\n" + GO + "echo after\nexit 4\n")
    link.until("out", id="1.1")
    take_room, kind, _ = TROUBLES[trouble]
    with take_room(small.home):
        small.kill_agent()
        refused = small.open()
        small.hello(refused)
        assert refused.next()["kind"] == kind
        assert not list(Path("/var/tmp").glob(f"sshjobs-*/{small.run}"))
    link = small.again(link, "1.1")
    link.until("state", id="1.1", s="running")
    (tmp_path / "go").touch()
    end = link.end_of("1.1")
    assert (end["why"], end["status"]) == ("exited", 4)


@needs_mounts
def test_the_end_of_a_job_that_filled_the_disk_is_known_and_kept(small: FarHost) -> None:
    link = small.connect()
    link.launch("1.1", script="head -c 5000000 /dev/zero > \"$HOME/filler\" 2> /dev/null; exit 3\n", strict=False)
    assert link.end_of("1.1")["status"] == 3
    small.kill_agent()
    (small.home / "filler").unlink()
    link = small.connect(sync=[["1.1", 0, 0]])
    end = link.end_of("1.1")
    # Its runner writes it down as soon as there is room, whoever asks by then.
    assert (end["why"], end["status"]) == ("exited", 3)


@needs_mounts
def test_an_input_that_was_not_kept_for_want_of_room_can_be_sent_again(small: FarHost) -> None:
    link = small.connect()
    data = os.urandom(1 << 20)
    sha = hashlib.sha256(data).hexdigest()
    with disks.without_bytes(small.home):
        link.say("put", data, sha=sha, size=len(data), crc=zlib.crc32(data), off=0, n=len(data))
        assert "an input file cannot be kept" in link.until("warn")["msg"]
    end = link.run("1.1", "cat", stdin=sha)
    assert (end["why"], end["started"]) == ("no_room", None)
    link.say("put", data, sha=sha, size=len(data), crc=zlib.crc32(data), off=0, n=len(data))
    assert link.run("1.2", "cat", stdin=sha)["why"] == "exited"
    assert link.stdout("1.2") == data


# -- what a person deletes -----------------------------------------------------------------------------------------


def start(far: FarHost, tmp_path: Path) -> tuple[Link, int]:
    """Start a job whose output has not been fetched when its directory is deleted."""
    far.environ["GO"] = str(tmp_path / "go")
    link = far.connect()
    link.launch("1.1", script="echo ran >> \"$HOME/ledger\"\n" + GO + "echo after\n")
    pid = link.until("started", id="1.1")["pid"]
    eventually((far.home / "ledger").exists, "the job to have read its script")
    shutil.rmtree(far.home / ".sshjobs")
    return link, pid


def test_output_that_somebody_deleted_makes_an_end_that_says_so(far: FarHost, tmp_path: Path) -> None:
    link, _ = start(far, tmp_path)
    # Over this link it may have been opened in time, so that nothing of it is lost.
    link = far.again(link, "1.1")
    link.until("state", id="1.1", s="running")
    (tmp_path / "go").touch()
    end = link.end_of("1.1")
    assert (end["why"], end["status"]) == ("lost", 0)
    assert end["msg"] == "it exited with 0; 6 bytes of its output were deleted on the host before they were fetched"


def test_jobs_go_on_where_somebody_deleted_everything(far: FarHost, tmp_path: Path) -> None:
    link, _ = start(far, tmp_path)
    assert link.run("2.1", script="echo out\n")["why"] == "exited"
    assert link.stdout("2.1") == b"out\n"
    assert (far.home / ".sshjobs").stat().st_mode & 0o777 == 0o700
    (tmp_path / "go").touch()
    link.end_of("1.1")
    link.say("release", ids=["1.1", "2.1"])
    link.say("bye")
    gone = link.until("gone")
    assert (gone["processes"], gone["files"]) == (0, 0)
    assert not (far.home / ".sshjobs").exists()


def test_what_runs_without_a_record_is_found_by_its_token_and_never_doubled(far: FarHost, tmp_path: Path) -> None:
    link, job = start(far, tmp_path)
    far.kill_agent()
    link = far.connect(sync=[["1.1", 0, 0]])
    assert link.until("state", id="1.1")["s"] == "absent"
    link.say("fence", id="1.1", token=token_of("1.1"))
    assert link.until("state", id="1.1")["s"] == "running"
    assert alive(job)
    (tmp_path / "go").touch()
    assert link.end_of("1.1")["why"] == "lost"
    assert (far.home / "ledger").read_text() == "ran\n"


def test_what_cannot_be_fenced_and_may_not_have_begun_is_not_said_to_run(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script="sleep 100\n")
    link.until("started", id="1.1")
    far.kill_agent()
    link = far.connect(sync=[["1.1", 0, 0]])
    link.until("state", id="1.1", s="running")
    # The runner of the first agent lives: as far as this one can tell it may have been given any other attempt, too.
    work, = (far.home / ".sshjobs").glob("*/*/w")
    work.rename(work.with_name("away"))
    link.say("fence", id="2.1")
    assert link.until("state", id="2.1")["s"] == "queued"
    work.with_name("away").rename(work)
    link.say("cancel", id="1.1", grace=0.0)
    link.end_of("1.1")
    assert link.end_of("2.1")["why"] == "start_failed"


def test_what_runs_without_a_record_can_be_cancelled(far: FarHost, tmp_path: Path) -> None:
    link, job = start(far, tmp_path)
    far.kill_agent()
    link = far.connect()
    link.say("fence", id="1.1", token=token_of("1.1"))
    link.until("state", id="1.1", s="running")
    link.say("cancel", id="1.1", grace=1.0)
    assert link.end_of("1.1")["why"] in ("cancelled", "lost")
    eventually(lambda: not alive(job) and not holders(token_of("1.1")), "the job's death")


def test_a_fence_with_the_token_of_what_never_ran_is_a_fence(far: FarHost) -> None:
    link = far.connect()
    link.say("fence", id="1.1", token=token_of("1.1"))
    assert link.end_of("1.1")["why"] == "fenced"
