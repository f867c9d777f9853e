"""Every hint of ours is tried by a test, and every command of ours that a message names is one that there is."""

from __future__ import annotations

import click

from sshjobs.cli.app import COMMANDS, root
from tests.house.hints import commands, hints, tried


def test_every_hint_is_tried_where_it_is_given() -> None:
    without = {hint: place for hint, place in hints().items() if hint not in tried()}
    assert not without, "write a Row in tests/hints, or @tries before the test that follows it"


def test_what_is_tried_is_said_somewhere() -> None:
    assert not {hint: place for hint, place in tried().items() if hint not in hints()}


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
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "--"}
        own = given[: given.index("--")] if "--" in given else given
        for word in own:
            if word.startswith(("bash", "COMMAND", "echo")):
                break
            if word.startswith("-") and word.strip("'\"`") not in options and word != "-":
                wrong.append((place, name, words))
    assert not wrong
