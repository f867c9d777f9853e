"""The ends of the range of every field that a host may send: the last value that passes, and the first that does not."""

from __future__ import annotations

import json
from math import inf, nextafter
from typing import Any

import pytest

from sshjobs.errors import ProtocolError
from sshjobs.network.protocol import frames
from sshjobs.network.protocol.fields import Bad, Flag, Pair, Real, Record, Text, Whole, is_heavy
from tests.network.test_frames import GOOD, fields_with

TIME, SIZE, MEMORY, COUNT, PID = (0, 2**63 / 1e9), (0, 2**63 - 1), (0, 2**60), (0, 2**53), (1, 2**31 - 1)
#: Lowest and highest of each number, written down once more.
ENDS: dict[tuple[str, str], tuple[float, float]] = {
    ("welcome", "v"): (0, 1000), ("welcome", "pid"): PID, ("welcome", "pidns"): SIZE, ("welcome", "cores"): (1, 8192),
    ("welcome", "memory"): MEMORY, ("welcome", "clock"): TIME, ("welcome", "disk"): SIZE, ("stale", "epoch"): COUNT,
    ("started", "pid"): PID, ("started", "at"): TIME, ("out", "s"): (1, 2), ("out", "off"): SIZE,
    ("out", "n"): (0, 2**20), ("out", "crc"): (0, 2**32 - 1), ("ended", "status"): (0, 255), ("ended", "signal"): (1, 64),
    ("ended", "started"): TIME, ("ended", "ended"): TIME, ("ended", "out"): SIZE, ("ended", "err"): SIZE,
    ("ended", "cpu"): (0, 10**10), ("ended", "rss"): (0, 2**50), ("stuck", "pids"): PID, ("found", "seq"): COUNT, ("found", "sizes"): SIZE,
    ("found", "times"): (-(2**63), 2**63 - 1), ("part", "i"): (0, 999), ("part", "off"): SIZE, ("part", "n"): (0, 2**20),
    ("whole", "i"): (0, 999), ("pong", "seq"): (-1, 2**53),
    ("lease", "at"): (0, 10**12), ("pulse", "load"): (0, 10**6), ("pulse", "memory"): MEMORY, ("pulse", "disk"): SIZE,
    ("pulse", "gpus"): (0, 100), ("pulse", "gpu_memory"): MEMORY, ("pulse", "cpu"): (0, 10**10), ("pulse", "rss"): (0, 2**50),
    ("shared", "slots"): COUNT, ("shared", "stalled"): COUNT, ("manner", "seconds"): (0, 10**12), ("manner", "value"): MEMORY,
    ("clearing", "pieces"): COUNT, ("gone", "processes"): COUNT, ("gone", "files"): COUNT,
    ("gone", "kept"): COUNT,
}
#: How many characters of each text are kept.
LENGTHS = {("welcome", key): 255 for key in ("boot", "machine", "hostname", "python", "gpus")} | {
    ("welcome", "root"): 4096, ("welcome", "home"): 4096, ("refused", "why"): 1000, ("refused", "hint"): 1000,
    ("found", "odd"): 4096, ("gpus", "trouble"): 1000, ("welcome", "gpu_tool"): 255,
    ("ended", "msg"): 1000, ("ended", "bad_result"): 1000, ("warn", "msg"): 1000, ("error", "msg"): 1000}
#: How many values each list may have.
MOST = {("welcome", "gpus"): 1000, ("lack", "shas"): 1000, ("pulse", "gpus"): 1000, ("pulse", "gpu_memory"): 1000,
        **{("found", key): 1000 for key in ("paths", "sizes", "times", "programs", "odd", "why")},
        ("pulse", "ids"): 1000, ("pulse", "cpu"): 1000, ("pulse", "rss"): 1000, ("shared", "parts"): 100}


def said(name: str, key: str, value: Any) -> Any:
    """Return what becomes of a value in a frame.

    :raises ProtocolError: it may not be said
    """
    given = [value] if isinstance(GOOD[name][key], list) and not isinstance(value, list) else value
    return frames.parse_header(json.dumps({"t": name, **GOOD[name], key: given}).encode())[key]


def passes(name: str, key: str, value: Any) -> bool:
    try:
        said(name, key, value)
    except ProtocolError:
        return False
    return True


def test_the_tables_name_every_field() -> None:
    assert set(ENDS) == set(fields_with(Whole)) | set(fields_with(Real))
    assert set(LENGTHS) == set(fields_with(Text))


@pytest.mark.parametrize(("name", "key"), fields_with(Whole))
def test_a_whole_number_passes_up_to_its_ends(name: str, key: str) -> None:
    low, high = ENDS[name, key]
    assert [passes(name, key, value) for value in (low - 1, low, high, high + 1)] == [False, True, True, False]


@pytest.mark.parametrize(("name", "key"), fields_with(Real))
def test_a_number_passes_up_to_its_ends(name: str, key: str) -> None:
    low, high = ENDS[name, key]
    assert [passes(name, key, value) for value in (nextafter(low, -inf), low, int(high))] == [False, True, True]
    assert not passes(name, key, int(high) + 1)


@pytest.mark.parametrize(("name", "key"), LENGTHS)
def test_a_text_passes_whole_up_to_its_length_and_is_cut_beyond(name: str, key: str) -> None:
    length = LENGTHS[name, key]
    for text, shown in (("x" * length, "x" * length), ("x" * (length + 1), "x" * (length - 1) + "…"),
                        # What is spelt out is longer than what was sent.
                        ("x" * (length - 4) + "\x1b", "x" * (length - 4) + "\\x1b"),
                        ("x" * (length - 3) + "\x1b", "x" * (length - 3) + "\\x…")):
        told = said(name, key, text)
        assert (told[0] if isinstance(told, list) else told) == shown


@pytest.mark.parametrize(("name", "key"), MOST)
def test_a_list_has_at_most_so_many_values(name: str, key: str) -> None:
    value, most = GOOD[name][key][0], MOST[name, key]
    assert passes(name, key, [value] * most) and not passes(name, key, [value] * (most + 1))


@pytest.mark.parametrize(("name", "key", "right", "wrong"), [
    ("state", "id", ["1.1", "999999999.999999"], ["0.1", "1.0", "1000000000.1", "1.1000000", "01.1", "1", "1.1.1", " 1.1"]),
    ("refused", "kind", ["no", "x" * 31, "disk-full"], ["x", "x" * 32, "-x", "Disk", "disk_full"]),
    ("lack", "shas", ["0" * 64, "f" * 64], ["0" * 63, "0" * 65, "g" * 64, "F" * 64]),
])
def test_a_word_matches_as_a_whole(name: str, key: str, right: list[str], wrong: list[str]) -> None:
    assert all(passes(name, key, word) for word in right)
    assert not any(passes(name, key, word) for word in wrong)


def test_what_comes_before_the_agent_may_be_16_mebibytes_long() -> None:
    assert frames.MAX_NOISE == 16 * 2**20


@pytest.mark.parametrize("value", [None, [], "x", 1, True, {"x": 1, "y": 2, "z": 3}, {"x": 1}, {"x": 1, "y": 2.0}])
def test_an_object_has_its_fields_and_no_other(value: object) -> None:
    record = Record({"x": Whole(0, 9), "y": Whole(0, 9)})
    assert record.take({"y": 2, "x": 1}) == {"x": 1, "y": 2}
    with pytest.raises(Bad):
        record.take(value)


def test_the_field_that_is_bad_is_named() -> None:
    with pytest.raises(Bad, match="inner"):
        Record({"outer": Record({"inner": Flag()})}).take({"outer": {"inner": 1}})


@pytest.mark.parametrize("value", [[1], [1, 2, 3], [2, 1], "12", None, {"0": 1}])
def test_a_pair_has_two_values_each_of_its_kind(value: object) -> None:
    pair = Pair(Whole(0, 1), Whole(2, 3))
    assert pair.take([1, 2]) == (1, 2)
    with pytest.raises(Bad):
        pair.take(value)


@pytest.mark.parametrize("part", [b"[", b"{"])
def test_only_a_long_text_of_many_parts_is_heavy(part: bytes) -> None:
    assert is_heavy(part * 1001 + b" " * (2**16 - 1000))
    assert not is_heavy(part * 1000 + b" " * 2**16), "no more than a thousand"
    assert not is_heavy(part * 1001 + b" " * (2**16 - 1001)), "not longer than 64 KiB"
    assert is_heavy(b"[{" * 6 + b" " * 2**16, parts=11) and not is_heavy(b"[{" * 6 + b" " * 2**16, parts=12)


def test_a_line_and_a_body_may_be_a_mebibyte_long() -> None:
    def line(size: int) -> bytes:
        text = b'{"t":"warn","msg":""}'
        return text[:-2] + b"x" * (size - len(text)) + text[-2:]

    assert list(frames.Decoder().feed(line(2**20) + b"\n"))
    for long in (line(2**20 + 1) + b"\n", line(2**20 + 1)):
        with pytest.raises(ProtocolError, match="1,048,57[67]"):
            list(frames.Decoder().feed(long))
