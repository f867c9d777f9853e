"""``sshjobs logs``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sshjobs.cli.options import results_option
from sshjobs.cli.words import named_jobs, run_and_job, say_owner
from sshjobs.errors import EXIT_OK, UsageError, printable


@click.command("logs")
@click.argument("words", metavar="[RUN] JOB", nargs=-1, required=True)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over, whatever attempts it takes.")
@click.option("--stderr", "errors", is_flag=True, help="What it wrote to standard error, not standard output.")
@click.option("--raw", is_flag=True, help="Let control characters through to a terminal.")
@results_option
def command(words: tuple[str, ...], follow: bool, errors: bool, raw: bool, results: Path) -> int:
    """Print what JOB of RUN wrote, byte for byte; the newest run if it is left out.

    JOB may be a pattern such as 'fit-*', or parameters as in 'train[lr=0.1]': what each of several jobs wrote comes
    below a line with its name, as head and tail do it. What the setup of a host wrote is that of 'setup@HOST'.

    On a terminal control characters are shown escaped, so that no output can take it over.
    """
    from sshjobs.cli.follow import Follower, Sink
    from sshjobs.store.named import named_setups
    from sshjobs.store.reader import RunReader

    paths, word = run_and_job(results, words)
    say_owner(paths)
    with RunReader.open(paths) as reader:
        names = [job.name for job in named_setups(reader, word) or named_jobs(reader, [word])]
        if follow and len(names) > 1:
            raise UsageError("one job at a time can be followed", why=f"{len(names):,} jobs match '{word}'",
                             hint="leave --follow out, or name one of them")
        sink = Sink(sys.stdout.buffer, escape=sys.stdout.isatty() and not raw)
        for number, name in enumerate(names):
            if len(names) > 1:
                sink.write(b"\n" * bool(number) + f"==> {printable(name)} <==\n".encode())
            follower = Follower(reader, name, paths.stderr(name) if errors else paths.stdout(name), sink)
            if follow:
                follower.follow()
            else:
                follower.print_all()
    return EXIT_OK
