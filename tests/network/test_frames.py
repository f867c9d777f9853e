"""Every field of every frame that a host may send, at the ends of its range and beyond, and whatever JSON can be."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import tracemalloc
from typing import Any

import pytest

from sshjobs.errors import ProtocolError
from sshjobs.network.protocol import frames
from sshjobs.network.protocol.fields import Field, Flag, Match, Maybe, Real, Several, Text, Whole, Word

ID = "1.1"
#: A frame of each type as an agent says it.
GOOD: dict[str, dict[str, Any]] = {
    "welcome": {"v": 1, "pid": 7, "boot": "b", "pidns": 1, "machine": "m", "hostname": "h", "python": "3.6.15",
                "cores": 4, "memory": 1, "gpus": ["x"], "gpu_tool": "nvidia-smi", "clock": 1.5, "disk": 1, "root": "/r", "home": "/h",
                "resumed": False},
    "stale": {"epoch": 2},
    "refused": {"kind": "disk-full", "why": "w", "hint": "h"},
    "state": {"id": ID, "s": "running"},
    "started": {"id": ID, "pid": 12, "at": 1.5},
    "out": {"id": ID, "s": 1, "off": 0, "n": 0, "crc": 0},
    "ended": {"id": ID, "why": "exited", "status": 0, "signal": None, "started": 1.0, "ended": 2.0, "out": 0, "err": 0,
              "msg": None, "cpu": 0.1, "rss": 1000, "result": {"loss": 0.5}, "bad_result": None, "left_out": {"at": 5, "out": 7, "err": 0}},
    "found": {"id": ID, "seq": 1, "last": True, "paths": ["a/b"], "sizes": [1], "times": [-1], "programs": [False], "odd": ["c"],
              "why": ["link"]},
    "part": {"id": ID, "i": 0, "off": 0, "n": 0},
    "whole": {"id": ID, "i": 0, "sha": "0" * 64, "why": None},
    "stuck": {"id": ID, "pids": [12]},
    "warn": {"msg": "m"},
    "pong": {"seq": 1},
    "lack": {"shas": ["0" * 64]},
    "lease": {"at": 1.5},
    "shared": {"slots": 2, "who": [{"uid": 1000, "user": "anna", "run": "fit-1", "jobs": 1, "slots": 2, "memory": 0,
                                    "units": 0}], "stalled": 1, "parts": [{"what": "count.license", "has": 1, "stalled": 2}]},
    "pulse": {"load": 0.5, "memory": 1 << 30, "disk": 1 << 40, "gpus": [7, None], "gpu_memory": [1 << 20, None],
              "ids": [ID], "cpu": [1.5], "rss": [4096]},
    "gpus": {"units": [{"uuid": "MIG-GPU-1/7/0", "label": "0:1", "name": "MIG 1g.5gb", "memory": 1 << 30, "used": None, "whole": False,
                        "by": None, "trouble": None, "held": False}], "trouble": None},
    "manner": {"why": "load", "seconds": 3600.0, "value": 9.5},
    "clearing": {"pieces": 5},
    "gone": {"processes": 0, "files": 0, "kept": 1},
    "error": {"msg": "m"},
}
#: As JSON words: some are no JSON, and are said all the same.
NUMBERS = ["-1", "0", str(2**31), str(2**53), str(2**63), "1" + "0" * 400, "1" + "0" * 5000, "1e400", "NaN", "Infinity",
           "-Infinity", "1e999999999"]
TEXTS = ["", "x" * (1 << 20 >> 1), "\x1b]0;x\x07\x1b[2J\r\n\0\u202e\ud800"]


def fields_with(kind: type) -> list[tuple[str, str]]:
    """Return the frame and key of each field that is of a kind, or is a list of it, or may be null instead."""
    def is_one(field: Field) -> bool:
        return isinstance(field, kind) or (isinstance(field, Maybe | Several) and is_one(field.of))
    return [(name, key) for name, fields in frames.FRAMES.items() for key in fields if is_one(fields[key])]


def with_word(name: str, key: str, word: str) -> bytes:
    """Return a frame in which a value is replaced by a word."""
    value = "@here@" if not isinstance(GOOD[name][key], list) else ["@here@"]
    return json.dumps({"t": name, **GOOD[name], key: value}).replace('"@here@"', word).encode()


def test_a_good_frame_of_each_type_passes_as_it_is():
    assert GOOD.keys() == frames.FRAMES.keys()
    for name, keys in GOOD.items():
        assert keys.keys() == frames.FRAMES[name].keys()
        assert frames.parse_header(json.dumps({"t": name, **keys}).encode()) == {"t": name, **keys}


@pytest.mark.parametrize("word", NUMBERS, ids=lambda word: word[:12])
@pytest.mark.parametrize(("name", "key"), fields_with(Whole) + fields_with(Real))
def test_a_number_passes_only_where_it_can_be_counted_with_and_stored(name, key, word):
    try:
        value = frames.parse_header(with_word(name, key, word))[key]
    except ProtocolError as error:
        assert len(str(error)) < 300
        return
    value = value[0] if isinstance(value, list) else value
    assert math.isfinite(value) and json.loads(json.dumps(value)) == value
    # What KiB become in the store is bytes.
    assert sqlite3.connect(":memory:").execute("SELECT ?", (value * 1024 if key == "rss" else value,)).fetchone()
    assert key != "cores" or 1 <= value <= frames.MOST_CORES


@pytest.mark.parametrize(("name", "key"), fields_with(Whole) + fields_with(Real))
def test_no_number_is_unlimited(name, key):
    for word in ("1" + "0" * 400, "1e400", "NaN", "Infinity", "-Infinity", "true", '"1"', "[]", "{}"):
        with pytest.raises(ProtocolError):
            frames.parse_header(with_word(name, key, word))


@pytest.mark.parametrize("text", TEXTS, ids=["empty", "long", "escapes"])
@pytest.mark.parametrize(("name", "key"), fields_with(Text))
def test_a_text_is_cut_and_harmless_to_a_terminal(name, key, text):
    told = frames.parse_header(with_word(name, key, json.dumps(text)))[key]
    told = told[0] if isinstance(told, list) else told
    assert told.isprintable() and len(told) <= 4096
    told.encode("utf-8")


@pytest.mark.parametrize(("name", "key"), fields_with(Word) + fields_with(Match))
def test_a_word_is_one_of_those_that_there_are(name, key):
    for text in (*TEXTS, "x", "1.1\n", "0.1", "1" * 30 + ".1"):
        with pytest.raises(ProtocolError):
            frames.parse_header(with_word(name, key, json.dumps(text)))


@pytest.mark.parametrize("path", ["", "/a", "a/", "..", "a/../b", "./a", "a//b", "a\0", "x" * 4097, "\u00e9" * 2049, "\ud800", 1, None])
def test_a_path_stays_inside_its_directory(path):
    with pytest.raises(ProtocolError):
        frames.parse_header(json.dumps({"t": "found", **GOOD["found"], "paths": [path]}).encode())


@pytest.mark.parametrize("path", ["..a", "a\nb", "\x1b", "\udcff", "x" * 4096, "\u202e"])
def test_a_path_is_kept_as_it_is(path):
    assert frames.parse_header(json.dumps({"t": "found", **GOOD["found"], "paths": [path]}).encode())["paths"] == [path]


@pytest.mark.parametrize("name", GOOD)
def test_a_frame_has_just_its_keys(name):
    with pytest.raises(ProtocolError, match="key"):
        frames.parse_header(json.dumps({"t": name, **GOOD[name], "extra": 1}).encode())
    for key, field in frames.FRAMES[name].items():
        without = {"t": name, **GOOD[name]}
        del without[key]
        if isinstance(field, Maybe) and key != "status":
            assert frames.parse_header(json.dumps(without).encode())[key] is None
        else:
            with pytest.raises(ProtocolError):
                frames.parse_header(json.dumps(without).encode())


@pytest.mark.parametrize("word", [
    "[]", '"{}"', json.dumps({str(n): "x" * 1000 for n in range(140)}), "1", "true", '{"a":NaN}', '{"a":1e999}', '{"a":' + str(2**63) + "}", '{"' + "k" * 201 + '":1}',
    '{"a":' + "[" * 20 + "]" * 20 + "}", '{"a":[' + "1," * 20_000 + "1]}", '{"a":[' + "[]," * 1000 + "[]]}",
], ids=lambda word: word[:16])
def test_a_result_is_an_object_of_bounded_size_with_numbers_that_can_be_counted_with(word):
    with pytest.raises(ProtocolError):
        frames.parse_header(with_word("ended", "result", word))


def test_a_result_is_kept_as_it_is_but_for_halves_of_letters():
    word = r'{"a\ud800":"\u001b[2J \udc80 \ud83d\ude00","b":[null,true,-9223372036854775807,{"c":"x"}]}'
    assert frames.parse_header(with_word("ended", "result", word))["result"] == {
        "a\ufffd": "\x1b[2J \ufffd \U0001f600", "b": [None, True, -2**63 + 1, {"c": "x"}]}


@pytest.mark.parametrize(("name", "key"), fields_with(Flag))
def test_a_flag_is_true_or_false(name, key):
    for word in ("0", "1", "null", '"true"'):
        with pytest.raises(ProtocolError):
            frames.parse_header(with_word(name, key, word))


def test_of_two_equal_keys_the_last_counts_and_is_checked():
    assert frames.parse_header(b'{"t":"pong","seq":[],"seq":2}') == {"t": "pong", "seq": 2}
    with pytest.raises(ProtocolError):
        frames.parse_header(b'{"t":"pong","seq":2,"seq":NaN}')


@pytest.mark.parametrize("data", [
    b'{"t":"warn","msg":"\xff\xfe"}', '{"t":"warn","msg":"\u00e9"}'.encode(), b'{"t":"warn","msg":"\xc3\x28"}',
    b'{"t":"stuck","id":"1.1","pids":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"t":"warn","msg":' * 50_000, b'{"t":"pong","seq":' + b"9" * 1_000_000 + b"}",
    b'{"t":"pong","seq":1' + b" " * (1 << 20) + b"}", b"\0" * 1000, b"",
], ids=range(9))
def test_what_is_no_json_of_ours_is_refused(data):
    with pytest.raises(ProtocolError) as error:
        frames.parse_header(data)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize("part", [b"[],", b"{},", b"[1],", b'{"a":1},', b'"ab",', b"1.5,", b"999,", b'"\\u00e9x",'])
def test_what_a_line_becomes_takes_little_memory(part):
    line = b'{"t":"stuck","id":"1.1","pids":[' + part * ((frames.MAX_LINE - 100) // len(part)) + b"1]}"
    tracemalloc.start()
    try:
        with contextlib.suppress(ProtocolError):
            frames.parse_header(line)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 2, 3, 4095, 4096, 4097, 100_000])
def test_a_body_takes_little_more_memory_than_itself_however_it_comes(size):
    body = bytes(range(256)) * (frames.MAX_BODY // 256)
    decoder = frames.Decoder()
    assert list(decoder.feed(b'{"t":"out","id":"1.1","s":1,"off":0,"n":%d,"crc":0}\n' % len(body))) == []
    limit = len(body) if size > 3 else 200_000
    tracemalloc.start()
    try:
        got = [found for at in range(0, limit, size) for found in decoder.feed(body[at:min(at + size, limit)])]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    got += decoder.feed(body[limit:])
    assert [len(part) for _, part in got] == [len(body)] and bytes(got[0][1]) == body


def test_a_line_that_comes_byte_by_byte_is_given_up_at_its_limit():
    decoder = frames.Decoder()
    list(decoder.feed(b"x" * (frames.MAX_LINE - 10)))
    with pytest.raises(ProtocolError, match="more than"):
        for _ in range(20):
            list(decoder.feed(b"x"))
