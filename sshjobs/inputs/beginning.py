"""A jobfile to begin with: it runs as it is, and its comments show every key of a job."""

from __future__ import annotations

import textwrap
from importlib.resources import files

from sshjobs.inputs.jobmodel import JobEntry

#: How wide the names of keys and the lines behind them may be, in columns.
_NAMES, _LINES = 15, 118


def beginning(file: str = "jobs.yaml") -> str:
    """Return the text of a jobfile with comments.

    :param file: what it is going to be called, as a shell takes it
    """
    head = (files(__package__) / "beginning.yaml").read_text("utf-8")
    lines = [head.replace("FILE", file)]
    for name, field in JobEntry.model_fields.items():
        about = textwrap.wrap(field.description or "", _LINES - _NAMES)
        lines += [f"#   {'' if n else name:<{_NAMES}}{line}\n" for n, line in enumerate(about)]
    return "".join(lines)
