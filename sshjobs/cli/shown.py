"""How ``logs`` prints outputs: as bytes, or as lines that a terminal would show; with a name before each line."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

from sshjobs.cli.screen import colours_wanted
from sshjobs.views.terminaltext import TerminalText

#: Longest line of a job whose name stands before it, in bytes; a longer one goes on as a further line.
MAX_LINE = 1 << 16
_ERASE = "\r\x1b[K"


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

    def __init__(self, stream: Stream, text: TerminalText | None, columns: Callable[[], int] | None = None):
        self._stream, self._text = stream, text
        self._columns = columns if text is not None and not isinstance(stream, Tagged) else None
        self._drawn = ""

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write bytes, at once. ``final``: the output ends with them."""
        if self._text is not None:
            data = self._on_top(self._text.feed(data, final=final), final=final).encode("utf-8", "backslashreplace")
        self._stream.write(data)
        if final and isinstance(self._stream, Tagged):
            self._stream.end()
        self._stream.flush()

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


def shown(stream: BinaryIO, *, terminal: bool, tag: str = "", live: Callable[[], int] | None = None) -> Shown:
    """Return what prints an output.

    :param terminal: as a terminal shows it, not byte for byte
    :param tag: before each line
    :param live: see ``columns`` of :class:`Shown`
    """
    where: Stream = Tagged(stream, tag.encode("utf-8", "backslashreplace")) if tag else stream
    return Shown(where, TerminalText(colours=colours_wanted()) if terminal else None, live)
