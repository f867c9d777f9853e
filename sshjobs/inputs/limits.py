"""What text a job may have, and how much, wherever it is made. Loads nothing: models of jobfiles take long to load."""

from __future__ import annotations

import json
import re

from sshjobs.model.spec import JobSpec

#: The longest word, environment variable (with its name) in bytes: Linux takes no more.
MAX_WORD = 131_071
#: The most bytes of one job, as JSON: it travels to its host in one frame of 1 MiB, with the names of its files.
MAX_JOB = 900_000
#: What may stand where a shell does arithmetic.
INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
#: The most jobs that a run can be allowed to have.
MOST_JOBS = 10_000_000


def too_large(spec: JobSpec) -> bool:
    """Tell whether a job has more text than is sent to a host, or any program can be given."""
    texts = [*spec.cmds, *(spec.argv or ()), *spec.env, *spec.env.values()]
    # No letter takes more than twelve bytes of JSON: most jobs need not be spelled out to know.
    return sum(map(len, texts)) * 12 > MAX_JOB and len(json.dumps(texts)) > MAX_JOB
