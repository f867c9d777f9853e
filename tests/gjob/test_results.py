"""What a job leaves as its result: found at its end, whoever has to look for it, and never in the way of that."""

from __future__ import annotations

import hashlib
import os
import signal
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.gjob import result, system
from sshjobs.gjob.values import FIXED, LINK
from sshjobs.network.protocol.frames import parse_header
from tests.gjob.client import FarHost, Link, eventually


@pytest.fixture
def link(far: FarHost) -> Link:
    return far.connect()


def test_it_is_the_object_in_result_json_or_what_stands_behind_the_marker(link: Link) -> None:
    script = """echo '{"loss": 0.5, "tags": ["a", null], "big": 123456789012345678901, "nan": NaN, "far": 1e999}' > result.json
echo ::result::
echo old=1
echo ::result::
echo 'loss=9'
printf 'acc = 0.75\\r\\nname=a=b\\nbad line\\nno number=1\\nok=true\\nn=-3\\nlost=nan\\nw=1e-3\\n'
"""
    end = link.run("1.1", script=script)
    assert end["result"] == {"loss": 0.5, "tags": ["a", None], "big": 1.2345678901234568e20, "nan": None, "far": None,
                             "acc": 0.75, "name": "a=b", "ok": True, "n": -3, "lost": None, "w": 0.001}
    assert "bad_result" not in end
    assert "result" not in link.run("2.1", "echo", "no result")


def test_with_a_directory_of_its_own_it_is_named_by_a_variable(link: Link, tmp_path: Path) -> None:
    end = link.run("1.1", script='pwd; echo 1 > result.json; echo "{\\"n\\": 1}" > "$SSHJOBS_RESULT_FILE"; exit 3',
                   cwd=str(tmp_path))
    assert (end["result"], end["status"]) == ({"n": 1}, 3)


def test_a_file_that_was_sent_is_no_result_unless_the_job_writes_to_it(link: Link) -> None:
    data = b'{"n": 1}'
    sha = hashlib.sha256(data).hexdigest()
    link.say("put", data, sha=sha, size=len(data), crc=zlib.crc32(data), off=0, n=len(data))
    files = [["result.json", sha, 0o644]]
    assert "result" not in link.run("1.1", "cat", "result.json", files=files)
    assert link.run("2.1", script="touch result.json", files=files)["result"] == {"n": 1}
    assert link.run("3.1", script="touch -d @0 result.json", files=files)["result"] == {"n": 1}


@pytest.mark.parametrize("files", [
    [["result.json", "SHA", FIXED]], [["result.json", "data/a", LINK], ["data/a", "SHA", 0o644]], [["result.json/a", "SHA", 0o644]],
    [["result.json", None, 0o755]], [["result.json", "nowhere", LINK]],
])
def test_nothing_that_was_placed_there_is_a_result_or_a_broken_one(link: Link, files: list[list[Any]]) -> None:
    data = b'{"n": 1}'
    sha = hashlib.sha256(data).hexdigest()
    link.say("put", data, sha=sha, size=len(data), crc=zlib.crc32(data), off=0, n=len(data))
    placed = [[path, sha if what == "SHA" else what, mode] for path, what, mode in files]
    end = link.run("1.1", script="cat result.json 2>&1 || true", files=placed)
    assert "result" not in end and "bad_result" not in end, end
    end = link.run("2.1", script="rm -rf result.json; echo '{\"n\": 2}' > result.json", files=placed)
    assert end["result"] == {"n": 2}
    end = link.run("3.1", script="rm -rf result.json; ln -s /etc/passwd result.json", files=placed)
    assert "no regular file" in end["bad_result"]


BROKEN = {
    "echo '{\"a\": 1' > result.json": "not JSON",
    "echo '[1]' > result.json": "not an object",
    "printf '\\377' > result.json": "byte 0 of it is not UTF-8",
    "head -c 70000 /dev/zero | tr '\\0' ' ' > result.json": "more than 65536 bytes",
    "ln -s /etc/passwd result.json": "no regular file",
    "mkfifo result.json": "no regular file",
    "mkdir result.json": "no regular file",
    "ln -s /dev/zero result.json": "no regular file",
    "head -c 60000 /dev/zero | tr '\\0' '[' > result.json": "nested",
    "python3 -c 'print(\"{\\\"a\\\":\" + \"[\" * 12 + \"]\" * 12 + \"}\")' > result.json": "more than 10 deep",
    "python3 -c 'print(\"{\\\"a\\\":[\" + \"{},\" * 600 + \"1]}\")' > result.json": "more than 500 lists",
    "python3 -c 'print(\"{\\\"a\\\":[\" + \"1,\" * 11000 + \"1]}\")' > result.json": "more than 10000 values",
    "python3 -c 'print(\"{\\\"\" + \"k\" * 300 + \"\\\": 1}\")' > result.json": "more than 200 characters",
    "rm -rf \"$PWD\"": None,
}


def test_a_broken_one_is_told_in_a_line_and_harms_nothing(link: Link) -> None:
    for number, (script, told) in enumerate(BROKEN.items(), 1):
        end = link.run(f"{number}.1", script=f"echo ::result::\necho n={number}\n{script}\n")
        assert (end["why"], end["status"], end["result"]) == ("exited", 0, {"n": number}), script
        said = end.get("bad_result", "")
        assert (told or "") in said and (told is None) == (said == ""), (script, said)
        assert "\n" not in said and len(said) < 400


def test_only_whole_lines_near_the_end_of_the_output_count() -> None:
    assert result.from_output(b"x ::result::\na=1\n") == {}
    assert result.from_output(b"::result::") == {}
    assert result.from_output(b"  ::result::  \r\na=1") == {"a": 1}
    assert result.from_output(b"::result::\n" + b"".join(b"k%d=1\n" % n for n in range(2000))).keys() == {
        f"k{n}" for n in range(result.MOST_PARTS)}
    assert result.from_output(b"::result::\n=1\n1a=1\n\xff=1\na b=1\nval/loss.x-y_z=1\n") == {"val/loss.x-y_z": 1}
    assert result.from_output(b"::result::\na=1_0\nb=0x10\nc=\nd=--1\ne=.5\nf=" + b"9" * 50) == {
        "a": "1_0", "b": "0x10", "c": "", "d": "--1", "e": 0.5, "f": "9" * 50}


def test_a_marker_that_is_further_away_than_64_kib_is_not_found(link: Link) -> None:
    assert link.run("1.1", script="echo ::result::; echo a=1; head -c 60000 /dev/zero")["result"] == {"a": 1}
    assert "result" not in link.run("2.1", script="echo ::result::; echo a=1; head -c 66000 /dev/zero")


def test_the_largest_that_is_read_passes_on_our_side(far: FarHost, link: Link) -> None:
    letters = "\N{WATER WAVE}" * 15_000
    end = link.run("1.1", "python3", "-c", "import json, os; open('result.json', 'w', encoding='utf-8').write("
                   "json.dumps({'a': os.environ['A'] * 750, 'b': [[] for _ in range(450)]}, ensure_ascii=False))",
                   env={"A": letters[:20]})
    kept = parse_header(link.last)["result"]
    assert kept == end["result"] == {"a": letters, "b": [[]] * 450}


@pytest.mark.parametrize("which", ["runner", "agent", "both"])
def test_it_outlives_those_who_watch(far: FarHost, tmp_path: Path, which: str) -> None:
    link, go = far.connect(), tmp_path / "go"
    link.launch("1.1", script=f"echo '{{\"n\": 7}}' > result.json; echo ready; until test -e {go}; do sleep 0.01; done")
    link.until("out")
    runner = far.runners()[0]
    doomed = {"runner": [runner], "agent": [far.agent], "both": [far.agent]}[which]
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    if which == "both":
        # It ends by itself meanwhile, and its runner writes that down.
        go.touch()
        eventually(lambda: not Path(f"/proc/{runner}").exists(), "the end of the runner")
    if which != "runner":
        link = far.again(link, "1.1")
    go.touch()
    end = link.end_of("1.1")
    assert (end["why"], end["status"], end["result"]) == ("exited", 0, {"n": 7})


def test_for_want_of_descriptors_it_is_read_a_little_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Somewhere:
        stream = staticmethod(lambda uid, number: str(tmp_path / "out"))
        cwd = staticmethod(lambda uid: str(tmp_path))

    (tmp_path / "result.json").write_text('{"n": 1}')
    slept: list[float] = []
    opened: Callable[..., int] = system.open

    def short(*args: Any, **keys: Any) -> int:
        if len(slept) < 3:
            raise OSError(24, "Too many open files")
        return opened(*args, **keys)

    monkeypatch.setattr(system, "open", short)
    monkeypatch.setattr(system, "sleep", slept.append)
    places: Any = Somewhere
    assert result.take(places, "1.1", tries=1) == ({}, "result.json cannot be read: Too many open files")
    assert result.take(places, "1.1") == ({"n": 1}, None)
    assert len(slept) == 3
