"""Sends the log to standard error, one line for each record. Nothing else in sshjobs configures logging."""

from __future__ import annotations

import logging
import sys

from sshjobs.errors import printable

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _Lines(logging.Handler):
    """Writes records as ``sshjobs: warning: text`` to the standard error of that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            word = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
            sys.stderr.write(f"sshjobs: {word}{printable(record.getMessage())}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            # Nobody reads the log any more; that is no reason to stop a run.
            return


def configure(verbosity: int) -> None:
    """Show our log: warnings; with 1 also what is done, with 2 everything.

    :param verbosity: how often ``-v`` was given
    """
    ours = logging.getLogger("sshjobs")
    ours.handlers[:] = [_Lines()]
    ours.propagate = False
    ours.setLevel(_LEVELS[min(verbosity, 2)])
    # Of libraries only warnings.
    logging.getLogger().handlers[:] = [_Lines()]
    logging.getLogger().setLevel(logging.WARNING)
