"""Every hint of ours is tried by a test, and every command of ours that a message names is one that there is."""

from __future__ import annotations

from pathlib import Path

import click

from sshjobs.cli.app import COMMANDS, root
from tests.house.hints import commands, hints, tried

#: Hints that no test follows to their end, one a line. It may only become shorter.
UNTRIED = Path(__file__).with_name("untried_hints.txt")


def untried() -> list[str]:
    """Return the hints that are owed a test."""
    return [line for line in UNTRIED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("# ")]


def test_every_hint_is_tried_where_it_is_given() -> None:
    owed = set(untried())
    without = {hint: place for hint, place in hints().items() if hint not in tried() and hint not in owed}
    assert not without, "write a Row in tests/hints, or @tries before the test that follows it"
    assert not (done := owed & tried().keys()), f"these are tried now: take them out of {UNTRIED.name}: {done}"
    assert not (gone := owed - hints().keys()), f"nobody gives these any more: {gone}"


def test_what_is_tried_is_said_somewhere() -> None:
    assert not {hint: place for hint, place in tried().items() if hint not in hints()}


def test_most_hints_are_tried() -> None:
    assert 2 * len(untried()) < len(hints())


def test_every_command_that_a_message_names_is_there() -> None:
    wrong = []
    for (name, words), place in commands().items():
        if name not in COMMANDS:
            continue
        command: click.Command | None = root.get_command(click.Context(root), name)
        given = words.split()
        if isinstance(command, click.Group) and given and not given[0].startswith("-"):
            command = command.get_command(click.Context(command), given.pop(0))
            if command is None:
                wrong.append((place, name, words))
                continue
        assert command is not None
        options = {option for parameter in command.params for option in parameter.opts} | {"--help", "--"}
        own = given[: given.index("--")] if "--" in given else given
        for word in own:
            if word.startswith(("bash", "COMMAND", "echo")):
                break
            if word.startswith("-") and word.strip("'\"`") not in options and word != "-":
                wrong.append((place, name, words))
    assert not wrong
