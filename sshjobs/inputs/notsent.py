"""Finds files on this machine that a command names and that are not sent: a job runs in a directory of its own."""

from __future__ import annotations

import os
import re
import shlex

from sshjobs.errors import UsageError
from sshjobs.inputs.jobpaths import placed_as
from sshjobs.model.sent import sent
from sshjobs.model.spec import JobSpec

#: A program in a directory, at the beginning of a line of shell.
_PROGRAM = r"\s*((?:\./)?[A-Za-z0-9_+-][\w.+-]*(?:/[\w.+-]+)*)(?=\s|;|\Z)"
_VALUE = r"sshjobs_[0-9]+="


def check_program(spec: JobSpec) -> None:
    """Check that a job does not run a program that exists only here.

    :raises UsageError: it does
    """
    if spec.argv is not None:
        program = spec.argv[0]
    else:
        line = spec.cmds[-1]
        found = re.match(_PROGRAM, line) if "/" in line else None
        program = found[1] if found else ""
    if "/" in program and _lies_here_only(program, spec):
        raise UsageError(f"{program} lies here and is not sent, so the job would not find it",
                         hint=f"write --send {shlex.quote(_plain(program))}")


def named_and_not_sent(spec: JobSpec) -> list[str]:
    """Return the files that a job's command names and that exist only here, in order: a possible cause of a failure."""
    words = spec.argv or [word for line in spec.cmds for word in _words(line)]
    return [word for word in dict.fromkeys(words) if _lies_here_only(word, spec)]


def _words(line: str) -> list[str]:
    try:
        reader = shlex.shlex(line, posix=True, punctuation_chars=True)
        reader.whitespace_split = True
        words = list(reader)
    except ValueError:
        return []
    return [re.sub(_VALUE, "", word, count=1) for word in words]


def _plain(word: str) -> str:
    return word.removeprefix("./") or word


def _lies_here_only(word: str, spec: JobSpec) -> bool:
    if not word or word[0] in "-/~" or "\0" in word or len(word) > 4096 or spec.cwd is not None:
        return False
    if ".." in word.split("/"):
        return False
    place = placed_as(word)
    places = [one.place for one in sent(spec.files)]
    if place in (None, ".") or any(one in (place, ".") or (place or "").startswith(f"{one}/") for one in places):
        return False
    return os.path.isfile(os.path.join(spec.base_dir or ".", word))
