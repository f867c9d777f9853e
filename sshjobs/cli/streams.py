"""The three standard streams of the process of a command: always open, and what cannot be printed is told once."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any, TextIO

from sshjobs.errors import EXIT_JOBS_FAILED, LocalError

#: Whether something that belonged on standard output did not get there although somebody wanted to read it.
_lost = False


class CannotPrintError(LocalError, OSError):
    """Standard output cannot be written: a full disk, or one that fails."""

    def __init__(self, error: OSError):
        super().__init__("standard output cannot be written", why=error.strerror, passing=False)
        self.errno, self.strerror = error.errno, error.strerror


def open_all() -> None:
    """Open those of the three that our parent has closed, and have the errors of the other two told once.

    What is printed on a closed one goes nowhere. It must be open all the same, because the next file
    that is opened would take its place.
    """
    for descriptor, flag in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free: this one.
            os.set_inheritable(os.open(os.devnull, flag), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout, sys.stderr = _stream(1, sys.stdout, _note_loss), _stream(2, sys.stderr, _ignore)


def code_of(code: int) -> int:
    """Return the exit code of a command that came to its end with another one: it is not 0 where output was lost."""
    return code or (EXIT_JOBS_FAILED if _lost else 0)


def write_all(descriptor: int, data: bytes) -> None:
    """Write bytes past the buffers of Python, which nobody may hold when the process ends.

    :raises OSError: they cannot be written; :class:`CannotPrintError` where that is no wish of a reader's
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view):]
        except BlockingIOError:
            # Another process that shares the descriptor made it so.
            select.select([], [descriptor], [])
        except BrokenPipeError:
            raise
        except OSError as error:
            if descriptor == 1:
                _note_loss(error)
            raise CannotPrintError(error) from error


def _note_loss(error: OSError) -> None:
    global _lost
    _lost = True
    raise CannotPrintError(error) from error


def _ignore(error: OSError) -> None:
    """There is nowhere left to say it."""


def _stream(descriptor: int, as_it_was: TextIO | None, refused: Callable[[OSError], None]) -> TextIO:
    encoding = "utf-8" if as_it_was is None else as_it_was.encoding
    raw = _Raw(descriptor, refused)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace",
                            line_buffering=descriptor == 2 or raw.is_terminal)


class _Raw(io.FileIO):
    """A standard stream. Once it could not be written, the rest is dropped: what is left in buffers is written once
    more at the end of the process, and must not give it another exit code then.

    :param refused: called with the first error, but for that of a reader who has gone
    """

    def __init__(self, descriptor: int, refused: Callable[[OSError], None]):
        super().__init__(descriptor, "wb", closefd=False)
        self.is_terminal, self._refused, self._dead = os.isatty(descriptor), refused, False
        #: What was written when an interrupt came before that could be told.
        self._untold = b""

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        if self._dead:
            return view.nbytes
        before, self._untold = self._untold, b""
        if before and view[:len(before)] == before:
            # The buffer above has not heard that this was written.
            return len(before)
        done: list[int | None] = []
        try:
            while True:
                # In one call: Ctrl-C raises before it or after it, and then it is known here what was written.
                done.extend(map(super().write, (view,)))
                if done[0] is not None:
                    return done[0]
                # Another process that shares the descriptor made it non-blocking.
                done.clear()
                select.select([], [self.fileno()], [])
        except BrokenPipeError:
            self._dead = True
            raise
        except OSError as error:
            self._dead = True
            if self.is_terminal:
                # It was closed: a reader who has gone, in other words.
                raise BrokenPipeError(error.errno, error.strerror) from error
            self._refused(error)
            return view.nbytes
        except BaseException:
            self._untold = bytes(view[:done[0]]) if done and done[0] is not None else b""
            raise
