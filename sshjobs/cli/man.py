"""``sshjobs man``."""

from __future__ import annotations

from pathlib import Path

import click

from sshjobs.errors import EXIT_OK, LocalError, UsageError, printable


@click.command("man")
@click.argument("words", metavar="[COMMAND]", nargs=-1)
@click.option("--to", metavar="DIR", type=click.Path(path_type=Path), help="Write all pages into DIR, one file each.")
def command(words: tuple[str, ...], to: Path | None) -> int:
    """Show the manual page of COMMAND, or of sshjobs itself. They are made from the same source as --help.

    On a terminal it is shown by man, where that is installed; else it is printed as man reads it.
    """
    from sshjobs.cli.manpages import page, pages, show

    if to is not None:
        if words:
            raise UsageError("--to writes all pages", hint="leave the command out")
        try:
            to.mkdir(parents=True, exist_ok=True)
            written = 0
            for name, text in pages():
                (to / f"{name}.1").write_text(text, encoding="utf-8")
                written += 1
        except OSError as error:
            raise LocalError.of(error, "the pages cannot be written") from error
        click.echo(printable(f"wrote {written} pages into {to}"))
        return EXIT_OK
    return show(page(" ".join(words)))
