"""``sshjobs version``."""

from __future__ import annotations

import click

from sshjobs import __version__


@click.command("version")
def command() -> None:
    """Print the version."""
    click.echo(f"sshjobs {__version__}")
