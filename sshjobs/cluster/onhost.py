"""What runs on the hosts of an engine cluster: ``python3 sshjobs.pyz TYPE WORDS…``, without click and entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from sshjobs.errors import EXIT_INTERRUPTED, SshjobsError


def main(words: Sequence[str] | None = None) -> int:
    """Carry out a command of an engine and return the exit code. Errors are reported in one line."""
    kind, *rest = sys.argv[1:] if words is None else words
    if "SSHJOBS_JOB" in os.environ:
        # Temporary files of engines stay in the job's directory, which is removed with the job.
        os.environ.update(dict.fromkeys(("TMPDIR", "DASK_TEMPORARY_DIRECTORY", "IPYTHONDIR"), os.getcwd()))
    try:
        return int(import_module(f"sshjobs.cluster.{kind}").RunMain(rest))
    except SshjobsError as error:
        print(f"sshjobs: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
