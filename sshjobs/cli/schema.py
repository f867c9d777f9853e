"""``sshjobs schema``."""

from __future__ import annotations

import json
from typing import Any

import click

from sshjobs.errors import EXIT_OK, UsageError
from sshjobs.model.similar import similar


@click.command("schema")
@click.argument("words", metavar="[COMMAND]", nargs=-1)
def command(words: tuple[str, ...]) -> int:
    """Print the JSON Schema of jobfiles, by which editors complete, explain and check what is typed.

    With COMMAND the schema of what that prints with --json: of a line where it prints several.
    """
    click.echo(json.dumps(_jobfile() if not words else _output(" ".join(words)), indent=2))
    return EXIT_OK


def _jobfile() -> dict[str, Any]:
    from sshjobs.inputs.jobmodel import jobfile_schema

    return jobfile_schema()


def _output(name: str) -> dict[str, Any]:
    from sshjobs.cli.jsonforms import FORMS, schema_of

    if name not in FORMS:
        near = similar(name, FORMS, 1, 0.6)
        raise UsageError(f"'{name}' prints no JSON", hint=f"did you mean {near[0]}?" if near else
                         f"these do: {', '.join(FORMS)}")
    return schema_of(name)
