"""``sshjobs help``."""

from __future__ import annotations

import click

from sshjobs.cli.skill import text as skill
from sshjobs.cli.topics import TOPICS
from sshjobs.errors import EXIT_OK, UsageError
from sshjobs.model.similar import similar

#: What is explained: in a few words, and the text.
ALL = {**TOPICS, "agents": ("what a coding agent needs to know: SKILL.md", skill)}


def _offered(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from sshjobs.cli.app import COMMANDS

    return [word for word in (*ALL, *COMMANDS) if word.startswith(incomplete)]


@click.command("help")
@click.argument("words", metavar="[TOPIC | COMMAND]", nargs=-1, shell_complete=_offered)
def command(words: tuple[str, ...]) -> int:
    """Explain a topic (states, exit-codes, jobfile, json, agents), or a command as its --help does.

    Needs no network.
    """
    from sshjobs.cli.app import COMMANDS, root

    if not words:
        click.echo("topics, for sshjobs help TOPIC:")
        for topic, (about, _) in ALL.items():
            click.echo(f"  {topic:<12}{about}")
        click.echo("commands: see sshjobs --help, and sshjobs help COMMAND")
    elif len(words) == 1 and words[0] in ALL:
        click.echo(ALL[words[0]][1](), nl=False)
    elif words[0] in COMMANDS:
        root.main([*words, "--help"], "sshjobs", standalone_mode=False)
    else:
        near = similar(words[0], [*ALL, *COMMANDS], 1, 0.5)
        raise UsageError(f"there is no help on '{' '.join(words)}'",
                         hint=f"did you mean: sshjobs help {near[0]}" if near else f"topics are {', '.join(ALL)}")
    return EXIT_OK

