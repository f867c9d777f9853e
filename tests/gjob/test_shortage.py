"""Hosts that are short of something, and what jobs leave in the way: others are right, and nothing runs twice."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshjobs.gjob import seals
from sshjobs.gjob.trees import count_files, remove_tree
from tests.gjob.client import FarHost, Link, children, eventually, holders
from tests.gjob.test_cache import put

LEDGER = 'echo "$SSHJOBS_JOB" >> "$HOME/ledger"\n'


@pytest.fixture
def make_limited(make_far: Callable[..., FarHost], tmp_path: Path) -> Callable[[str], FarHost]:
    """Make a host whose logins have limits."""

    def make(limits: str) -> FarHost:
        far = make_far()
        wrapper = tmp_path / "python"
        wrapper.write_text(f'#!/bin/sh\n{limits}\nexec {shlex.quote(far.python)} "$@"\n')
        wrapper.chmod(0o755)
        far.python = str(wrapper)
        return far

    return make


def ends(link: Link, count: int) -> list[dict[str, object]]:
    """Launch so many jobs that say something at their beginning and their end, and return how they ended."""
    for number in range(1, count + 1):
        link.launch(f"{number}.1", script=f"echo begins\nsleep 0.{number % 7}\n{LEDGER}echo ends\n")
    return [link.end_of(f"{number}.1", 120) for number in range(1, count + 1)]


@pytest.mark.parametrize("limits", ["ulimit -Sn 64", "ulimit -n 64", "ulimit -v 200000\nulimit -n 64"],
                         ids=["soft", "hard", "memory"])
def test_with_few_descriptors_every_job_ends_once_and_whole(make_limited: Callable[[str], FarHost],
                                                            limits: str) -> None:
    far = make_limited(limits)
    link = far.connect(slots=60)
    told = ends(link, 90)
    assert Counter(str(end["why"]) for end in told) == {"exited": 90}
    assert all(link.stdout(f"{number}.1") == b"begins\nends\n" for number in range(1, 91))
    assert len((far.home / "ledger").read_text().splitlines()) == 90
    end = link.run("91.1", script="ulimit -Sn\n")
    assert link.stdout("91.1") == b"64\n", end


def test_nothing_of_a_host_with_few_descriptors_stays(make_limited: Callable[[str], FarHost]) -> None:
    far = make_limited("ulimit -n 40")
    link = far.connect(slots=60)
    assert {end["why"] for end in ends(link, 40)} == {"exited"}
    link.say("release", ids=[f"{number}.1" for number in range(1, 41)])
    link.say("bye")
    assert (gone := link.until("gone"))["processes"] == gone["files"] == 0
    eventually(lambda: not holders(f"FAR_HOST={far.run}"), "the end of all processes")


def test_a_child_whose_own_last_words_fail_does_not_go_on_as_another_agent(
        make_failing: Callable[..., FarHost]) -> None:
    far = make_failing("runner", "system.setsid", "EMFILE")
    link = far.connect(slots=4)
    (far.home / "fail").touch()
    assert link.run("1.1", "true")["why"] == "no_room"
    eventually(lambda: not children(far.agent), "the death of what was forked")
    (far.home / "fail").unlink()
    assert link.run("1.2", "true")["why"] == "exited"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may enter and write to."""
    directory = Path(tempfile.mkdtemp(prefix="sshjobs-test-"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="needs another user")
def test_with_few_processes_few_attempts_are_turned_down(make_far: Callable[..., FarHost], public: Path) -> None:
    far = make_far()
    far.user, far.home, far.python = 45_123, public, str(public / "python")
    far.environ["HOME"] = str(public)
    Path(far.python).write_text('#!/bin/sh\nulimit -u 30\nexec /usr/bin/python3 "$@"\n')
    Path(far.python).chmod(0o755)
    link = far.connect(slots=60)
    attempts = dict.fromkeys(range(1, 41), 1)
    turned_down = 0
    for number in attempts:
        link.launch(f"{number}.1", script=f"sleep 0.2\n{LEDGER}")
    while attempts:
        end = link.until("ended", 120)
        number = int(end["id"].partition(".")[0])
        if end["why"] == "no_room":
            turned_down += 1
            attempts[number] += 1
            link.launch(f"{number}.{attempts[number]}", script=f"sleep 0.2\n{LEDGER}")
        else:
            assert end["why"] == "exited", end
            del attempts[number]
    assert len((far.home / "ledger").read_text().splitlines()) == 40
    assert turned_down <= 40


# -- what jobs leave -------------------------------------------------------------------------------------------------

DEEP = ("import os\nfor _ in range({0}):\n    os.mkdir('d')\n    os.chdir('d')\nopen('f', 'w').close()\n")


def test_a_tree_deeper_than_any_stack_is_deleted(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", far.python, "-c", DEEP.format(3000))
    link.run("2.1", "sh", "-c", "chmod 000 . ; exit 3")
    link.say("release", ids=["1.1", "2.1"])
    assert link.run("3.1", "echo", "on")["why"] == "exited"
    link.say("release", ids=["3.1"])
    link.say("bye")
    assert link.until("gone", 60)["files"] == 0
    eventually(lambda: not (far.home / ".sshjobs").exists(), "nothing to be left")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: a disk that others use as well may need minutes for what is tried here."""
    directory = Path(tempfile.mkdtemp(prefix="sshjobs-test-", dir="/dev/shm"))
    yield directory
    remove_tree(str(directory))


@pytest.mark.parametrize(("depth", "width"), [(100_000, 1), (3, 100_000)])
def test_a_tree_of_any_shape_is_counted_and_deleted_with_few_descriptors(memory: Path, depth: int,
                                                                         width: int) -> None:
    top = memory / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    for number in range(width):
        os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    assert count_files(str(top)) == width
    assert remove_tree(str(top)) == 0
    assert not top.exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_cannot_be_deleted_is_counted_and_the_rest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/b/keep", "a/b/go", "a/c/go", "go"):
        (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / name).touch()
    unlink = os.unlink

    def refuse(name: str, *, dir_fd: int | None = None) -> None:
        if name == "keep":
            raise PermissionError(1, "Operation not permitted")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr("sshjobs.gjob.system.unlink", refuse)
    assert remove_tree(str(tmp_path / "top")) == 4
    assert [path.name for path in (tmp_path / "top").rglob("*") if path.is_file()] == ["keep"]


@pytest.mark.parametrize("instead", ["mkfifo $out", "ln -s /etc/passwd $out", "mkdir $out", ":", "mknod $out c 1 5"])
@pytest.mark.parametrize("moment", ["at once", "after a look"])
def test_a_job_that_puts_something_in_the_place_of_its_output_stops_nobody(far: FarHost, instead: str,
                                                                           moment: str) -> None:
    link = far.connect(slots=2)
    wait = "" if moment == "at once" else 'until [ -e "$HOME/go" ]; do sleep 0.02; done\n'
    link.launch("1.1", script=f"echo first\n{wait}out=$(echo ~/.sshjobs/*/*/o/1.1.out)\nrm $out\n{instead}\n")
    if wait:
        link.until("out", id="1.1")
        (far.home / "go").touch()
    end = link.end_of("1.1")
    assert link.run("2.1", "echo", "on")["why"] == "exited"
    assert link.stdout("2.1") == b"on\n"
    assert b"root:" not in link.stdout("1.1")
    assert end["why"] in ("exited", "lost")
    assert end["why"] == "lost" or link.stdout("1.1") == b"first\n"


def test_a_job_that_makes_its_output_unreadable_is_read_all_the_same(far: FarHost) -> None:
    link = far.connect()
    end = link.run("1.1", script="echo first\nchmod 000 ~/.sshjobs/*/*/o/1.1.out\n")
    assert (end["why"], link.stdout("1.1")) == ("exited", b"first\n")


def test_a_file_that_begins_again_with_as_many_bytes_is_noticed_and_told(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script='echo aaaa\nout=$(echo ~/.sshjobs/*/*/o/1.1.out)\n'
                              'until [ -e "$HOME/go" ]; do sleep 0.02; done\necho bbbb > $out\n')
    link.until("out", id="1.1")
    (far.home / "go").touch()
    assert link.end_of("1.1")["out"] == 10
    assert link.stdout("1.1") == b"aaaa\nbbbb\n"
    assert any(frame["t"] == "warn" and "output: pipe" in frame["msg"] for frame in link.frames)


# -- inputs ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("restored", [False, True], ids=["written", "written, its times set back"])
def test_an_input_that_a_job_has_changed_is_not_given_to_the_next_run(
        far: FarHost, make_far: Callable[..., FarHost], restored: bool) -> None:
    data = os.urandom(1 << 19)
    link = far.connect()
    sha = put(link, data)
    link.run("1.1", script="cp -p ~/.sshjobs/cache/*/*[0-9a-f] $HOME/times\nfor f in ~/.sshjobs/cache/*/*; do\n"
                           "chmod 600 $f; printf spoilt | dd of=$f conv=notrunc 2>/dev/null; chmod 400 $f\n"
                           + ("touch -r $HOME/times $f\n" if restored else "") + "done\n")
    link.say("release", ids=["1.1"])
    link.say("bye")
    link.until("gone")
    far.run = os.urandom(16).hex()
    again = far.connect()
    again.say("want", blobs=[[sha, len(data)]])
    assert again.until("lack")["shas"] == [sha]
    put(again, data)
    again.run("1.1", script="sha256sum < in\n", files=[["in", sha, 0o644]])
    assert again.stdout("1.1").split()[0].decode() == sha


def test_a_good_input_of_an_earlier_run_is_used_though_it_takes_more_than_a_look(far: FarHost) -> None:
    data = os.urandom(20 << 20)
    link = far.connect()
    sha = put(link, data)
    link.run("1.1", "true")
    link.say("release", ids=["1.1"])
    link.say("bye")
    link.until("gone")
    far.run = os.urandom(16).hex()
    again = far.connect()
    again.say("want", blobs=[[sha, len(data)], ["0" * 64, 5]])
    assert again.until("lack")["shas"] == ["0" * 64]
    again.run("1.1", script="sha256sum < in\n", files=[["in", sha, 0o644]])
    assert again.stdout("1.1").split()[0].decode() == sha


@pytest.mark.parametrize("use", ["files", "stdin"])
def test_an_input_that_a_job_has_changed_within_a_run_is_sent_again(far: FarHost, use: str) -> None:
    data = b"as it was sent\n"
    link = far.connect()
    sha = put(link, data)
    link.run("1.1", script="for f in ~/.sshjobs/*/*/b/*; do chmod 600 $f; echo spoilt > $f; chmod 400 $f; done\n")
    spec = {"files": [["in", sha, 0o644]]} if use == "files" else {"stdin": sha}
    word = "cat in\n" if use == "files" else "cat\n"
    assert link.run("2.1", script=word, **spec)["why"] == "no_room"
    link.say("want", blobs=[[sha, len(data)]])
    assert link.until("lack")["shas"] == [sha]
    put(link, data)
    assert link.run("2.2", script=word, **spec)["why"] == "exited"
    assert link.stdout("2.2") == data


def test_an_input_that_was_only_touched_is_used_and_sealed_again(far: FarHost) -> None:
    link = far.connect()
    sha = put(link, b"data\n")
    link.run("1.1", script="touch ~/.sshjobs/*/*/b/*\n")
    assert link.run("2.1", "cat", "in", files=[["in", sha, 0o644]])["why"] == "exited"
    [blob] = far.home.glob(".sshjobs/*/*/b/*")
    assert blob.stat().st_mtime == seals.seal(sha)


def test_a_fifo_in_the_place_of_an_input_stops_nobody(far: FarHost) -> None:
    link = far.connect()
    sha = put(link, b"data\n")
    link.run("1.1", script="for f in ~/.sshjobs/*/*/b/*; do rm -f $f; mkfifo $f; done\n")
    assert link.run("2.1", "cat", "in", files=[["in", sha, 0o644]])["why"] in ("no_room", "start_failed")
    assert link.run("3.1", "echo", "on")["why"] == "exited"
