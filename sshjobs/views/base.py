"""View: what every way to show a run has in common."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TextIO

from sshjobs.errors import SshjobsError, printable

Event = dict[str, Any]

#: Carries out a request of a person, as the control socket takes them, and returns its answer. It may take seconds.
Ask = Callable[[dict[str, Any]], dict[str, Any]]

#: Columns and rows of a screen that tells us nothing about itself.
SCREEN = (80, 24)


class View(ABC):
    """Shows a run. It is called with each event, in the manager's thread, and must not hold that up."""

    #: Something that was to be shown was not, although somebody wanted to see it.
    lost = False
    #: Somebody who watched wants to watch no more; the run goes on.
    left = False

    def steer(self, ask: Ask, leave: Callable[[], object], *, paused: bool = False) -> None:
        """Let people act on the run by the keys of this view, where it has any.

        :param ask: carries out a request of a person
        :param leave: has the watching end; called once :attr:`left` is true
        :param paused: the run is, by now
        """
        return None

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Take an event."""

    @abstractmethod
    def close(self) -> None:
        """Leave the screen in order; no event comes after. May be called twice."""


class Output:
    """A stream to print on, which may go away while the run goes on.

    Where its reader has gone (``| head``, a closed terminal) nothing more is printed and nothing is said. Any
    other trouble is told once: the jobs matter more than the messages about them.

    :param complain: told about trouble, in a line
    """

    def __init__(self, stream: TextIO, complain: Callable[[str], None]):
        self.stream, self._complain = stream, complain
        self.alive = True

    def screen(self) -> tuple[int, int]:
        """Return columns and rows of the terminal that it is, or of a common one."""
        try:
            size = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError, AttributeError):
            return SCREEN
        return size.columns or SCREEN[0], size.lines or SCREEN[1]

    def in_front(self) -> bool:
        """Tell whether a terminal is ours to draw on; in the background it is another program's."""
        try:
            return os.tcgetpgrp(self.stream.fileno()) == os.getpgrp()
        except (OSError, ValueError, AttributeError):
            # No terminal with job control: there is nobody else to draw for.
            return True

    def line(self, text: str) -> None:
        """Print a line that a reader sees at once. Control characters in it are escaped."""
        self.write(printable(text) + "\n")

    def write(self, text: str) -> None:
        """Print text as it is, at once."""
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
