"""Jobs named by their parameters: ``train[lr=0.1,seed=3]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from sshjobs.errors import UsageError
from sshjobs.model.params import NAME, same_value

_SELECTION = re.compile(rf"([^\[]+)\[\s*({NAME.pattern}\s*=.*)\]", re.DOTALL | re.ASCII)
#: A comma without a name behind it belongs to a value.
_NEXT = re.compile(rf",\s*(?={NAME.pattern}\s*=)", re.ASCII)


class Selection(NamedTuple):
    """Selects the jobs of an entry with certain values.

    :ivar entry: its name; empty: any entry
    :ivar values: values by the names of parameters
    """

    entry: str
    values: Mapping[str, str]

    def selects(self, params: Mapping[str, str]) -> bool:
        """Return whether a job with these parameters is selected."""
        return all(name in params and same_value(params[name], value) for name, value in self.values.items())


def selection_of(word: str) -> Selection | None:
    """Return the selection that a word means, ``None`` if it is none."""
    found = _SELECTION.fullmatch(word)
    if found is None:
        return None
    pairs = (part.split("=", 1) for part in _NEXT.split(found[2]))
    return Selection(found[1], {name.strip(): value.strip() for name, value in pairs})


def values_wanted(text: str) -> Selection:
    """Parse ``lr=0.1, seed=3``, for any entry, or ``train[lr=0.1]``.

    :raises UsageError: it is neither
    """
    # First as if it stood in brackets: a value may end with a bracket.
    found = selection_of(f"*[{text.strip()}]")
    if found is not None:
        return found._replace(entry="")
    if (found := selection_of(text.strip())) is None:
        raise UsageError("this says no value of a parameter", where=text[:60], hint="write lr=0.1, or train[lr=0.1]")
    return found
