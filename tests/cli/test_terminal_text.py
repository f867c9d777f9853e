"""Outputs as a terminal shows them: what is left of a terminal's language are colours, and nothing gets lost on the way."""

from __future__ import annotations

import os
import re
from random import Random

import pytest

from sshjobs.errors import hidden_in
from sshjobs.views.terminaltext import MAX_CELLS, TerminalText

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def shown(*pieces: bytes, colours: bool = True) -> str:
    """Return what is shown of an output that comes in pieces."""
    text = TerminalText(colours=colours)
    return "".join(text.feed(piece) for piece in pieces) + text.feed(b"", final=True)


@pytest.mark.parametrize(("data", "expected"), [
    (b"a\nb", "a\nb"), (b"a\r\nb\r\n", "a\nb\n"), (b"10%\r20%\r100%\n", "100%\n"), (b"long line\rshort\n", "shortline\n"),
    (b"long line\r\x1b[Kshort\n", "short\n"), (b"\r\x1b[2Kx\r", "x"), (b"abc\b\bX\n", "aXc\n"), (b"ab\x1b[1Dc\n", "ac\n"),
    (b"ab\x1b[1Gc\n", "cb\n"), (b"\b\b\bx", "x"), (b"100%\r\r\n", "100%\n"),
    # Colours, which end with their line and go on in the next one
    (b"\x1b[31mred\x1b[m.", "\x1b[31mred\x1b[0m."), (b"\x1b[1;38;5;8mx\n", "\x1b[1m\x1b[38;5;8mx\x1b[0m\n"),
    (b"\x1b[31ma\x1b[39mb", "\x1b[31ma\x1b[0mb"), (b"\x1b[8mhidden", "hidden"), (b"\x1b[38:2::1:2:3mx", "\x1b[38:2::1:2:3mx\x1b[0m"),
    (b"\x1b[38;2;1;2;3;4mx", "\x1b[38;2;1;2;3m\x1b[4mx\x1b[0m"), (b"\x1b[>4;2mx", "x"), (b"\x1b[38mx\n", "\x1b[38mx\x1b[0m\n"),
    # The rest of a terminal's language
    (b"\x1b[2J\x1b[Ha", "a"), (b"\x1b[?1049hx", "x"), (b"\x1b]8;;http://x\x07link\x1b]8;;\x1b\\", "link"), (b"\x1bPq#0\x1b\\x", "x"),
    (b"\x1b(Bx\x1b=y\x1bcz", "xyz"), (b"\x1b[6n\x1b[5i\x1b[20tx", "x"),
    # What belongs to no sequence is seen
    (b"\x07\x00\x7f", r"\x07\x00\x7f"), (b"\x1b", r"\x1b"), (b"\x1b]0;never ended\nnext\n", "\\x1b]0;never ended\nnext\n"),
    ("\u202eabc\u200b\x9b31m".encode(), r"\u202eabc\u200b\x9b31m"), (b"\xff\xc3", r"\xff\xc3"), (b"\x1b[" + b"1" * 100 + b"mx", "\\x1b[" + "1" * 100 + "mx"),
])
def test_lines_are_as_they_would_stand_in_the_end(data: bytes, expected: str) -> None:
    assert shown(data) == expected
    assert shown(*(data[n:n + 1] for n in range(len(data)))) == expected, "however it comes"
    assert shown(data, colours=False) == COLOUR.sub("", expected)


def test_no_output_leaves_anything_but_colours_for_a_terminal() -> None:
    seed = int(os.environ.get("SEED", "1"))
    print("seed", seed)
    random = Random(seed)
    parts = [b"\x1b", b"[", b"]", b"P", b"m", b"31", b";", b"0", b"K", b"8", b"?", b"\x07", b"\\", b"\r", b"\n", b"\b", b"x", b"\t",
             b"\xc2\x9b", b"\xe2\x80\xae", b"\xff", b"H", b"\x1b[31m", b"\x1b]0;t\x07", b":", b" ", b"38", b"2", b"G", b"999"]
    for _ in range(4000):
        data = b"".join(random.choice(parts) for _ in range(random.randrange(40)))
        cut = random.randrange(len(data) + 1)
        text = shown(data)
        assert shown(data[:cut], data[cut:]) == text, data
        left = COLOUR.sub("", text).replace("\n", "").replace("\t", "")
        assert not hidden_in(left), data
        for line in text.split("\n"):
            assert not COLOUR.search(line) or line.rindex("\x1b[0m") == line.rindex("\x1b["), (data, text)


def test_a_line_without_end_takes_bounded_memory_and_loses_nothing() -> None:
    text = TerminalText(colours=True)
    data = bytes(range(97, 123)) * 1000
    out = "".join(text.feed(data) for _ in range(20)) + text.feed(b"", final=True)
    assert out == (data * 20).decode()
    text = TerminalText(colours=True)
    assert "".join(text.feed(b"\r%9d" % n) for n in range(20_000)) == ""
    assert len(text.pending()) < MAX_CELLS and text.feed(b"\n") == "    19999\n"
