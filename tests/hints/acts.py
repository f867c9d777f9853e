"""What leads to hints, and what follows them, in this process."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from sshjobs.errors import UsageError
from tests.cli.here import call_here

#: Runs until the test lets it end.
HELD = "until test -e {}/go; do sleep 0.05; done"


def cli(*words: str) -> Callable[[], None]:
    """Return what carries out a command line, and raises what it complains of."""
    def act() -> None:
        told = call_here(*words)
        if told.returncode != 0:
            raise UsageError(told.stderr)
    return act


def dry(*words: str) -> Callable[[], None]:
    """Return what tries an ``sshjobs exec`` without starting anything."""
    return cli("exec", "--dry-run", *words)


def run_all(*acts: Callable[[], object]) -> None:
    """Do one thing after the other."""
    for act in acts:
        act()


def advised(text: str) -> list[str]:
    """Return the words of the command that a line ends with."""
    found = re.search(r"(?:: |then: )sshjobs ([^;\n]+)$", text.strip())
    assert found, text
    return found[1].split()


def write_jobs(*entries: Mapping[str, object]) -> None:
    Path("jobs.yaml").write_text(json.dumps({"jobs": list(entries)}))


def says(*words: str) -> str:
    """Carry out a command line; return what it printed."""
    told = call_here(*words)
    return told.stdout + told.stderr


def command_in(text: str, before: str) -> list[str]:
    """Return the words of the command that stands behind some words."""
    found = re.search(re.escape(before) + r"sshjobs ([^;\n]*)", text)
    assert found, text
    return found[1].split()
