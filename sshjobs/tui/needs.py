"""What ``sshjobs top`` needs beyond sshjobs itself, and how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from sshjobs.errors import UsageError


def check_installed() -> None:
    """Make sure that the package of the extra ``tui`` is there.

    :raises UsageError: with the command that installs it
    """
    if find_spec("textual") is None:
        raise UsageError("the terminal view cannot be shown", why="not installed: textual",
                         hint="install it with: pip install 'sshjobs[tui]'")
