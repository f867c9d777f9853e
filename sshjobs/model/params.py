"""Parameters of jobs: when two values are equal, and the environment variables that tell them to a job."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping

#: The names that a parameter may have.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

#: The prefix of the variables that tell a job its parameters, and the variable with all of them as JSON.
VARIABLE, ALL = "SSHJOBS_PARAM_", "SSHJOBS_PARAMS"

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
#: Longer values are text: nobody means a number by them, and they would take long to parse.
_LONGEST_NUMBER = 40


def number(text: str) -> float | int | None:
    """Return a value as a number, ``None`` if it is no number. ``nan`` and ``inf`` are none."""
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def value_key(text: str) -> Hashable:
    """Return a key that is equal for equal values: numbers by their value (``0.10`` and ``1e-1``), others by text."""
    found = number(text)
    return text if found is None else found


def same_value(one: str, other: str) -> bool:
    """Return whether two values are equal."""
    return value_key(one) == value_key(other)


def variables(params: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that tell a job its parameters; none where it has none."""
    if not params:
        return {}
    return {**{f"{VARIABLE}{name}": value for name, value in params.items()}, ALL: json.dumps(params)}
