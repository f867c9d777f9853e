"""What is said when something goes wrong: one line on standard error, never a traceback on the screen."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

from sshjobs import __version__
from sshjobs.errors import brief, printable

#: Exit code where we failed in a way that nobody foresaw (EX_SOFTWARE).
EXIT_INTERNAL = 70
#: Exit code where our output was not read to its end: what a shell reports for other commands then.
EXIT_PIPE = 128 + signal.SIGPIPE


def complain(text: str, *, prefix: str = "sshjobs: ") -> None:
    """Write lines on standard error. Without effect where nobody reads it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        for line in text.splitlines() or [""]:
            sys.stderr.write(f"{prefix}{brief(printable(line))}\n")
        sys.stderr.flush()


def hush_pipe() -> int:
    """Give standard output nowhere to go, so that the interpreter does not complain at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(null, stream.fileno())
    os.close(null)
    return EXIT_PIPE


def explain_unexpected(error: BaseException) -> int:
    """Say in a line that we failed, and keep the details in a file that only the user can read.

    :return: the exit code
    """
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    complain(printable(f"internal error: {what}; {_kept(error)}"))
    return EXIT_INTERNAL


def watch_threads() -> None:
    """Have what threads die of told in the same way."""
    def tell(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
            explain_unexpected(arguments.exc_value)

    threading.excepthook = tell


def _kept(error: BaseException) -> str:
    # Loaded for a failure that nobody foresaw: every command would pay for them.
    import platform
    import tempfile
    import traceback

    about = f"sshjobs {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
    text = about + "".join(traceback.format_exception(error))
    try:
        descriptor, name = tempfile.mkstemp(prefix="sshjobs-error-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as failure:
        return f"the details could not be kept: {failure.strerror}"
    return f"details in {name}"
