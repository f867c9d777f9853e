"""Frames that no manager of ours sends: answered by an error and a hang-up, and nothing else suffers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sshjobs.gjob import wire
from sshjobs.gjob.agent.attempts import UidSet
from sshjobs.gjob.journal import Journal, Reader
from sshjobs.gjob.trees import remove_tree
from tests.gjob.client import FarHost, encode

LAUNCH: dict[str, Any] = {"id": "1.1", "token": "t" * 16, "job": "j", "index": 1}
HELLO: dict[str, Any] = {"v": 1, "run": "0" * 32, "name": "r", "host": "h", "epoch": 1, "slots": None, "root": None}
SHA = "0" * 64


def launch(**spec: Any) -> bytes:
    return encode("launch", **LAUNCH, spec={"argv": ["true"], **spec})


BAD: dict[str, bytes] = {
    "no json": b"hello there\n",
    "half a line of json": b'{"t": "ping"\n',
    "not an object": b"[1]\n",
    "not ascii": '{"t":"ping","seq":"é"}\n'.encode(),
    "a NUL": b"\0\n",
    "no type": b"{}\n",
    "type is no text": b'{"t":[]}\n',
    "unknown type": encode("launhc"),
    "an agent's frame": encode("pong", seq=1),
    "second hello": encode("hello", **HELLO),
    "missing key": encode("ping"),
    "unknown key": encode("ping", seq=1, more=1),
    "n where no body is": encode("ping", b"x", seq=1, n=1),
    "bool for a number": encode("ping", seq=True),
    "NaN": b'{"t":"cancel","id":"1.1","grace":NaN}\n',
    "infinity": b'{"t":"cancel","id":"1.1","grace":1e999}\n',
    "a huge number": b'{"t":"ping","seq":%s}\n' % (b"9" * 500000),
    "deep nesting": b'{"t":"sync","a":' + b"[" * 300000 + b"]" * 300000 + b',"last":true}\n',
    "an endless line": b"x" * (1 << 20) + b"x",
    "an endless frame": encode("ping", seq=1, more="x" * (1 << 20)),
    "id upwards": encode("fence", id="../1.1"),
    "id of zero": encode("fence", id="0.1"),
    "id with leading zero": encode("fence", id="1.01"),
    "id without attempt": encode("fence", id="1"),
    "id in other digits": encode("fence", id="\u0661.1"),
    "id with newline": encode("fence", id="1.1\n"),
    "id that is long": encode("fence", id="1" * 40 + ".1"),
    "a sync too long": encode("sync", a=[["1.1", 0, 0]] * 1001, last=True),
    "a sync of negative size": encode("sync", a=[["1.1", -1, 0]], last=True),
    "slots of none": encode("slots", slots=0),
    "grace below zero": encode("cancel", id="1.1", grace=-1),
    "put of a name": encode("put", b"", sha="../../x".ljust(64, "x"), size=0, crc=0, off=0, n=0),
    "put with a hole": encode("put", b"x", sha=SHA, size=9, crc=0, off=5, n=1),
    "put of too much": encode("put", b"xx", sha=SHA, size=1, crc=0, off=0, n=2),
    "put of other bytes": encode("put", b"x", sha=SHA, size=1, crc=0, off=0, n=1),
    "put of a huge piece": encode("put", b"", sha=SHA, size=1 << 40, crc=0, off=0, n=(1 << 20) + 1),
    "put below zero": encode("put", b"", sha=SHA, size=1, crc=0, off=0, n=-1),
    "token with a space": encode("launch", **{**LAUNCH, "token": "a b c d e f g h"}, spec={"argv": ["true"]}),
    "neither argv nor script": encode("launch", **LAUNCH, spec={}),
    "argv and script": launch(script="true"),
    "no words": launch(argv=[]),
    "an empty program": launch(argv=[""]),
    "NUL in a word": launch(argv=["true", "a\0b"]),
    "a word that is none": launch(argv=["true", 1]),
    "NUL in a script": encode("launch", **LAUNCH, spec={"script": "a\0b"}),
    "env without name": launch(env={"": "x"}),
    "env with =": launch(env={"A=B": "x"}),
    "NUL in env": launch(env={"A": "x\0"}),
    "env that is a list": launch(env=[]),
    "unknown leftovers": launch(leftovers="burn"),
    "unknown output": launch(output="tube"),
    "unknown key of a spec": launch(shell=True),
    "timeout below zero": launch(timeout=-1),
    "nice of a hundred": launch(nice=100),
    "file upwards": launch(files=[["../x", SHA, 0o600]]),
    "file upwards within": launch(files=[["a/../../x", SHA, 0o600]]),
    "file at the root": launch(files=[["/etc/x", SHA, 0o600]]),
    "file without name": launch(files=[["", SHA, 0o600]]),
    "file that is a dot": launch(files=[[".", SHA, 0o600]]),
    "file with NUL": launch(files=[["a\0b", SHA, 0o600]]),
    "file with a long name": launch(files=[["x" * 5000, SHA, 0o600]]),
    "file of another place": launch(files=[["x", "/etc/passwd", 0o600]]),
    "file with a mode too many": launch(files=[["x", SHA, 0o600, 1]]),
    "file with an odd mode": launch(files=[["x", SHA, -3]]),
    "link that is a digest of nothing": launch(files=[["x", None, -1]]),
    "link that leads out": launch(files=[["a/x", "../../y", -1]]),
    "link that leads away": launch(files=[["x", "/etc/passwd", -1]]),
    "stdin of another place": launch(stdin="/etc/passwd"),
}


#: Of each kind one, and those that are not the decoder's to find.
LIVE = ("no json", "a NUL", "unknown type", "second hello", "a huge number", "deep nesting", "an endless line",
        "id upwards", "put with a hole", "put of other bytes", "put of too much", "file upwards",
        "unknown key of a spec")


@pytest.mark.parametrize("name", sorted(set(BAD) - {"second hello", "put with a hole", "put of other bytes",
                                                    "put of too much"}))
def test_a_bad_frame_is_refused_in_few_words(name: str) -> None:
    with pytest.raises(wire.WireError) as caught:
        list(wire.Decoder().feed(BAD[name]))
    assert 0 < len(str(caught.value)) < 300


def test_bad_frames_cost_the_link_and_nothing_else(far: FarHost) -> None:
    link = far.connect()
    agent = far.agent
    link.launch("9.1", "sleep", "1000")
    link.until("started", id="9.1")
    for name in LIVE:
        link = far.connect(sync=[["9.1", 0, 0]])
        link.until("started", id="9.1")
        link.write(BAD[name])
        frame = link.next()
        assert frame["t"] == "error" and frame["msg"], name
        assert link.hung_up(), name
        assert len(json.dumps(frame)) < 1000, name
    link = far.connect(sync=[["9.1", 0, 0], ["1.1", 0, 0]])
    assert far.agent == agent
    link.until("state", id="1.1", s="absent")
    assert sorted(path.name for path in (far.directory / "w").iterdir()) == ["9.1"]
    assert list((far.directory / "b").iterdir()) == []


def test_good_frames_before_a_bad_one_still_count(far: FarHost) -> None:
    link = far.connect()
    link.write(encode("ping", seq=1) + encode("ping", seq=2) + b"nonsense\n" + encode("ping", seq=3))
    assert [link.next()["t"] for _ in range(3)] == ["pong", "pong", "error"]
    assert link.hung_up()


@pytest.mark.parametrize("line", [b"nonsense\n", encode("ping", seq=1), encode("hello", **{**HELLO, "v": 2}),
                                  encode("hello", **{**HELLO, "run": "../../../../tmp/x"}),
                                  encode("hello", **{**HELLO, "root": "relative"}),
                                  encode("hello", **{**HELLO, "slots": -1})])
def test_a_bad_hello_is_answered_by_the_front(far: FarHost, line: bytes) -> None:
    link = far.open()
    link.write(line)
    assert link.next()["t"] == "error"
    assert link.hung_up()
    assert not (far.home / ".sshjobs").exists()


def test_releasing_what_runs_is_an_error(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", "sleep", "1000")
    link.until("started", id="1.1")
    link.say("release", ids=["1.1"])
    assert link.next() == {"t": "error", "msg": "release: 1.1 has not ended"}


VALUES: list[Any] = [{}, [], ["x" * 5000],
                     {"a": [1, -2, 3.5, 1e300, None, True, False, "é\n\"\\\u2028\udc80", {"b": {}}]}]


@pytest.mark.parametrize("c_parts", [True, False], ids=["C", "json"])
def test_json_is_the_same_with_and_without_the_c_parts(monkeypatch: pytest.MonkeyPatch, c_parts: bool) -> None:
    from sshjobs.gjob import light

    if not c_parts:
        monkeypatch.setitem(sys.modules, "_json", None)
    loads, dumps = light.make_loads(int, float), light.make_dumps()
    for value in VALUES:
        assert dumps(value) == json.dumps(value, separators=(",", ":"))
        assert loads(json.dumps(value)) == loads(" \t" + dumps(value) + "\r\n") == value
    for text in ("", "{", "[1,]", "{'a':1}", "[] []", "nul", "\x00", '{"a":1}x', '"\n"', "[" * 100000):
        with pytest.raises((ValueError, RecursionError)):
            loads(text)


def test_frames_may_be_cut_anywhere() -> None:
    frames = [encode("ping", seq=5), encode("put", b"\n{}\n", sha=SHA, size=4, crc=0, off=0, n=4),
              launch(env={"A": "é\udc80"}), encode("put", b"", sha=SHA, size=0, crc=0, off=0, n=0), encode("bye")]
    stream = b"".join(frames)
    whole = list(wire.Decoder().feed(stream))
    assert [frame["t"] for frame, _, _ in whole] == ["ping", "put", "launch", "put", "bye"]
    for cut in range(len(stream) + 1):
        decoder = wire.Decoder()
        assert list(decoder.feed(stream[:cut])) + list(decoder.feed(stream[cut:])) == whole
    decoder = wire.Decoder()
    assert [item for index in range(len(stream)) for item in decoder.feed(stream[index:index + 1])] == whole


def test_a_journal_on_a_full_disk_keeps_its_records_until_there_is_room(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    journal = Journal(full)
    assert journal.append(b'{"k":"a"}') is False
    assert journal.retry() is False
    path = tmp_path / "1.log"
    os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), full)
    assert journal.append(b'{"k":"b"}') is True
    assert [item["k"] for item in Reader(str(path)).read()] == ["a", "b"]


def test_a_record_torn_by_a_full_disk_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.log"
    journal = Journal(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND))
    write = os.write
    for room in range(60):
        path.write_bytes(b"")
        monkeypatch.setattr(os, "write", lambda fd, data, room=room: write(fd, data[:room]))
        journal.append(b'{"k":"a"}')
        journal.append(b'{"k":"b"}')
        monkeypatch.setattr(os, "write", write)
        assert journal.append(b'{"k":"c"}') is True
        kinds = [item["k"] for item in Reader(str(path)).read()]
        assert "".join(kinds) in ("abc", "aabc", "abbc")


def test_a_set_of_uids_holds_what_was_put_in_and_nothing_else() -> None:
    uids = UidSet()
    inside = {f"{job}.{attempt}" for job in (1, 5, 1023, 1024, 999999, 10**15) for attempt in (1, 2, 70)}
    for uid in inside:
        uids.add(uid)
    assert all(uid in uids for uid in inside)
    assert not any(uid in uids for uid in ("2.1", "1.3", "1025.1", "1022.2", "10.15"))


def test_deleting_a_tree_follows_no_link_and_minds_no_mode(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    precious.chmod(0o555)
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch()
    (tree / "a" / "link").symlink_to(precious)
    (tree / "a" / "dangling").symlink_to("/no/such")
    os.mkfifo(tree / "fifo")
    for path in (tree / "a" / "b", tree / "a", tree):
        path.chmod(0)
    assert remove_tree(str(tree)) == 0
    assert not tree.exists()
    assert (precious / "file").read_text() == "x" and precious.stat().st_mode & 0o777 == 0o555
    (tmp_path / "link").symlink_to(precious)
    assert remove_tree(str(tmp_path / "link")) == 0
    assert (precious / "file").exists()
    assert remove_tree(str(tmp_path / "never there")) == 0
