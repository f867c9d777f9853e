"""``sshjobs version``."""

from __future__ import annotations

import click

from sshjobs import __version__


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        import json

        from sshjobs.cli.jsonforms import VERSION

        click.echo(json.dumps({"version": __version__, "json": VERSION}))
    else:
        click.echo(f"sshjobs {__version__}")
