"""What leads to hints, and what follows them, in this process."""

from __future__ import annotations

from collections.abc import Callable

from sshjobs.errors import UsageError
from tests.cli.here import call_here


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
