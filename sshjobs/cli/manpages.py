"""Manual pages, made from the commands themselves: what ``--help`` says, as ``man`` reads it."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator

import click

from sshjobs import __version__
from sshjobs.cli.app import COMMANDS, commands, root
from sshjobs.cli.examples import EXAMPLES
from sshjobs.cli.topics import EXIT_CODES
from sshjobs.errors import EXIT_OK, UsageError


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name of each page, such as ``sshjobs-run``, and its text."""
    yield "sshjobs", page("")
    for name, _ in commands():
        yield f"sshjobs-{name.replace(' ', '-')}", page(name)


def page(name: str) -> str:
    """Return the page of a command by its words; of none, that of sshjobs itself.

    :raises UsageError: there is no such command
    """
    if not name:
        return _overview()
    command = dict(commands()).get(name)
    if command is None:
        raise UsageError(f"there is no page on '{name}'", hint="see: sshjobs --help")
    context = click.Context(command, info_name=f"sshjobs {name}", help_option_names=["-h", "--help"])
    usage = " ".join(command.collect_usage_pieces(context))
    title = f"sshjobs-{name.replace(' ', '-')}"
    first, *rest = _paragraphs(command.help or "")
    lines = [*_head(title, first), ".SH SYNOPSIS", _bold(f"sshjobs {name}"), _text(usage), ".SH DESCRIPTION"]
    lines += _joined([first, *rest])
    options = [record for param in command.get_params(context)
               if isinstance(param, click.Option) and (record := param.get_help_record(context))]
    if options:
        lines.append(".SH OPTIONS")
        for words, about in options:
            lines += [".TP", _bold(words), _text(about)]
    if name in EXAMPLES:
        lines += [".SH EXAMPLES", *_examples(name)]
    return "\n".join([*lines, ".SH SEE ALSO", ".BR sshjobs (1)", ""])


def _overview() -> str:
    first, *rest = _paragraphs(root.help or "")
    lines = [*_head("sshjobs", first), ".SH SYNOPSIS", _bold("sshjobs"), r"COMMAND [OPTIONS] [ARGS]\&...",
             ".SH DESCRIPTION", *_joined([first, *rest]), ".SH COMMANDS"]
    for name, (short, _) in COMMANDS.items():
        lines += [".TP", _bold(name), _text(short)]
    lines.append(".SH EXIT STATUS")
    for code, about in EXIT_CODES.items():
        lines += [".TP", _bold(code), _text(about)]
    return "\n".join([*lines, ".SH SEE ALSO", ".BR sshjobs-run (1),", ".BR ssh (1)", ""])


def _head(title: str, about: str) -> list[str]:
    # No date: the same version gives the same page.
    short = _text(re.split(r"(?<=[^.])[.;:](?: |$)", about)[0])
    return [f'.TH "{title.upper()}" "1" "" "sshjobs {__version__}" "sshjobs"', ".SH NAME", rf"{title} \- {short}"]


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(text).replace("\b", "").split("\n\n") if part.strip()]


def _joined(paragraphs: Iterable[str]) -> Iterator[str]:
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield _text(paragraph)


def _examples(name: str) -> Iterator[str]:
    for line, about in EXAMPLES[name]:
        yield from (".TP", _bold(line), _text(about) or r"\&")


def _bold(text: str) -> str:
    return rf"\fB{_text(text)}\fR"


def _text(text: str) -> str:
    """Return a text in which roff finds nothing to obey."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    text = text.replace("^", r"\(ha").replace("~", r"\(ti")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def show(text: str) -> int:
    """Show a page on a terminal by ``man``; elsewhere print it."""
    man = shutil.which("man")
    if man is None or not sys.stdout.isatty():
        click.echo(text, nl=False)
        return EXIT_OK
    with tempfile.NamedTemporaryFile("w", suffix=".1", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return subprocess.run([man, "-l", os.path.abspath(file.name)], check=False).returncode and 1
