"""``sshjobs exec``."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import hosts_of, network_options, output_options, results_option
from sshjobs.cli.printing import check_printing, printing_options
from sshjobs.errors import EXIT_OK, UsageError, printable
from sshjobs.model.spec import JobSpec

if TYPE_CHECKING:
    from sshjobs.inputs.arguments import Arguments, Source
    from sshjobs.inputs.expansion import Expansion

#: What the run is called, with a number.
STEM = "exec"


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="COMMAND… [::: VALUE…]…", nargs=-1, type=click.UNPROCESSED)
@click.option("--hosts", multiple=True, metavar="HOSTS",
              help="A hosts file, or a list such as h1,node[01-16]; may be repeated.  [default: this machine]")
@results_option
@click.option("--name", metavar="NAME", help="Name of the run.  [default: exec-<n>]")
@network_options
@click.option("-a", "--arg-file", "files_of_values", multiple=True, metavar="FILE",
              help="A file of values, one a line; may be repeated. The same as :::: FILE.")
@click.option("-0", "--null", "nul", is_flag=True, help="Values that are read end with a NUL byte, not with the line.")
@click.option("-C", "--colsep", "columns", metavar="REGEX", help="Split each value where this matches, for {1}, {2}, …")
@click.option("--send", "send", multiple=True, metavar="PATH",
              help="File or directory to send for each job, with placeholders: --send {}.")
@click.option("--stdin", metavar="PATH", help="File that each job reads as standard input, with placeholders.")
@click.option("--env", multiple=True, metavar="NAME[=VALUE]",
              help="Environment variable of the jobs; without a value, as it is here. May be repeated.")
@click.option("--cwd", metavar="DIR", help="Directory on the host to run in.")
@click.option("--timeout", metavar="TIME", help="When a job is ended: 90, 1s, 2h30m.")
@click.option("--lease", metavar="TIME",
              help="How long a job may run on while no manager is heard of, before it may run elsewhere: 30m.  "
                   "[default: it waits for its host]")
@click.option("--retries", type=int, default=0, metavar="N", help="How often a job that failed is tried again.")
@click.option("--nice", type=int, default=0, metavar="N", help="What to add to the niceness of the jobs, 0 to 19.")
@click.option("--strict", is_flag=True, help="End a line at the first command that fails (bash -e -o pipefail).")
@click.option("--per-host", is_flag=True, help="Run each job once on every host.")
@click.option("--fail-fast", is_flag=True, help="When a job fails, cancel the others.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the lines that would run, and start nothing.")
@click.option("-k", "--keep-order", is_flag=True, help="The same as --output ordered.")
@printing_options("grouped")
@output_options
def command(words: tuple[str, ...], hosts: tuple[str, ...], **options: Any) -> int:
    """Run COMMAND once for each value, and print what that writes.

    One word is a line of shell, several words are a program and its arguments. {} stands for the value, {1} {2} for
    those of several sources, {.} {/} {//} {/.} for parts of a path, {#} for the number of the job. Values come
    after :::, from files after ::::, or else from standard input, one a line.
    """
    configure(options["verbose"])
    from sshjobs.running.forms import EMBEDDED
    from sshjobs.running.run import Run

    output, tag = _printing(options)
    chosen = hosts_of(hosts) or EMBEDDED
    arguments, expansion = _expansion(words, len(chosen), options)
    settings = {key: options[key] for key in ("results", "name", "ssh_config", "transport")}
    if options["dry_run"]:
        from sshjobs.cli.plan import check

        check(**settings)
        _print(expansion.lines())
        return EXIT_OK
    tags: list[str] = []
    specs = list(expansion.specs((lambda values: tags.append(" ".join(values))) if tag else None))
    if not specs:
        complain("there are no values, so nothing was run")
        return EXIT_OK
    from sshjobs.cli.carry import carry

    return carry(lambda view: Run.create(specs, chosen, stem=STEM, slots=options["slots"],
                                         fail_fast=options["fail_fast"], listener=view, **settings),
                 quiet=options["quiet"], as_json=options["as_json"], verbose=options["verbose"], output=output,
                 raw=options["raw"], tag=(lambda name: _tag(name, tags)) if tag else None)


def _printing(options: dict[str, Any]) -> tuple[str, bool]:
    """Return how outputs are printed, and whether with tags."""
    given, ordered = options["output"], options["keep_order"]
    if ordered and given not in (None, "ordered"):
        raise UsageError(f"-k is --output ordered, and --output {given} was said too", hint="leave one out")
    output = given or ("ordered" if ordered else "none" if options["as_json"] else "grouped")
    check_printing(output, tag=options["tag"], as_json=options["as_json"])
    return output, options["tag"]


def _expansion(words: Sequence[str], hosts: int, options: dict[str, Any]) -> tuple[Arguments, Expansion]:
    from sshjobs.inputs.arguments import Arguments, Source, split_words
    from sshjobs.inputs.expansion import Expansion

    command, sources = split_words(words, [Source(file=file) for file in options["files_of_values"]])
    if not "".join(command).strip():
        raise UsageError("there is no command", hint="write: sshjobs exec -- COMMAND ::: VALUE…; where the values "
                                                     "are commands: sshjobs exec -- bash -c {} < FILE")
    if not sources:
        sources = _standard_input(command, options["per_host"])
    arguments = Arguments(sources, nul=options["nul"], columns=options["columns"],
                          hosts=hosts if options["per_host"] else 1)
    return arguments, Expansion(command, arguments, _prototype(options), files=options["send"], stdin=options["stdin"])


def _standard_input(command: Sequence[str], per_host: bool) -> list[Source]:
    """Return the source that is meant where none is named: standard input, or none for a command that stands alone."""
    from sshjobs.inputs.arguments import Source
    from sshjobs.inputs.placeholders import TextTemplate

    wants = any(TextTemplate(word).placeholders for word in command)
    if wants and sys.stdin.isatty():
        complain("reading values from the terminal, one a line; Ctrl-D ends them")
    return [Source(file="-")] if wants or (not per_host and _brings_values()) else []


def _brings_values() -> bool:
    """Tell whether standard input is a file or a pipe: no terminal, and not /dev/null."""
    try:
        return not stat.S_ISCHR(os.fstat(0).st_mode)
    except OSError:
        return False


def _prototype(options: dict[str, Any]) -> JobSpec:
    """Return what all jobs have in common."""
    env = {}
    for text in options["env"]:
        name, given, value = text.partition("=")
        if not given and name not in os.environ:
            raise UsageError(f"--env {name}: there is no such variable here", hint=f"write --env {name}=VALUE")
        env[name] = value if given else os.environ[name]
    common = {key: options[key] for key in ("cwd", "timeout", "lease", "retries", "nice", "strict", "per_host")}
    if not env and all(options[key] in (None, 0) for key in ("cwd", "timeout", "lease", "retries", "nice")):
        # Nothing that needs a check: what checks it takes as long to load as all else.
        return JobSpec(argv=["true"], strict=options["strict"], per_host=options["per_host"], base_dir=os.getcwd())
    from sshjobs.inputs.builder import Builder

    return Builder().AddJob(argv=["true"], env=env, **common).MakeJobSpecs()[0]


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        if sys.stdout.isatty():
            click.echo(printable(line))
        else:
            click.echo(line.encode("utf-8", "surrogateescape"))


def _tag(name: str, values: Sequence[str]) -> str:
    """Return what lines of a job begin with: its values, after its host where each host has the job.

    :param values: of each job, in their order
    """
    job, at, host = name.partition("@")
    number = job.partition("-")[0]
    return " ".join([*([host] if at else []), *([values[int(number) - 1]] if number.isdigit() else [])])
