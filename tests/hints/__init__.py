"""Advice that works: each hint of ours is tried in the situation in which it is given.

``Row(hint, wrong, right)`` says what leads to a hint and what follows it; ``@tries(hint, …)`` stands before a test that
does so at greater length. tests/house/test_hints.py finds both, and every hint of the source that has neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


class Row(NamedTuple):
    """One hint.

    :ivar hint: as it stands in the source, ``{}`` for what is put into it
    :ivar wrong: does what leads to it
    :ivar right: does what it advises, and succeeds
    """

    hint: str
    wrong: Callable[[], object]
    right: Callable[[], object]


def tries(*hints: str) -> Callable[[Function], Function]:
    """Mark a test that meets these hints and follows them."""
    def mark(function: Function) -> Function:
        return function
    return mark


def matches(hint: str, text: str) -> bool:
    """Tell whether a text has a hint in it."""
    parts = re.split(r"\{(?:|ssh|host)\}", hint)
    return re.search(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None
