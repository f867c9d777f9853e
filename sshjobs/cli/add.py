"""``sshjobs add``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.cli.answers import answer, json_option
from sshjobs.cli.options import max_jobs_option, results_option
from sshjobs.cli.words import handle, open_run
from sshjobs.errors import EXIT_OK, UsageError
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths, find_run
from sshjobs.views.acts import span
from sshjobs.views.wording import count

if TYPE_CHECKING:
    from sshjobs.model.spec import JobSpec

_COMMAND = "sshjobs.command"


class _Split(click.Command):
    """Keeps what follows ``--`` apart: it is a command, not arguments of ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[at + 1:] if at < len(args) else None
        return super().parse_args(ctx, args[:at])


@click.command("add", cls=_Split)
@click.argument("words", metavar="[RUN] JOBFILE | [RUN] -- COMMAND...", nargs=-1)
@click.option("--name", metavar="NAME", help="Name of the job that runs COMMAND.  [default: job]")
@max_jobs_option
@json_option
@results_option
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...], name: str | None, max_jobs: int, as_json: bool,
            results: Path) -> int:
    """Put further jobs into RUN; into the newest run that is not over if it is left out.

    They are those of JOBFILE (- is standard input), or one that runs COMMAND: one word is a line of shell, several
    words are a program and its arguments. In a run that nobody manages at present they wait.
    """
    said: list[str] | None = ctx.meta[_COMMAND]
    if said is None:
        if not 1 <= len(words) <= 2:
            raise UsageError("name one jobfile, or a command after --", hint="see: sshjobs add --help")
        if name is not None:
            raise UsageError("--name is for a command; the jobs of a jobfile have their names there")
        run = words[0] if len(words) == 2 else None
        paths = open_run(results) if run is None else find_run(results, run)
        specs = _read(words[-1], paths, max_jobs)
    else:
        if len(words) > 1:
            raise UsageError("before -- there is one run at most", why=f"got {', '.join(words)}")
        specs, run = _make(said, name), words[0] if words else None
        paths = open_run(results) if run is None else find_run(results, run)
    from sshjobs.model.template import packed
    from sshjobs.running.unattended import carry_out

    told, live = carry_out(paths, {"do": "add", "specs": packed(specs)})
    added = told["jobs"]
    names = f": {span(added[0], added[-1], len(added))}" if added else ""
    answer(f"added {count(len(added), 'job')} to {paths.name}{names}",
           {"run": paths.name, "attended": live, "jobs": added}, as_json=as_json)
    if not live and not as_json:
        click.echo(f"nobody manages {paths.name} at present; to run them: sshjobs resume {handle(paths)}")
    return EXIT_OK


def _read(jobfile: str, paths: RunPaths, max_jobs: int) -> list[JobSpec]:
    from sshjobs.inputs.source import read_input
    from sshjobs.inputs.yamlevents import MAX_BYTES
    from sshjobs.running.forms import jobs_of_file

    data = sys.stdin.buffer.read(MAX_BYTES + 1) if jobfile == "-" else read_input(jobfile, MAX_BYTES)
    with RunReader.open(paths) as reader:
        jobs = jobs_of_file(jobfile, data, reader.entries(), max_jobs=max_jobs)
        return jobs.for_a_run_that_is_there()


def _make(words: list[str], name: str | None) -> list[JobSpec]:
    from sshjobs.inputs.builder import Builder

    if not "".join(words).strip():
        raise UsageError("there is no command after --", hint="write: sshjobs add -- COMMAND")
    if len(words) == 1:
        return Builder().AddJob(words[0], name=name, strict=False).MakeJobSpecs()
    return Builder().AddJob(argv=words, name=name).MakeJobSpecs()
