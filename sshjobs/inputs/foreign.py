"""Placeholders of GNU parallel that sshjobs does not have, and what to write instead.

Each has a command that does the same here. A test runs all of them, and docs/parallel.md shows them.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Foreign(NamedTuple):
    """One such placeholder.

    :ivar example: as it is written
    :ivar meaning: its meaning in GNU parallel
    :ivar instead: a command line of ours that does the same for the value ``a/b.tar.gz``; ``None`` if there is none
    """

    example: str
    meaning: str
    instead: str | None
    pattern: re.Pattern[str]


def _foreign(example: str, pattern: str, meaning: str, instead: str | None = None) -> Foreign:
    return Foreign(example, meaning, instead, re.compile(pattern))


#: The first match counts.
FOREIGN = (
    _foreign("{= … =}", r"\{-?[0-9]*=[^\n]*?=\}", "perl code", """'echo {} | sed s/a/b/'"""),
    _foreign("{##}", r"\{##\}", "the number of jobs", """'echo {#} of 3'"""),
    _foreign("{0#}", r"\{0+#\}", "the number of the job with zeros", """'printf "%03d\\n" {#}'"""),
    _foreign("{0%}", r"\{0+%\}", "the number of the slot with zeros", """'printf "%03d\\n" {%}'"""),
    _foreign("{/..}", r"\{-?[0-9]*/\.\.\}", "the last name without two extensions",
             """'f={/}; echo "${f%.*.*}"'"""),
    _foreign("{/...}", r"\{-?[0-9]*/\.\.\.\}", "the last name without three extensions",
             """'f={/}; echo "${f%.*.*.*}"'"""),
    _foreign("{...}", r"\{-?[0-9]*\.\.\.\}", "without three extensions", """'f={}; echo "${f%.*.*.*}"'"""),
    _foreign("{..}", r"\{-?[0-9]*\.\.\}", "without two extensions", """'f={}; echo "${f%.*.*}"'"""),
    _foreign("{+/}", r"\{-?[0-9]*\+/\}", "the directory", """'echo {//}'"""),
    _foreign("{+...}", r"\{-?[0-9]*\+\.\.\.\}", "the last three extensions",
             """'f={}; g=${f%.*.*.*}; echo "${f#"$g."}"'"""),
    _foreign("{+..}", r"\{-?[0-9]*\+\.\.\}", "the last two extensions",
             """'f={}; g=${f%.*.*}; echo "${f#"$g."}"'"""),
    _foreign("{+.}", r"\{-?[0-9]*\+\.\}", "the extension", """'f={}; echo "${f##*.}"'"""),
    _foreign("{:}", r"\{:\}", "without any extension", """'f={}; echo "${f%%.*}"'"""),
    _foreign("{-1}", r"\{-[1-9][0-9]*(?://|/\.|\.|/)?\}", "the value of a source counted from the last",
             """'echo {1}'"""),
    _foreign("{uniq}", r"\{(?:uniq|choose_k|hgrp)\}", "what --rpl and --plus define"),
)


def foreign_at(text: str, at: int) -> tuple[Foreign, int] | None:
    """Return the placeholder of GNU parallel that begins there, and its length, if one does."""
    for foreign in FOREIGN:
        if found := foreign.pattern.match(text, at):
            return foreign, len(found[0])
    return None


def advice(foreign: Foreign, text: str) -> str:
    """Return what to do instead of writing ``text``."""
    plain = f"\\{text} for the text itself"
    return f"write {foreign.instead}, or {plain}" if foreign.instead else f"write {plain}"
