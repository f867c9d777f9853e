"""Outputs with a limit: their first and their last bytes, to the byte, whoever dies meanwhile; and bounds on the disk."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.gjob.headtail import SMALLEST_PIECE
from tests.gjob.client import FarHost, Link, alive, eventually
from tests.lab import disks

#: Bytes of all kinds, NUL and line ends among them.
BYTES = random.Random(13).randbytes(200_000)


def kept(data: bytes, limit: int) -> bytes:
    """What is to come of an output, by the words of the page: half from the beginning, half from the end."""
    if len(data) <= limit:
        return data
    return data[:limit - limit // 2] + data[len(data) - limit // 2:]


def left_out(end: dict[str, Any]) -> tuple[int, int, int]:
    found = end.get("left_out") or {"at": -1, "out": 0, "err": 0}
    return found["at"], found["out"], found["err"]


@pytest.fixture
def link(far: FarHost) -> Link:
    return far.connect()


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 1000, 65_537, 199_999])
def test_the_first_and_the_last_bytes_come_and_the_end_says_how_many_did_not(far: FarHost, link: Link, limit: int) -> None:
    (far.home / "data").write_bytes(BYTES)
    end = link.run("1.1", script="cat ~/data; tail -c 777 ~/data >&2", output_limit=limit)
    assert (end["why"], end["status"]) == ("exited", 0)
    assert link.stdout("1.1") == kept(BYTES, limit) and link.stderr("1.1") == kept(BYTES[-777:], limit)
    assert left_out(end) == ((limit + 1) // 2, len(BYTES) - limit, max(0, 777 - limit))
    assert sorted(path.name for path in far.directory.glob("o/*")) == ["1.1.err", "1.1.out", "1.1.sh"]


@pytest.mark.parametrize("size", [0, 1, 500, 501, 999, 1000])
def test_what_is_no_longer_than_its_limit_is_whole(link: Link, size: int) -> None:
    end = link.run("1.1", "sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x", output_limit=1000)
    assert link.stdout("1.1") == b"x" * size
    assert "left_out" not in end


def test_much_output_takes_little_of_the_disk_and_does_not_stop_the_job(far: FarHost, link: Link) -> None:
    limit = 6 * SMALLEST_PIECE
    link.launch("1.1", script="echo first\n(yes 0123456789abcde || true) | head -c 400000000\ntouch ~/written\n"
                              "until [ -e ~/go ]; do sleep 0.05; done\nprintf last", output_limit=limit)
    eventually((far.home / "written").exists, "the end of 400 MB", 60)
    there = sum(path.stat().st_size for path in far.directory.glob("o/**/*") if path.is_file())
    assert there <= limit + 2 * SMALLEST_PIECE
    (far.home / "go").touch()
    end = link.end_of("1.1")
    assert (end["why"], end["status"]) == ("exited", 0)
    whole = b"first\n" + b"0123456789abcde\n" * 25_000_000 + b"last"
    assert link.stdout("1.1") == kept(whole, limit)
    assert left_out(end) == (limit // 2, len(whole) - limit, 0)


@pytest.mark.parametrize("way", ["timeout", "cancel"])
def test_a_job_that_writes_without_end_can_be_ended(link: Link, way: str) -> None:
    keys: dict[str, Any] = {"timeout": 0.5} if way == "timeout" else {}
    link.launch("1.1", "yes", output_limit=10, **keys)
    link.until("started", id="1.1")
    if way == "cancel":
        link.say("cancel", id="1.1", grace=5)
    end = link.end_of("1.1")
    assert end["why"] == {"timeout": "timed_out", "cancel": "cancelled"}[way]
    assert link.stdout("1.1") in (b"y\ny\ny" b"\ny\ny\n", b"y\ny\ny" b"y\ny\ny")
    assert left_out(end)[1] > 0


def test_a_result_is_read_from_what_was_written_last_whatever_is_kept(link: Link) -> None:
    text = "seq 100000\necho ::result::\necho loss=0.5\n"
    assert link.run("1.1", script=text, output_limit=0)["result"] == {"loss": 0.5}
    # What would be such lines only where bytes were left out is none.
    end = link.run("2.1", script="printf '::res'\nseq 100000\nprintf 'ult::\\nloss=0.5\\n'\n", output_limit=32)
    assert b"::result::" not in link.stdout("2.1") and "result" not in end


STEPS = ('cat ~/one\ntouch ~/said\nuntil [ -e ~/go ]; do sleep 0.05; done\ncat ~/two\nexit 4\n')


@pytest.mark.parametrize("limit", [0, 10, 4 * SMALLEST_PIECE])
@pytest.mark.parametrize("who", ["link", "runner", "agent", "agent, then runner"])
def test_the_same_bytes_come_when_agent_and_runner_die(far: FarHost, link: Link, who: str, limit: int) -> None:
    one, two = BYTES * 30, BYTES[::-1] * 15
    (far.home / "one").write_bytes(one)
    (far.home / "two").write_bytes(two)
    link.launch("1.1", script=STEPS, output_limit=limit)
    pid = link.until("started", id="1.1")["pid"]
    eventually((far.home / "said").exists, "the first part")
    [runner] = far.runners()
    if who == "link":
        link.cut()
    elif who != "runner":
        far.kill_agent()
    if "runner" in who:
        os.kill(runner, signal.SIGKILL)
        eventually(lambda: not alive(runner), "the runner's death")
    if who != "runner":
        link = far.again(link, "1.1", epoch=2)
    assert alive(pid)
    (far.home / "go").touch()
    end = link.end_of("1.1")
    assert (end["why"], end["status"]) == (("lost", None) if "," in who else ("exited", 4))
    assert (end["out"], end["err"]) == (min(limit, len(one + two)), 0)
    # Of a link that was lost only what came over the new one is here.
    data = kept(one + two, limit)
    assert data.endswith(link.stdout("1.1")) and len(link.stdout("1.1")) >= limit // 2
    assert left_out(end) == ((limit + 1) // 2, len(one + two) - limit, 0)
    assert not list(far.directory.glob("o/*.pipe")) and not list(far.directory.glob("o/*.rest"))


def test_an_end_that_came_without_agent_is_told_with_what_was_left_out(far: FarHost, link: Link) -> None:
    link.launch("1.1", script="until [ -e ~/go ]; do sleep 0.05; done\nseq 100000", output_limit=100)
    link.until("started", id="1.1")
    [runner] = far.runners()
    far.kill_agent()
    (far.home / "go").touch()
    eventually(lambda: not alive(runner), "the end of the runner, whose agent is dead")
    link = far.again(link, "1.1", epoch=2)
    whole = "".join(f"{n}\n" for n in range(1, 100_001)).encode()
    end = link.end_of("1.1")
    assert link.stdout("1.1") == kept(whole, 100) and left_out(end) == (50, len(whole) - 100, 0)
    # What the manager has is not sent again, and the end says the same.
    link.cut()
    link = far.again(link, "1.1", epoch=3)
    again = link.end_of("1.1")
    assert link.stdout("1.1") == b"" and left_out(again) == left_out(end)


def test_a_job_that_deletes_what_is_kept_of_it_ends_all_the_same(far: FarHost, link: Link) -> None:
    script = f"seq 1000000\nrm -r {far.directory}/o/1.1.rest\nseq 1000000\n"
    end = link.run("1.1", script=script, output_limit=100)
    assert (end["why"], end["status"]) == ("exited", 0)
    assert link.stdout("1.1").startswith(b"1\n2\n3\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_without_room_for_its_last_bytes_a_job_waits_and_loses_none(make_far: Callable[..., FarHost]) -> None:
    far = make_far()
    with disks.small_disk(far.home, "8m"):
        link = far.connect()
        limit = 2 * SMALLEST_PIECE
        link.launch("1.1", script=f"until [ -e {far.home.parent}/go ]; do sleep 0.05; done\nseq 1000000\n",
                    output_limit=limit)
        link.until("started", id="1.1")
        with disks.without_bytes(far.home):
            (far.home.parent / "go").touch()
            with pytest.raises(TimeoutError):
                link.end_of("1.1", 1.5)
        end = link.end_of("1.1")
        whole = "".join(f"{n}\n" for n in range(1, 1_000_001)).encode()
        assert end["why"] == "exited" and link.stdout("1.1") == kept(whole, limit)
        far.close()


def test_what_is_left_of_an_attempt_goes_with_it(far: FarHost, link: Link) -> None:
    link.launch("1.1", script="seq 100000; touch ~/said; exec sleep 1000", output_limit=10)
    eventually((far.home / "said").exists, "its output")
    (rest,) = far.directory.glob("o/*.rest")
    shutil.copytree(rest, Path(f"{rest}.copy"))
    link.say("cancel", id="1.1", grace=0)
    link.end_of("1.1")
    # As a runner leaves it that is killed right behind the record of the end.
    os.rename(f"{rest}.copy", rest)
    link.say("release", ids=["1.1"])
    eventually(lambda: not list(far.directory.glob("o/*")), "the end of all that it had written")
