"""Files of the far side, each kind by itself: seals, results, journals, outputs on their way, what is discarded; to the last byte."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from sshjobs.gjob import journal, result, seals
from sshjobs.gjob.agent import outputs
from sshjobs.gjob.agent.outputs import Feed, Stream
from sshjobs.gjob.places import Places
from sshjobs.gjob.verbs import jobdir, sshoptions


def test_a_seal_is_the_same_for_every_version_of_ours() -> None:
    # Agents of several versions use one cache.
    assert [seals.seal(sha) for sha in ("0" * 64, "1" + "0" * 63, "0000001" + "f" * 57, "f" * 64)] == [1e8, 133554432.0, 100000002.0, 636870910.0]


def test_an_input_that_was_changed_is_deleted_and_one_that_was_touched_is_sealed_again(tmp_path: Path) -> None:
    data = b"x" * (seals._PIECE + 5)
    sha, path = hashlib.sha256(data).hexdigest(), tmp_path / "blob"
    path.write_bytes(data)
    os.close(seals.open_whole(str(path), sha))
    assert path.stat().st_mtime == seals.seal(sha)
    path.write_bytes(data[:-1] + b"y")
    with pytest.raises(FileNotFoundError):
        seals.open_whole(str(path), sha)
    assert not path.exists()


def line(text: str, crc: int | None = None) -> bytes:
    data = text.encode()
    return b"%08x %s" % (zlib.crc32(data) if crc is None else crc, data)


@pytest.mark.parametrize(("given", "there"), [
    (line('{"k":1}'), {"k": 1}), (line('{"k":1}', 5), None), (line('{"n":1}'), None), (line("[1]"), None), (line("{}"), None), (b"", None),
    (line('{"k":1}')[:-1], None), (line('{"k":1}').replace(b" ", b"-", 1), None), (b"0000000g {}", None), (line('{"k":"\xe9"}'), None), (line("7"), None)])
def test_a_line_of_a_journal_counts_where_it_is_whole(given: bytes, there: dict[str, Any] | None) -> None:
    assert journal.parse(given) == there


@pytest.mark.parametrize(("text", "value"), [
    ("1", 1), ("+1", 1), ("-7", -7), ("1.5", 1.5), ("-1e3", -1000.0), (".5", 0.5), ("true", True), ("False", False), ("TRUE", "TRUE"), ("nan", None),
    ("Infinity", None), ("1e999", None), ("", ""), ("+", "+"), ("1.2.3", "1.2.3"), ("12 km", "12 km"), ("0x10", "0x10"), ("1_000", "1_000"),
    ("9" * 15, int("9" * 15)), ("9" * 30, 1e30), ("--1", "--1"), ("e5", "e5")])
def test_a_value_behind_the_marker_is_what_json_would_make_of_it(text: str, value: object) -> None:
    found = result.from_output(f"noise\n::result::\nkey = {text}\n2nd=x\nno value\n".encode())
    assert found == {"key": value} and type(found["key"]) is type(value)


def test_a_result_has_no_more_than_it_may_have() -> None:
    most = result.MOST_VALUES - 2
    assert len(result.from_file(json.dumps({"a": [0] * most}).encode())["a"]) == most
    for broken, said in ((json.dumps({"a": [0] * (most + 1)}), "values"), (json.dumps({"a": [[]] * result.MOST_PARTS}), "lists and objects"),
                         (json.dumps({"n" * (result.LONGEST_NAME + 1): 1}), "characters"), ("[]", "not an object"), ("{", "not JSON")):
        with pytest.raises(ValueError, match=said):
            result.from_file(broken.encode())
    assert len(result.from_file(json.dumps({"a": [[]] * (result.MOST_PARTS - 2)}).encode())["a"]) == result.MOST_PARTS - 2
    deep: Any = 1
    for _ in range(result.DEEPEST - 1):
        deep = [deep]
    assert result.from_file(json.dumps({"a": deep}).encode()) == {"a": deep}
    with pytest.raises(ValueError, match="deep"):
        result.from_file(json.dumps({"a": [deep]}).encode())
    assert result.from_file(b"\xef\xbb\xbf" + b'{"x": NaN, "y": [Infinity, 1.5]}') == {"x": None, "y": [None, 1.5]}


# -- outputs on their way --------------------------------------------------------------------------------------------------


def said(stream: Stream, limit: int | None = None) -> tuple[int, bytes] | None:
    found = stream.piece(limit)
    if found is None:
        return None
    head = json.loads(found[0].partition(b"\n")[0])
    assert (head["t"], head["id"], head["n"], head["crc"]) == ("out", "1.1", len(found[1]), zlib.crc32(found[1]))
    return head["off"], found[1]


def test_an_output_comes_in_pieces_from_an_offset_on_up_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "PIECE", 4)
    path = tmp_path / "out"
    stream = Stream(str(path), "1.1", 1, 2, 0)
    assert said(stream) is None
    path.write_bytes(b"0123456789")
    assert [said(stream), said(stream, 9), said(stream, 9), said(stream), said(stream)] == [(2, b"2345"), (6, b"678"), None, (9, b"9"), None]
    assert stream.sent == 10 and stream.missing(12) == 2 and stream.missing(10) == 0
    # The job empties its own file: what comes then is behind what was sent.
    path.write_bytes(b"ab")
    assert said(stream) == (10, b"ab") and stream.emptied and stream.lost == 10 and stream.sent == 12
    path.chmod(0)
    stream.close()
    with path.open("ab") as file:
        file.write(b"c")
    assert said(stream) == (12, b"c")


def test_both_outputs_are_looked_at_later_and_later_while_nothing_comes(places: Places) -> None:
    feed = Feed(places, "1.1", (4, 0), (3, 0), 100.0)
    assert feed.next == 100.0 + outputs.SOON and not feed.ended and feed.lost == (3, 0)
    Path(places.stream("1.1", 1)).write_bytes(b"abc")
    Path(places.stream("1.1", 2)).write_bytes(b"xyz")
    assert [(json.loads(head)["s"], json.loads(head)["off"], body) for head, body in feed.pieces()] == [(1, 4, b"bc"), (2, 0, b"xyz")]
    feed.looked(200.0, True)
    assert feed.next == 200.0 + outputs.SOON
    intervals = []
    for _ in range(60):
        feed.looked(300.0, False)
        intervals.append(feed.next - 300.0)
    assert intervals == sorted(intervals) and intervals[0] > outputs.SOON and intervals[-1] == pytest.approx(outputs.LATE)
    feed.wait(400.0)
    assert feed.next == 400.0 + outputs.LATE
    feed.end((5, 3))
    assert feed.ended and feed.next == 0.0 and feed.missing == (2, 0)


def test_what_is_discarded_is_gone_with_its_outputs_and_nothing_else_is(places: Places) -> None:
    for uid in ("1.1", "2.1"):
        Path(places.cwd(uid), "deep").mkdir(parents=True)
        Path(places.rest(uid)).mkdir()
        for path in (places.stream(uid, 1), places.stream(uid, 2), places.script(uid), places.cwd(uid) + "/deep/f"):
            Path(path).write_text("x")
    assert (places.size("1.1", 1), places.size("3.1", 1)) == (1, 0)
    places.discard("1.1")
    assert sorted(os.listdir(places.work)) == ["2.1"] and sorted(os.listdir(places.outputs)) == ["2.1.err", "2.1.out", "2.1.rest", "2.1.sh"]
    places.discard_outputs("2.1")
    assert os.listdir(places.outputs) == [] and Path(places.cwd("2.1"), "deep", "f").exists()
    os.symlink("/etc/passwd", places.stream("4.1", 1))
    assert places.size("4.1", 1) == 0


# -- job directories and the user's ssh --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "highest"), [
    ([], 0), (["other", "2026-11-30x", "2026-11-29-7"], 0), (["2026-11-30"], 1), (["2026-11-30", "2026-11-30-2", "2026-11-30-10", "2026-11-30-9"], 10),
    (["2026-11-30-1234567890"], 0)])
def test_the_highest_number_of_a_day_is_found(names: list[str], highest: int, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    assert jobdir._highest(str(tmp_path), "2026-11-30") == highest


@pytest.mark.parametrize(("said_", "version"), [
    ("OpenSSH_9.2p1 Debian-2, OpenSSL 3.0", (9, 2)), ("OpenSSH_for_Windows_8.1p1, LibreSSL", (8, 1)), ("OpenSSH_10.0p2", (10, 0)), ("dropbear", (0,))])
def test_the_version_of_ssh_is_asked_once(said_: str, version: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "ssh").write_text(f"#!/bin/sh\necho x >> {asked}\necho '{said_}' >&2\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sshoptions, "_version", None)
    assert (sshoptions.version(), sshoptions.version()) == (version, version) and asked.read_text() == "x\n"
    newer = set(sshoptions.SINCE_8_7) <= set(sshoptions.safe_options())
    assert newer is (version >= (8, 7))
    assert not set(sshoptions.SINCE_8_7) & set(sshoptions.safe_options(silent=frozenset(map(str.lower, sshoptions.SINCE_8_7))))
    assert set(sshoptions.WITHOUT_TERMINAL) <= set(sshoptions.safe_options()) and not set(sshoptions.WITHOUT_TERMINAL) & set(sshoptions.safe_options(True))


def test_our_defaults_count_where_the_users_configuration_is_silent() -> None:
    silent = {option.lower(): [value, "more"] for option, (_, value) in sshoptions.DEFAULTS.items()}
    ours = {option: value for option, (value, _) in sshoptions.DEFAULTS.items()}
    assert sshoptions.defaults({}) == sshoptions.defaults(silent) == ours
    for option in sshoptions.DEFAULTS:
        assert sshoptions.defaults({**silent, option.lower(): ["said"]}) == {name: value for name, value in ours.items() if name != option}
    assert sshoptions.parse_settings("user me\nport 22\nidentityfile a\nidentityfile b c\nx\n") == {
        "user": ["me"], "port": ["22"], "identityfile": ["a", "b c"], "x": [""]}
