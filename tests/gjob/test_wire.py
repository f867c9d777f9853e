"""What a manager may say to an agent: every value of every frame at the ends of its range, and a frame cut anywhere."""

from __future__ import annotations

from typing import Any

import pytest

from sshjobs.gjob import values, wire

SHA, RUN, LONG = "0123456789abcdef" * 4, "0123456789abcdef" * 2, "x" * 4096
SPEC: dict[str, Any] = {"argv": ["true"], "files": [["a/b", SHA, 0o644]]}
#: A frame of each type that may come.
GOOD: dict[str, dict[str, Any]] = {
    "hello": {"v": 1, "run": RUN, "name": "r", "host": "h", "epoch": 1, "slots": 2, "root": None},
    "sync": {"a": [["1.1", 0, 0]], "last": True},
    "launch": {"id": "1.1", "token": "t" * 16, "job": "j", "index": 1, "spec": SPEC},
    "want": {"blobs": [[SHA, 1]]},
    "put": {"sha": SHA, "size": 1, "crc": 0, "off": 0, "n": 0},
    "fence": {"id": "1.1"},
    "cancel": {"id": "1.1", "grace": 1.5},
    "pause": {"id": "1.1"},
    "unpause": {"id": "1.1"},
    "release": {"ids": ["1.1"]},
    "pull": {"id": "1.1", "seq": 1, "cwd": None, "patterns": ["a/*.txt", "b/"], "after": ""},
    "get": {"id": "1.1", "files": [[0, 0]], "more": True},
    "drop": {"id": "1.1"},
    "slots": {"slots": 3},
    "gpus": {},
    "share": {"figures": {"memory": 1 << 30, "scratch": 1 << 40, "count.license": 2}, "share": 0.5},
    "manners": {"load": 1.5, "free": 1 << 30, "only": [1200, 480], "at_end": "stop", "left": 60.0},
    "ping": {"seq": 7},
    "lease": {"at": 12.5},
    "bye": {},
}
#: What a scheduler is told, and how.
PLAN: dict[str, Any] = {"kind": "slurm", "submit": ["sbatch", "{script}"], "ask": ["squeue"], "end": ["scancel", "{jobs}"], "size": 1000,
                        "limit": 60.0, "python": None}
#: By frame and key: what passes and what does not.
VALUES: list[tuple[str, str, list[Any], list[Any]]] = [
    ("hello", "v", [-1, 0, 2**70], [1.0, "1", None, True]),
    ("hello", "run", [RUN, "f" * 32], ["f" * 31, "f" * 33, "F" * 32, "g" * 32, None, " " * 32, "a" * 31 + "\n"]),
    ("hello", "name", ["", "x" * 1000], ["x" * 1001, "a\0", None, 1]),
    ("hello", "epoch", [0, 2**70], [-1, 1.0, True, None]),
    ("hello", "slots", [None, 1, 100_000], [0, -1, 100_001, 1.0, True, "1"]),
    ("hello", "batch", [PLAN, {**PLAN, "kind": "own", "limit": None, "python": "/opt/python3", "size": 1},
                        {**PLAN, "size": 100_000, "python": "x" * 1000, "ask": ["x" * 10_000] * 100}, {**PLAN, "python": "x"}],
     [None, {}, [], {**PLAN, "more": 1}, {**PLAN, "kind": "pbs"}, {**PLAN, "submit": []}, {**PLAN, "ask": "squeue"}, {**PLAN, "end": [1]},
      {**PLAN, "end": ["a\0"]}, {**PLAN, "size": 0}, {**PLAN, "size": True}, {**PLAN, "limit": -1}, {**PLAN, "python": ""},
      {**PLAN, "size": 100_001}, {**PLAN, "python": "x" * 1001}, {**PLAN, "ask": ["x"] * 101}, {**PLAN, "ask": ["x" * 10_001]}]),
    ("hello", "root", [None, "/", "/x", "/" + "x" * 4095], ["", "x", "/" + LONG, "/a\0b", 1]),
    ("sync", "a", [[], [["1.1", 0, 2**70]], [["1.1", 0, 0]] * 1000],
     [None, {}, [["1.1", 0, 0]] * 1001, [["1.1", 0]], [["1.1", 0, 0, 0]], [["0.1", 0, 0]], [["1.1", -1, 0]],
      [["1.1", 0, -1]], [["1.1", 0.0, 0]], ["1.1"], [{}]]),
    ("sync", "last", [True, False], [0, 1, None, "true"]),
    ("launch", "id", ["1.1", "9" * 15 + "." + "9" * 16], ["1", "1.", ".1", "0.1", "1.0", "01.1", "1.1.1", " 1.1", "1.1\n", 1.1,
                                                         None, "9" * 16 + "." + "9" * 16]),
    ("launch", "token", ["a" * 8, "Z9" * 32], ["a" * 7, "a" * 65, "a" * 8 + "-", "a\0aaaaaaa", None, 12345678]),
    ("launch", "index", [0, -1, 7], [1.0, "1", None, True]),
    ("want", "blobs", [[], [[SHA, 0]], [[SHA, 1]] * 1000], [None, [[SHA, 1]] * 1001, [[SHA]], [[SHA, 1, 1]], [[SHA, -1]],
                                                             [["0" * 63, 1]], [["0" * 65, 1]], [SHA]]),
    ("put", "sha", [SHA], ["0" * 63, "0" * 65, "G" * 64, None]),
    ("put", "n", [0, 1, 2**20], [-1, 2**20 + 1, 1.0, True, None, "1"]),
    ("put", "off", [0, 2**70], [-1, 0.0, None, True]),
    ("fence", "token", ["a" * 8], ["a" * 7, None]),
    ("cancel", "grace", [0, 0.0, 999_999_999_999], [-1, -0.1, 10**12, 1e12, float("nan"), float("inf"), "1", None, True]),
    ("release", "ids", [[], ["1.1", "2.1"]], [None, "1.1", {"1.1": 1}, ["1"], [None]]),
    ("pull", "seq", [0, 2**53], [-1, None, 1.0]),
    ("pull", "cwd", [None, "a", "/", "~/x"], ["", LONG + "x", "a\0", 1]),
    ("pull", "patterns", [["**"], ["a/b/"], ["[x]?"] * 100, [LONG]],
     [[], None, "a", ["/a"], ["../a"], ["a/../b"], ["a//b"], ["./a"], [""], ["/"], ["a\0"], [1], ["a"] * 101, [LONG + "x"]]),
    ("pull", "after", ["", "a", "a/b"], ["/a", "..", "a/", None, 1, LONG + "x"]),
    ("pull", "keep", [True, False], [1, None, "yes"]),
    ("get", "files", [[], [[0, 2**70]], [[1, 0]] * 1000], [None, [[1, 0]] * 1001, [[1]], [[-1, 0]], [[0, -1]], [[0, 0.0]], [1]]),
    ("get", "more", [True, False], [0, None]),
    ("slots", "slots", [None, 1], [0, 1.5]),
    ("lease", "at", [0, 0.5], [-0.5, None]),
    ("manners", "load", [None, 0.1, 64], [0, -1, "1", True, float("nan")]),
    ("manners", "free", [None, 0, 1 << 40], [-1, 1.5, "1G", True]),
    ("manners", "only", [None, [0, 1439], [1439, 0]], [[0, 0], [0, 1440], [-1, 5], [1], [1, 2, 3], "8-20", [1.0, 2]]),
    ("manners", "at_end", ["finish", "stop", "pause"], [None, "", "maybe", 1]),
    ("manners", "left", [None, 0, 0.5], [-1, float("inf"), "1"]),
]
def passes(name: str, /, **keys: Any) -> bool:
    frame = {"t": name, **GOOD[name], **keys}
    try:
        wire.check(frame)
    except wire.WireError as error:
        assert name in str(error) or "frame type" in str(error)
        return False
    return True


def test_a_good_frame_of_each_type_passes_and_with_a_key_more_or_less_it_does_not() -> None:
    assert GOOD.keys() == wire._KEYS.keys()
    for name, keys in GOOD.items():
        assert passes(name)
        with pytest.raises(wire.WireError, match=f"{name}: unknown key 'zz'"):
            wire.check({"t": name, **keys, "zz": 1})
        for key in keys:
            with pytest.raises(wire.WireError, match=f"{name}: no {key}"):
                wire.check({"t": name, **{other: value for other, value in keys.items() if other != key}})


def test_the_key_that_a_fence_may_have_is_known() -> None:
    with pytest.raises(wire.WireError, match="fence: unknown key 'zz'"):
        wire.check({"t": "fence", "id": "1.1", "token": "a" * 8, "zz": 1})
    wire.check({"t": "fence", "id": "1.1", "token": "a" * 8})


@pytest.mark.parametrize("kind", [None, 1, ["hello"], "", "zz", "welcome", True])
def test_no_other_type_passes(kind: object) -> None:
    with pytest.raises(wire.WireError, match="unknown frame type"):
        wire.check({"t": kind})


@pytest.mark.parametrize(("name", "key", "right", "wrong"), VALUES, ids=[f"{one[0]}-{one[1]}" for one in VALUES])
def test_a_value_passes_up_to_the_ends_of_its_range(name: str, key: str, right: list[Any], wrong: list[Any]) -> None:
    assert [value for value in right if not passes(name, **{key: value})] == []
    assert [value for value in wrong if passes(name, **{key: value})] == []


def test_a_launch_has_either_a_script_or_words() -> None:
    assert passes("launch", spec={"script": ""}) and passes("launch", spec={"argv": ["x"]})
    wrong: list[Any] = [{}, {"script": "x", "argv": ["x"]}, [], None, {"script": None}, {"script": "a\0"}, {"argv": ["x"], "zz": 1}]
    assert not any(passes("launch", spec=spec) for spec in wrong)


def test_a_frame_means_the_same_however_it_is_cut() -> None:
    frames = [({"t": "ping", "seq": 1}, b""), ({"t": "put", **GOOD["put"], "n": 5}, b"a\nb\0c"),
              ({"t": "put", **GOOD["put"]}, b""), ({"t": "put", **GOOD["put"], "n": 3}, b"\n{}"), ({"t": "bye"}, b"")]
    stream = b"".join(wire.encode(frame, body) for frame, body in frames)
    for size in (1, 2, 3, 7, 100, len(stream)):
        decoder, got = wire.Decoder(), []
        for at in range(0, len(stream), size):
            got += [(frame, bytes(body)) for frame, _, body in decoder.feed(stream[at:at + size])]
        assert got == frames and decoder.space() is None


def test_a_body_is_read_straight_into_its_room() -> None:
    decoder = wire.Decoder()
    assert list(decoder.feed(wire.encode({"t": "put", **GOOD["put"], "n": 6}, b"ab"))) == []
    space = decoder.space()
    assert space is not None and len(space) == 4
    space[:3] = b"cde"
    assert list(decoder.filled(3)) == []
    space = decoder.space()
    assert space is not None and len(space) == 1
    space[:1] = b"f"
    ((frame, line, body),) = decoder.filled(1)
    assert (frame["n"], bytes(body), line[-1:]) == (6, b"abcdef", b"\n")
    assert decoder.space() is None and [one[0] for one in decoder.feed(wire.encode({"t": "bye"}))] == [{"t": "bye"}]


def test_the_largest_line_and_body_pass_and_no_larger_ones() -> None:
    def line(size: int) -> bytes:
        text = wire.encode({"t": "hello", **GOOD["hello"]})
        return text[:-2] + b" " * (size - len(text)) + text[-2:]

    assert len(list(wire.Decoder().feed(line(2**20)))) == 1
    for long in (line(2**20 + 1), line(2**20 + 9)[:-2]):
        with pytest.raises(wire.WireError, match="a line longer than 1048576 bytes"):
            list(wire.Decoder().feed(long))
    body = bytes(2**20)
    (one,) = wire.Decoder().feed(wire.encode({"t": "put", **GOOD["put"], "n": 2**20}, body))
    assert one[2] == body


@pytest.mark.parametrize("text", [b"", b"[]", b"1", b"{", b'{"t":NaN}', b'{"t":Infinity}', b'{"t":"\xff"}', b'{} {}', b"{}x",
                                  b'{"t":' + b"9" * 20 + b"}", b"[" * 100_000])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.parse(text)


def test_numbers_have_up_to_19_digits() -> None:
    assert wire.parse(b' {"a": ' + b"9" * 19 + b"}\r\n") == {"a": 10**19 - 1}
    assert wire.parse(b'{"a":-' + b"9" * 18 + b"}") == {"a": 1 - 10**18}


def test_a_listing_is_checked_like_the_files_of_a_launch() -> None:
    assert wire.parse_listing(b'{"files":[["a",null,420]]}') == [["a", None, 420]]
    for text in (b"{}", b'{"files":[["..",null,420]]}', b'{"files":null}'):
        with pytest.raises(wire.WireError, match="a bad list of files"):
            wire.parse_listing(text)


def test_text_stands_for_bytes() -> None:
    assert values.to_bytes("é\udcff") == b"\xc3\xa9\xff"
    with pytest.raises(UnicodeEncodeError):
        values.to_bytes("\ud800")
