"""``sshjobs init``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from sshjobs.errors import EXIT_OK, LocalError, UsageError, printable


@click.command("init")
@click.argument("file", metavar="[FILE]", type=click.Path(path_type=Path), default=Path("jobs.yaml"))
def command(file: Path) -> int:
    """Write a jobfile with comments to begin with: FILE, or jobs.yaml. Nothing is asked, and nothing overwritten."""
    from sshjobs.inputs.beginning import beginning

    if file.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        raise UsageError("JSON has no comments", where=str(file), hint="name the file jobs.yaml")
    shown = shlex.quote(printable(file))
    _write(file, beginning(shlex.quote(printable(file.name))).encode())
    click.echo(f"{shown} is written; edit it, then: sshjobs run {shown} --dry-run")
    return EXIT_OK


def _write(file: Path, data: bytes) -> None:
    """Write a file that is not there yet, whole or not at all.

    :raises UsageError: something is there
    :raises LocalError: it cannot be written
    """
    try:
        # A link that leads nowhere is something, too: nobody knows where it was to lead.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise UsageError("there is such a file already, and it is left as it is", where=str(file),
                         hint="name another: sshjobs init FILE") from None
    except (OSError, ValueError) as error:
        raise _cannot(error, file) from None
    try:
        with open(descriptor, "wb") as writing:
            writing.write(data)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise _cannot(error, file) from None


def _cannot(error: OSError | ValueError, file: Path) -> LocalError:
    why = error.strerror if isinstance(error, OSError) else "a NUL byte in its name"
    return LocalError("it cannot be written", where=str(file), why=why, hint="name another: sshjobs init FILE")
