"""``sshjobs logs``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import results_option
from sshjobs.cli.words import named_jobs, run_and_job, say_owner
from sshjobs.errors import EXIT_OK, UsageError, printable

#: Most jobs that can be followed at a time: each has a file open.
MOST_FOLLOWED = 100


@click.command("logs")
@click.argument("words", metavar="[RUN] JOB", shell_complete=candidates.jobs, nargs=-1, required=True)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over, whatever attempts it takes.")
@click.option("-n", "--tail", type=click.IntRange(0), metavar="N", help="Only the last N lines.")
@click.option("--tag", is_flag=True, help="Begin each line with the name of its job. Always so where several are "
                                          "followed.")
@click.option("--stderr", "errors", is_flag=True, help="What it wrote to standard error, not standard output.")
@click.option("--raw", is_flag=True, help="Its bytes, also on a terminal: control characters and all.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line that it wrote.")
@results_option
def command(words: tuple[str, ...], follow: bool, tail: int | None, tag: bool, errors: bool, raw: bool,
            as_json: bool, results: Path) -> int:
    """Print what JOB of RUN wrote, byte for byte; the newest run if it is left out.

    JOB may be a pattern such as 'fit-*', or parameters as in 'train[lr=0.1]': what each of several jobs wrote comes
    below a line with its name, as head and tail do it; with --tag the name is before each line. What the setup of a
    host wrote is that of 'setup@HOST'.

    On a terminal lines are shown as they would stand there in the end: a progress bar in its last state, colours
    (not with NO_COLOR), and nothing else of what could take the terminal over.

    Of a job with an output_limit the beginning and the end of its output are kept. How much was left out between
    them, and where, is said on standard error, and what is printed stays byte for byte what was kept. Its end comes
    when the job is over.
    """
    from sshjobs.cli.follow import Follower
    from sshjobs.cli.follow import follow as follow_all
    from sshjobs.cli.screen import obeys
    from sshjobs.cli.shown import Documents, Output, shown
    from sshjobs.store.named import named_setups
    from sshjobs.store.reader import RunReader

    if as_json and (tag or raw):
        raise UsageError("--json prints objects, each with the name of its job", hint="leave --tag and --raw out")
    paths, word = run_and_job(results, words)
    say_owner(paths)
    terminal = sys.stdout.isatty() and not raw
    live = (lambda: shutil.get_terminal_size().columns) if follow and terminal and obeys() else None
    with RunReader.open(paths) as reader:
        names = [job.name for job in named_setups(reader, word) or named_jobs(reader, [word])]
        several = len(names) > 1
        if follow and len(names) > MOST_FOLLOWED:
            raise UsageError(f"{MOST_FOLLOWED} jobs at a time can be followed", why=f"{len(names):,} match '{word}'",
                             hint="leave --follow out, or name fewer of them")
        tag = tag or (follow and several and not as_json)
        width = max(map(len, map(printable, names))) if tag else 0

        def follower(name: str) -> Follower:
            path = paths.stderr(name) if errors else paths.stdout(name)
            output = Output(name, path.name)
            sink = Documents(sys.stdout.buffer, output) if as_json else shown(
                sys.stdout.buffer, output, terminal=terminal, live=live,
                tag=f"{printable(name):{width}} | " if tag else "")
            return Follower(reader, name, path, sink, tail=tail)

        if follow:
            follow_all([follower(name) for name in names])
            return EXIT_OK
        for number, name in enumerate(names):
            if several and not tag and not as_json:
                sys.stdout.buffer.write(b"\n" * bool(number) + f"==> {printable(name)} <==\n".encode())
            follower(name).print_all()
    return EXIT_OK
