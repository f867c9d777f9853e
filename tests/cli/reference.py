"""The option tables of docs/cli.md. ``python -m tests.cli.reference`` renews them from the commands."""

from __future__ import annotations

import re
from pathlib import Path

import click

from sshjobs.cli.app import commands

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
_TABLE = re.compile(r"<!-- options: (?P<name>[a-z ]+) -->\n(?P<table>.*?)<!-- end -->\n", re.DOTALL)


def table(name: str, command: click.Command) -> str:
    """Return the usage and the options of a command as Markdown."""
    arguments = " ".join(param.make_metavar(click.Context(command)) for param in command.params
                         if isinstance(param, click.Argument))
    options = [param for param in command.params if isinstance(param, click.Option)]
    # Where a command follows, its own options must not be taken for ours.
    words = [arguments, "[OPTIONS]" if options else ""]
    usage = words if command.context_settings.get("allow_interspersed_args", True) else words[::-1]
    lines = ["```text", " ".join(word for word in ["sshjobs", name, *usage] if word), "```", ""]
    if options:
        lines += ["| option | meaning |", "|---|---|", *map(_row, options), ""]
    return "\n".join(lines) + "\n"


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if not option.is_flag and not option.count:
        value = "\\|".join(option.type.choices) if isinstance(option.type, click.Choice) else option.metavar
        if option.name == "transport":
            value = "[NAME](transports.md)"
        names += f" {value}"
    meaning = re.sub(r"\s*\[default: (.*)\]$", r" Default: \1.", option.help or "")
    if option.show_default:
        meaning += f" Default: `{option.default}`."
    if option.envvar:
        meaning += f" Also by the environment variable `{option.envvar}`."
    return f"| {names} | {meaning} |".replace("<", "&lt;").replace(">", "&gt;")


def tables(text: str) -> dict[str, str]:
    """Return the tables of a page by the words of their command."""
    return {found["name"]: found["table"] for found in _TABLE.finditer(text)}


def renewed(text: str) -> str:
    """Return the page with its tables as they should be."""
    known = dict(commands())

    def fill(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- options: {name} -->\n{table(name, known[name])}<!-- end -->\n"

    return _TABLE.sub(fill, text)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
