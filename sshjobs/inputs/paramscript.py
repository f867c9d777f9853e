"""Parameters in a script: ``${{ lr }}`` is replaced by a variable of the job's environment, so that bash inserts the
value. So a value is always one word and never part of the script, and all jobs of an entry have the same script.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sshjobs.inputs.arithmetic import worked_out
from sshjobs.inputs.commandline import reference
from sshjobs.inputs.shelltext import Quoting, holes
from sshjobs.model.fill import ESCAPED, OPEN, Parameter, parameter_at, pieces
from sshjobs.model.params import VARIABLE


class Script(NamedTuple):
    """A script that reads its parameters from variables.

    :ivar lines: as many texts as were given
    :ivar numbers: names of the parameters that bash would evaluate, so that they have to be whole numbers
    :ivar raw: it still contains placeholders (``${{ raw:x }}``), and ``$${{`` for the text ``${{``
    """

    lines: list[str]
    numbers: frozenset[str]
    raw: bool


def with_variables(lines: Sequence[str]) -> Script:
    """Return the lines of a script with variables in place of its placeholders.

    :raises UsageError: a placeholder is malformed, or stands where no value is allowed
    """
    found = holes("\n".join(lines), _find)
    raw = any(isinstance(piece, Parameter) and piece.raw for line in lines for piece in pieces(line))
    numbers, worked = set[str](), worked_out(found)
    text = ""
    for n, piece in enumerate(found):
        if isinstance(piece, str):
            text += piece if raw else piece.replace(ESCAPED, OPEN)
        elif piece.quoting is Quoting.COMMENT:
            text += piece.placeholder.text.replace(OPEN, ESCAPED if raw else OPEN)
        else:
            text += reference(piece, [f"{VARIABLE}{piece.placeholder.name}"])
            if piece.quoting is Quoting.NUMBER or n in worked:
                numbers.add(piece.placeholder.name)
    return Script(_apart(text.split("\n"), lines), frozenset(numbers), raw)


def _find(text: str, at: int, _: Quoting | None) -> tuple[int, str | Parameter] | None:
    """Find the placeholders to be replaced; raw ones, and ``$${{``, stay as they are."""
    if text.startswith(ESCAPED, at):
        return len(ESCAPED), ESCAPED
    found = parameter_at(text, at)
    return None if found is None else (len(found.text), found.text if found.raw else found)


def _apart(texts: list[str], lines: Sequence[str]) -> list[str]:
    """Split a text into as many items as it was joined from."""
    found, at = [], 0
    for line in lines:
        until = at + line.count("\n") + 1
        found.append("\n".join(texts[at:until]))
        at = until
    return found
