"""Block: lines at the bottom of a terminal that are redrawn in place, while all other output scrolls away above them.

It leaves the terminal in order: the cursor is shown whenever nothing is drawn, a block that was wrapped by a new width
is erased completely, and nothing is written while another program has the terminal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from sshjobs.views.base import Output

_HIDE_CURSOR, _SHOW_CURSOR, _ERASE_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[J"
#: Terminals that cut off lines when they become narrower, instead of wrapping them.
_CUTTING = ("linux", "rxvt", "vt")


class Block:
    """Draws lines, and later other lines in their place.

    :param console: knows the size and the colours of the terminal
    :param environment: the environment variables of this process, which tell which terminal it is
    """

    def __init__(self, console: Console, output: Output, environment: Mapping[str, str] = os.environ):
        self._console, self._output = console, output
        self._wraps = wraps_lines(environment)
        #: How wide each line on the screen is.
        self._drawn: list[int] = []
        self._hidden = False

    def draw(self, above: Iterable[Text], lines: Sequence[Text], size: tuple[int, int]) -> None:
        """Draw lines in the place of the earlier ones.

        :param above: lines that stay on the screen above the block; the terminal wraps them itself, so that they are
            still right when it becomes wider
        :param size: columns and rows of the terminal now
        """
        text = self._erasing(size) + self._escapes(above, "\n") + self._escapes(lines[:-1], "\n")
        self._write(("" if self._hidden else _HIDE_CURSOR) + text + self._escapes(lines[-1:], ""))
        self._drawn, self._hidden = [line.cell_len for line in lines], True

    def leave(self) -> None:
        """Erase the lines and show the cursor, so that another program may have the terminal."""
        if self._hidden:
            self._write(self._erasing((self._console.size.width, self._console.size.height)) + _SHOW_CURSOR)
        self._drawn, self._hidden = [], False

    def lose(self) -> None:
        """Draw the next lines where the cursor is, because something else was written since."""
        self._drawn, self._hidden = [], False

    def _erasing(self, size: tuple[int, int]) -> str:
        """Return the escapes that move the cursor from the end of the block to its beginning and erase from there."""
        if not self._drawn:
            return ""
        columns, rows = size
        taken = sum(max(1, -(-width // max(1, columns))) if self._wraps else 1 for width in self._drawn)
        # Lines that have scrolled off the top of the screen cannot be reached.
        up = min(taken, rows) - 1
        return "\r" + (f"\x1b[{up}A" if up else "") + _ERASE_BELOW

    def _escapes(self, lines: Iterable[Text], end: str) -> str:
        with self._console.capture() as captured:
            for line in lines:
                self._console.print(line, soft_wrap=True, end=end)
        return captured.get()

    def _write(self, text: str) -> None:
        if not self._output.alive:
            raise BrokenPipeError
        self._output.write(text)


def wraps_lines(environment: Mapping[str, str]) -> bool:
    """Tell whether a terminal reflows the lines on its screen when its width changes, as nearly all do."""
    kind = environment.get("TERM", "")
    if "XTERM_VERSION" in environment or kind.startswith(_CUTTING):
        return False
    # What tmux shows is called "screen" too.
    return not kind.startswith("screen") or "TMUX" in environment
