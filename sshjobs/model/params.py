"""Parameters of jobs: when two values are equal, and how a job sees them."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping

#: What a parameter may be called.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

#: Beginning of the variables that tell a job its parameters, and the one that tells all of them as JSON.
VARIABLE, ALL = "SSHJOBS_PARAM_", "SSHJOBS_PARAMS"

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
#: Longer ones are text: nobody means a number by them, and they take long to read.
_LONGEST_NUMBER = 40


def number(text: str) -> float | int | None:
    """Return the number that a value is, ``None`` for one that is none. There is no ``nan`` and no ``inf``."""
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def value_key(text: str) -> Hashable:
    """Return what is equal for equal values: by number where both are numbers (``0.10`` and ``1e-1``), else by text."""
    found = number(text)
    return text if found is None else found


def same_value(one: str, other: str) -> bool:
    """Tell whether two values are equal."""
    return value_key(one) == value_key(other)


def variables(params: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that tell a job its parameters; none where it has none."""
    if not params:
        return {}
    return {**{f"{VARIABLE}{name}": value for name, value in params.items()}, ALL: json.dumps(params)}
