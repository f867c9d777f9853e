"""``sshjobs grep``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.cli import candidates
from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, LocalError, printable

if TYPE_CHECKING:
    from sshjobs.store.reader import RunReader

#: The two streams of a job, and what stands before their lines.
STREAMS = (("stdout", ""), ("stderr", " (stderr)"))


@click.command("grep")
@click.argument("pattern", metavar="PATTERN")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@click.option("-E", "--regex", is_flag=True, help="PATTERN is a regular expression of Python, not a text.")
@click.option("-i", "--ignore-case", is_flag=True, help="Take capital and small letters for equal.")
@click.option("-l", "--jobs-only", is_flag=True, help="Only the names of the jobs, each once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line that was found.")
@results_option
def command(pattern: str, words: tuple[str, ...], regex: bool, ignore_case: bool, jobs_only: bool, as_json: bool,
            results: Path) -> int:
    """Find lines in what the jobs of RUN wrote, each with the name of its job; in the newest run if it is left out.
    With JOB in these only: a name, a pattern such as 'fit-*', or parameters as in 'train[lr=0.1]'.

    PATTERN is a text that is looked for as it is. Searched are standard output and standard error of the newest
    attempts, and those of setups. A line also ends at a carriage return, and is searched in pieces of 64 KiB. An
    expression (-E) that works on a piece of output without end is given up. The exit code is 1 where nothing is found.
    """
    from sshjobs.cli.words import jobs_of_some_run, named_jobs, say_owner
    from sshjobs.store.leftout import LeftOutReader
    from sshjobs.views.found import Search
    from sshjobs.views.wording import count

    search = Search(pattern, regex=regex, ignore_case=ignore_case)
    paths, names = jobs_of_some_run(results, words)
    say_owner(paths)
    found = trouble = False
    with LeftOutReader.open(paths) as reader:
        left_out = {one.job: one.left_out for one in reader.left_out() if one.newest}
        shortened = 0
        for name in ((job.name for job in named_jobs(reader, names)) if names else _everything(reader)):
            cut = left_out.get(name)
            shortened += cut is not None
            for stream, words_before in STREAMS:
                try:
                    lines = search.lines(paths.job(name) / stream, cut.at if cut and cut.of(stream) else None)
                    for line in lines:
                        found = True
                        _print(name, stream, words_before, line, as_json=as_json, jobs_only=jobs_only)
                        if jobs_only:
                            break
                    else:
                        continue
                    break
                except OSError as error:
                    trouble = True
                    complain(str(LocalError.of(error, "an output cannot be searched")))
    if shortened:
        complain(f"of {count(shortened, 'job')} only the beginning and the end of the output are there to be searched "
                 "(output_limit)")
    return EXIT_OK if found and not trouble else EXIT_JOBS_FAILED


def _everything(reader: RunReader) -> Iterator[str]:
    """Yield the names of all that has outputs."""
    from sshjobs.store.setups import as_job

    for job in reader.jobs():
        yield job.name
    for setup in reader.setups():
        yield as_job(setup).name


def _print(name: str, stream: str, words: str, line: bytes, *, as_json: bool, jobs_only: bool) -> None:
    if as_json:
        text = json.dumps({"job": name} if jobs_only else {
            "job": name, "stream": stream, "text": line.decode("utf-8", "backslashreplace")})
        click.echo(text)
    elif jobs_only:
        click.echo(printable(name))
    else:
        out, before = sys.stdout.buffer, f"{printable(name)}{words}: ".encode()
        if sys.stdout.isatty():
            from sshjobs.cli.screen import colours_wanted
            from sshjobs.views.terminaltext import TerminalText

            line = TerminalText(colours=colours_wanted()).feed(line, final=True).encode("utf-8", "backslashreplace")
        out.write(before + line + b"\n")
