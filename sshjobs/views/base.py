"""View: what every way to show a run has in common."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from sshjobs.errors import SshjobsError, printable
from sshjobs.store.rundir import RunPaths

Event = dict[str, Any]

#: Carries out a user's request, in the form of the control socket, and returns the answer. It may take seconds.
Ask = Callable[[dict[str, Any]], dict[str, Any]]

#: Columns and rows of a screen whose size is not known.
SCREEN = (80, 24)


def paths_of(event: Event) -> RunPaths:
    """Return the paths of the run that an event ``run`` or ``end`` is about."""
    root = Path(event["directory"])
    return RunPaths(root.parent, root.name)


class View(ABC):
    """Shows a run. It is called with each event in the manager's thread, and must not delay that."""

    #: Something that somebody wanted to see could not be shown.
    lost = False
    #: The user wants to stop watching; the run goes on.
    left = False

    def steer(self, ask: Ask, leave: Callable[[], object], *, paused: bool = False) -> None:
        """Let people act on the run by keys, where this view has any.

        :param ask: carries out a user's request
        :param leave: ends the watching; called once :attr:`left` is true
        :param paused: whether the run is paused now
        """
        return None

    def say(self, text: str) -> bool:
        """Show a line that belongs to no event, where nobody else can print without disturbing this view.

        May be called from any thread.

        :return: false where the caller has to print it
        """
        return False

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Show an event."""

    @abstractmethod
    def close(self) -> None:
        """Leave the screen in order; no event follows. May be called twice."""


class Output:
    """A stream to print on, whose reader may go away while the run goes on.

    Where the reader has gone (``| head``, a closed terminal) nothing more is printed, without an error. Any other error
    is reported once and does not end the run: the jobs matter more than the messages about them.

    :param complain: called with one line about an error
    """

    def __init__(self, stream: TextIO, complain: Callable[[str], None]):
        self.stream, self._complain = stream, complain
        self.alive = True

    def screen(self) -> tuple[int, int]:
        """Return columns and rows of the terminal, or usual values where it is none."""
        try:
            size = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError, AttributeError):
            return SCREEN
        return size.columns or SCREEN[0], size.lines or SCREEN[1]

    def in_front(self) -> bool:
        """Tell whether we may draw on the terminal; while we are in the background, another program has it."""
        try:
            return os.tcgetpgrp(self.stream.fileno()) == os.getpgrp()
        except (OSError, ValueError, AttributeError):
            # A terminal without job control: no other program can have it.
            return True

    def line(self, text: str) -> None:
        """Print a line at once. Control characters in it are escaped."""
        self.write(printable(text) + "\n")

    def write(self, text: str) -> None:
        """Print text unchanged and at once."""
        if not self.alive:
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except (BrokenPipeError, ValueError):
            self.alive = False
        except OSError as error:
            self.alive = False
            self._complain(str(SshjobsError("nothing more is shown", why=error.strerror, hint="the run goes on")))


def nearest_path(path: Path) -> str:
    """Return the absolute path or the one relative to the working directory, whichever is shorter."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
