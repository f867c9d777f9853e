"""Jobs named by their parameters: ``train[lr=0.1,seed=3]``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from sshjobs.errors import UsageError
from sshjobs.model.params import NAME, same_value

_SELECTION = re.compile(rf"([^\[]+)\[\s*({NAME.pattern}\s*=.*)\]", re.DOTALL | re.ASCII)
#: A comma that no name follows belongs to a value.
_NEXT = re.compile(rf",\s*(?={NAME.pattern}\s*=)", re.ASCII)


class Selection(NamedTuple):
    """Jobs of an entry that have some values.

    :ivar entry: its name; empty: jobs of any entry
    :ivar values: by the names of parameters
    """

    entry: str
    values: Mapping[str, str]

    def selects(self, params: Mapping[str, str]) -> bool:
        """Tell whether a job with these parameters is one of them."""
        return all(name in params and same_value(params[name], value) for name, value in self.values.items())


def selection_of(word: str) -> Selection | None:
    """Return what a word selects, ``None`` where it is no selection."""
    found = _SELECTION.fullmatch(word)
    if found is None:
        return None
    pairs = (part.split("=", 1) for part in _NEXT.split(found[2]))
    return Selection(found[1], {name.strip(): value.strip() for name, value in pairs})


def values_wanted(text: str) -> Selection:
    """Return what ``lr=0.1, seed=3``, of any entry, or ``train[lr=0.1]`` selects.

    :raises UsageError: it is neither
    """
    # As if it were in the brackets first: a value may end with one.
    found = selection_of(f"*[{text.strip()}]")
    if found is not None:
        return found._replace(entry="")
    if (found := selection_of(text.strip())) is None:
        raise UsageError("this says no value of a parameter", where=text[:60], hint="write lr=0.1, or train[lr=0.1]")
    return found
