"""The command ``sshjobs``, and ``python -m sshjobs``: how the process begins and ends."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from typing import NoReturn

#: Objects that are made, beyond those that went, before garbage is looked for. Loading makes half as many and no
#: garbage, and a run makes little: what it needs no more goes without being looked for.
GARBAGE_AFTER = 100_000


def cluster() -> NoReturn:
    """Do the same for the command ``sshjobs-cluster``, which is ``sshjobs cluster``."""
    sys.argv.insert(1, "cluster")
    main()


def main() -> NoReturn:
    """Carry out the command line of this process and end it."""
    gc.set_threshold(GARBAGE_AFTER, 20, 50)
    from sshjobs.cli.streams import open_all

    # Before anything else is opened, which would take the place of a stream that is closed.
    open_all()
    from sshjobs.cli import main as carry_out

    leave(carry_out())


def leave(code: int) -> NoReturn:
    """End this process at once.

    What it holds is not taken apart first, object by object: the system takes it back anyway, and after a million jobs
    that would take seconds.
    """
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        # What waits for such threads is done on the usual way only.
        sys.exit(code)
    # What others have asked to be done at the end: it may print.
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    main()
