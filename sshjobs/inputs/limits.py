"""Limits of the text of a job, however it is made. Imports little: the models of jobfiles take long to load."""

from __future__ import annotations

import json
import re

from sshjobs.model.spec import JobSpec

#: The longest word, and the longest environment variable with its name, in bytes: Linux allows no more.
MAX_WORD = 131_071
#: The most bytes of one job as JSON: it is sent to its host in one frame of 1 MiB, with the names of its files.
MAX_JOB = 900_000
#: A value that may stand where a shell does arithmetic.
INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
#: The most jobs that a run can be allowed to have.
MOST_JOBS = 10_000_000


def too_large(spec: JobSpec) -> bool:
    """Return whether a job has more text than can be sent to a host or passed to a program."""
    texts = [*spec.cmds, *(spec.argv or ()), *spec.env, *spec.env.values()]
    # A character takes at most twelve bytes of JSON, so most jobs need not be encoded to find out.
    return sum(map(len, texts)) * 12 > MAX_JOB and len(json.dumps(texts)) > MAX_JOB
