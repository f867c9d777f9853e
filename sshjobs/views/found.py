"""Search: lines of outputs in which something is found. Memory and time are bounded, whatever is searched for where."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sshjobs.errors import UsageError

#: Bytes that are read at a time, and the longest piece of a line that is searched as one.
PIECE = 1 << 16
#: Bytes of a long line that its next piece begins with once more: an expression finds what lies between the two.
OVERLAP = 1 << 10
#: Seconds of this process's time that an expression may take for the lines of a piece.
PATIENCE = 5.0
#: Longest pattern, in characters.
MOST = 1000


class _TooSlowError(Exception):
    """An expression took too long."""


class Search:
    """A search for a text or an expression.

    :param regex: the pattern is a regular expression of Python
    :param ignore_case: capital and small letters are equal
    :raises UsageError: it can be none
    """

    def __init__(self, pattern: str, *, regex: bool = False, ignore_case: bool = False):
        if not pattern or len(pattern) > MOST:
            raise UsageError("a pattern has 1 to 1,000 characters", why=f"this one has {len(pattern):,}")
        self._pattern, self._text, self._overlap = pattern, b"", OVERLAP
        if not regex and not ignore_case:
            self._text = pattern.encode("utf-8", "surrogateescape")
            self._overlap = len(self._text) - 1
            return
        try:
            flags = re.IGNORECASE if ignore_case else 0
            self._find = re.compile(pattern if regex else re.escape(pattern), flags).search
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(f"'{pattern}' is no regular expression", why=str(error),
                             hint="without -E it is looked for as it is") from error

    def lines(self, path: Path, cut: int | None = None) -> Iterator[bytes]:
        """Yield the lines of a file in which the pattern is found, without their ends; none where there is no file.

        :param cut: a line also ends behind so many bytes: what followed there was left out
        :raises UsageError: the expression takes too long
        :raises OSError: the file cannot be read
        """
        try:
            file = open(path, "rb", buffering=0)
        except FileNotFoundError:
            return
        rest = b""
        with file:
            while data := file.read(min(PIECE, cut) if cut else PIECE):
                block = rest + data
                if cut:
                    cut -= len(data)
                    if not cut:
                        yield from self._among(block)
                        rest = b""
                        continue
                # Without the last line, whose end is still to come; of a long one, its beginning too.
                end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
                if not end and len(block) >= PIECE:
                    end, rest = len(block), block[len(block) - self._overlap:]
                else:
                    rest = block[end:]
                yield from self._among(block[:end])
            yield from self._among(rest)

    def _among(self, block: bytes) -> list[bytes]:
        if self._text:
            return [line for line in block.splitlines() if self._text in line] if self._text in block else []
        with _bounded(self._give_up):
            return [line for line in block.splitlines() if self._find(line.decode("utf-8", "surrogateescape"))]

    def _give_up(self) -> UsageError:
        return UsageError(f"'{self._pattern}' takes too long on some line", why=f"more than {PATIENCE:g} s",
                          hint="repeat nothing within what is repeated, as in (a+)+, or look for a text, without -E")


@contextmanager
def _bounded(error: Callable[[], UsageError]) -> Iterator[None]:
    """End the body when it has worked for too long: the engine of expressions looks for signals as it goes."""
    def too_slow(number: int, frame: object) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGVTALRM, too_slow)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        yield
    except _TooSlowError:
        raise error() from None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
