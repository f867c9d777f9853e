"""How ``logs`` prints outputs: as bytes, as lines that a terminal would show, with names before them, or as JSON."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, Protocol

from sshjobs.cli.failures import complain
from sshjobs.cli.screen import colours_wanted
from sshjobs.errors import printable
from sshjobs.views.terminaltext import TerminalText
from sshjobs.views.wording import bytes_left_out

#: Longest line of a job whose name stands before it, in bytes; a longer one goes on as a further line.
MAX_LINE = 1 << 16
_ERASE = "\r\x1b[K"


class Output(NamedTuple):
    """Which output it is: of which job, ``stdout`` or ``stderr``."""

    job: str
    stream: str


class Stream(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> object:
        """Write them."""

    def flush(self) -> object:
        """Have them seen."""


class Tagged:
    """Begins each line with the same words. Lines are written whole, so that those of several jobs do not mix."""

    def __init__(self, stream: Stream, tag: bytes):
        self._stream, self._tag, self._held = stream, tag, b""

    def write(self, data: bytes, /) -> None:
        """Write the lines that are whole now."""
        *lines, self._held = (self._held + data).split(b"\n")
        while len(self._held) > MAX_LINE:
            lines.append(self._held[:MAX_LINE])
            self._held = self._held[MAX_LINE:]
        if lines:
            self._stream.write(b"".join(self._tag + line + b"\n" for line in lines))

    def flush(self) -> None:
        """Have what was written seen."""
        self._stream.flush()

    def end(self) -> None:
        """Write the line that was left unfinished."""
        if self._held:
            self.write(b"\n")


class Shown:
    """Prints one output.

    :param text: makes of it what a terminal shows; ``None``: its bytes as they are
    :param columns: where a line that has only begun is to be seen as it grows: returns how wide the terminal is
    """

    def __init__(self, stream: Stream, output: Output, text: TerminalText | None,
                 columns: Callable[[], int] | None = None):
        self._stream, self._output, self._text = stream, output, text
        #: A line has begun and not ended.
        self._begun = False
        self._columns = columns if text is not None and not isinstance(stream, Tagged) else None
        self._drawn = ""

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write bytes, at once. ``final``: the output ends with them."""
        if self._text is not None:
            data = self._on_top(self._text.feed(data, final=final), final=final).encode("utf-8", "backslashreplace")
        self._stream.write(data)
        self._begun = not data.endswith(b"\n") if data else self._begun
        if final and isinstance(self._stream, Tagged):
            self._stream.end()
        self._stream.flush()

    def cut(self, number: int, at: int) -> None:
        """Say on standard error that so many bytes were left out here; on a terminal, on a line of its own."""
        self.write(b"", final=True)
        if self._text is not None and self._begun and not isinstance(self._stream, Tagged):
            self._stream.write(b"\n")
            self._stream.flush()
        complain(f"{printable(self._output.job)}: {bytes_left_out(number, self._output.stream, at)}")

    def _on_top(self, text: str, *, final: bool) -> str:
        """Return what to write so that the line that has begun is seen below whole lines, and those instead of it."""
        if self._columns is None or self._text is None:
            return text
        most = max(1, self._columns() - 1)
        pending = "" if final else self._text.pending(most)
        if not pending.isascii():
            # Some characters are two columns wide.
            pending = self._text.pending(most // 2)
        if not text and pending == self._drawn:
            return ""
        erase, self._drawn = _ERASE if self._drawn else "", pending
        return erase + text + pending


class Documents:
    """Prints one output as JSON: an object a line; a line that is very long, in pieces."""

    def __init__(self, stream: Stream, output: Output):
        self._stream, self._output = stream, output
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Print the lines that are whole now; ``final``: what they leave unfinished, too."""
        *lines, self._held = (self._held + self._decoder.decode(data, final)).split("\n")
        for line in lines:
            self._line(self._in_pieces(line))
        self._held = self._in_pieces(self._held)
        if final and self._held:
            self._line(self._held)
            self._held = ""
        self._stream.flush()

    def cut(self, number: int, at: int) -> None:
        """Say that so many bytes were left out here."""
        self.write(b"", final=True)
        self._print({"left_out": {"at": at, "bytes": number}})
        self._stream.flush()

    def _in_pieces(self, line: str) -> str:
        while len(line) > MAX_LINE:
            self._print({"text": line[:MAX_LINE], "continues": True})
            line = line[MAX_LINE:]
        return line

    def _line(self, line: str) -> None:
        self._print({"text": line})

    def _print(self, more: dict[str, object]) -> None:
        self._stream.write(json.dumps({**self._output._asdict(), **more}).encode("ascii") + b"\n")


def shown(stream: BinaryIO, output: Output, *, terminal: bool, tag: str = "",
          live: Callable[[], int] | None = None) -> Shown:
    """Return what prints an output, but for JSON.

    :param terminal: as a terminal shows it, not byte for byte
    :param tag: before each line
    :param live: see ``columns`` of :class:`Shown`
    """
    where: Stream = Tagged(stream, tag.encode("utf-8", "backslashreplace")) if tag else stream
    return Shown(where, output, TerminalText(colours=colours_wanted()) if terminal else None, live)
