"""``sshjobs schema``."""

from __future__ import annotations

import click

from sshjobs.errors import EXIT_OK


@click.command("schema")
def command() -> int:
    """Print the JSON Schema of jobfiles, by which editors complete, explain and check what is typed."""
    import json

    from sshjobs.inputs.jobmodel import jobfile_schema

    click.echo(json.dumps(jobfile_schema(), indent=2))
    return EXIT_OK
