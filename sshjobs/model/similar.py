"""Words that somebody may have meant by a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def similar(word: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return those of the known words that are most like a word, the likest first.

    :param most: how many at most
    :param cutoff: how alike they must be, from 0 to 1, which is equal
    """
    # Loaded where something is misspelt: every command would pay for it at its start.
    from difflib import get_close_matches

    return get_close_matches(word, list(known), most, cutoff)
