"""Placeholders of parameters: ``${{ lr }}`` in a text stands for the value that a job has of ``lr``.

``$${{`` is the text ``${{`` itself. ``${{ raw:lr }}`` differs from ``${{ lr }}`` in scripts only, where the latter is
one word whatever is in it (see :mod:`sshjobs.inputs.paramscript`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sshjobs.errors import UsageError
from sshjobs.model.params import NAME

#: The beginning of a placeholder, and how that text itself is written.
OPEN, ESCAPED = "${{", "$${{"

_PLACEHOLDER = r"\$\$\{\{|\$\{\{[ \t]*(raw:)?[ \t]*([^}\n]*?)[ \t]*\}\}"


class Parameter(NamedTuple):
    """A placeholder.

    :ivar text: as it was written
    :ivar raw: in a script its value becomes part of the text, not one word
    """

    text: str
    name: str
    raw: bool


def parameter_at(text: str, at: int) -> Parameter | None:
    """Return the placeholder that begins at a place of a text, ``None`` if there is none (``$${{`` is none).

    :raises UsageError: it is not closed, or holds no name
    """
    if not text.startswith(OPEN, at):
        return None
    found = re.compile(_PLACEHOLDER).match(text, at)
    if found is None:
        raise UsageError(f"'{text[at:at + 20].splitlines()[0]}' is not closed",
                         hint=f"write {OPEN} NAME }}}}, or {ESCAPED} for the text {OPEN}")
    if not NAME.fullmatch(found[2]):
        raise UsageError(f"'{found[0][:60]}' does not hold the name of a parameter",
                         hint=f"write {OPEN} NAME }}}}, or {ESCAPED} for the text {OPEN}")
    return Parameter(found[0], found[2], bool(found[1]))


@lru_cache(4096)
def pieces(text: str) -> tuple[str | Parameter, ...]:
    """Split a text into plain text and placeholders.

    :raises UsageError: a placeholder is not closed, or holds no name
    """
    found: list[str | Parameter] = []
    at = start = 0
    while (at := text.find(OPEN, at)) >= 0:
        escaped = at > start and text[at - 1] == "$"
        found.append(text[start : at - escaped])
        placeholder = None if escaped else parameter_at(text, at)
        found.append(OPEN if placeholder is None else placeholder)
        at = start = at + len(OPEN if placeholder is None else placeholder.text)
    return tuple(piece for piece in (*found, text[start:]) if piece)


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a value, including those in lists and mappings, and keys of mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for one in value.items() if isinstance(value, dict) else value:
            yield from texts(list(one) if isinstance(one, tuple) else one)


def holds_any(value: Any) -> bool:
    """Return whether a placeholder or ``$${{`` is in any text of a value."""
    return any(OPEN in text for text in texts(value))


def names_in(value: Any) -> list[str]:
    """Return the names of the parameters in a value, each once.

    :raises UsageError: a placeholder is not closed, or holds no name
    """
    return list(dict.fromkeys(piece.name for text in texts(value) if OPEN in text for piece in pieces(text)
                              if isinstance(piece, Parameter)))


def filled(value: Any, params: Mapping[str, str]) -> Any:
    """Return a value in which all placeholders are replaced by values of parameters. A missing parameter is empty
    text."""
    if isinstance(value, str):
        return value if OPEN not in value else "".join([
            piece if isinstance(piece, str) else params.get(piece.name, "") for piece in pieces(value)])
    if isinstance(value, list):
        return [filled(one, params) for one in value]
    if isinstance(value, dict):
        return {filled(key, params): filled(one, params) for key, one in value.items()}
    return value
