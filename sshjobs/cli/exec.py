"""``sshjobs exec``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import (
    accepts_new_keys,
    hosts_of,
    hosts_option,
    manners_option,
    network_options,
    output_options,
    results_option,
)
from sshjobs.cli.printing import Tags, check_printing, printing_options
from sshjobs.cli.profiles import telling
from sshjobs.cli.standardinput import StandardInput
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, UsageError, printable
from sshjobs.model.spec import JobSpec

if TYPE_CHECKING:
    from sshjobs.inputs.arguments import Arguments
    from sshjobs.inputs.expansion import Expansion

#: What the run is called, with a number.
STEM = "exec"


class _Exec(click.Command):
    """Leads those who write an option of another program to ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from sshjobs.cli.foreign_options import foreign_option

            known = foreign_option(error.option_name)
            if known is None:
                raise
            raise UsageError(f"{error.option_name} is an option of {known.program}, and none of sshjobs exec",
                             hint=known.advice) from None
        except click.BadParameter as error:
            if error.param is None or error.param.name != "slots":
                raise
            raise UsageError("-j takes a number of jobs for each host, and nothing else",
                             hint="leave it out for as many as a host has cores") from None


@click.command("exec", cls=_Exec, context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="COMMAND… [::: VALUE…]…", nargs=-1, type=click.UNPROCESSED)
@hosts_option(groups=True)
@results_option
@click.option("--name", metavar="NAME", help="Name of the run.  [default: exec-<n>]")
@network_options
@manners_option
@click.option("-a", "--arg-file", "files_of_values", multiple=True, metavar="FILE",
              help="A file of values, one a line; may be repeated. The same as :::: FILE.")
@click.option("-0", "--null", "nul", is_flag=True, help="Values that are read end with a NUL byte, not with the line.")
@click.option("-C", "--colsep", "columns", metavar="REGEX", help="Split each value where this matches, for {1}, {2}, …")
@click.option("--csv", is_flag=True,
              help='Each value is a row of CSV, split at , or what --colsep says; "…" keeps a column together.')
@click.option("--header", metavar=":", help="With : the first row names the columns: {name} stands for its value.")
@click.option("--send", "send", multiple=True, metavar="PATH",
              help="File or directory to send for each job, with placeholders: --send {}.")
@click.option("--stdin", metavar="PATH",
              help="File that each job reads as standard input, with placeholders; - for what comes in here.")
@click.option("--env", multiple=True, metavar="NAME[=VALUE]",
              help="Environment variable of the jobs, with placeholders; without a value, as it is here: HOME or "
                   "LANG,TZ. May be repeated.")
@click.option("--cwd", metavar="DIR", help="Directory on the host to run in, with placeholders.")
@click.option("--timeout", metavar="TIME", help="When a job is ended: 90, 1s, 2h30m.")
@click.option("--lease", metavar="TIME",
              help="How long a job may run on while no manager is heard of, before it may run elsewhere: 30m.  "
                   "[default: it waits for its host]")
@click.option("--output-limit", metavar="SIZE",
              help="How much of each output is kept, half from its beginning and half from its end: 64K, 10M.  "
                   "[default: all]")
@click.option("--retries", type=int, default=0, metavar="N", help="How often a job that failed is tried again.")
@click.option("--nice", type=int, default=0, metavar="N", help="What to add to the niceness of the jobs, 0 to 19.")
@click.option("--strict", is_flag=True, help="End a line at the first command that fails (bash -e -o pipefail).")
@click.option("-x", "--exclude", "unwanted", multiple=True, metavar="HOSTS",
              help="Hosts to leave out: names, ranges, globs, tags or @NAME; may be repeated.")
@click.option("--per-host", is_flag=True, help="Run each job once on every host.")
@click.option("--fail-fast", is_flag=True, help="When a job fails, cancel the others.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the lines that would run, and start nothing.")
@click.option("--no-tag", is_flag=True,
              help="With --per-host, print outputs as they are: no HOST: before each line, nothing folded.")
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

    output, tagged = _printing(options)
    chosen = hosts_of(hosts) or EMBEDDED
    if options["unwanted"]:
        from sshjobs.inputs.hostchoice import leave_out

        chosen = leave_out(chosen, options["unwanted"])
    if options["per_host"] and chosen == EMBEDDED and not hosts:
        complain("no hosts are named, so that is this machine alone; name some: --hosts h1,h2, or SSHJOBS_HOSTS")
    settings = {key: options[key] for key in ("results", "name", "ssh_config", "transport")}
    standard_input = StandardInput(given=options["stdin"] == "-")
    arguments, expansion = _expansion(words, len(chosen), standard_input, options)
    if options["dry_run"]:
        from sshjobs.cli.dryrun import check

        check(**settings)
        _print(expansion.lines())
        return EXIT_OK
    tags: list[str] = []
    specs = list(expansion.specs((lambda values: tags.append(" ".join(values))) if tagged else None))
    if not specs:
        complain("there are no values, so nothing was run")
        return EXIT_OK
    from sshjobs.network.transport.early import connecting

    with connecting(chosen, options["transport"], options["ssh_config"], accept_new=accepts_new_keys()):
        # To load these takes as long as a quick login.
        from sshjobs.cli.carry import carry
        from sshjobs.running.run import Run

        code = carry(lambda view: Run.create(specs, chosen, stem=STEM, slots=options["slots"],
                                             fail_fast=options["fail_fast"], stdin=standard_input.for_jobs(),
                                             accept_new_host_keys=accepts_new_keys(),
                                             telling=telling(), listener=view, **settings),
                     quiet=options["quiet"], as_json=options["as_json"], verbose=options["verbose"], output=output,
                     raw=options["raw"], tags=_tags(tags, options), folded=_is_folded(options),
                     host_of=_host_of if options["per_host"] else None)
    if code == EXIT_JOBS_FAILED and not options["as_json"]:
        _tell_what_was_not_sent(specs[0])
    return code


def _tell_what_was_not_sent(spec: JobSpec) -> None:
    """Say that a job may have failed for want of a file that its command names."""
    from sshjobs.inputs.notsent import named_and_not_sent

    missing = named_and_not_sent(spec)
    if missing:
        complain(f"{missing[0]} lies here and was not sent; if the jobs need it: --send {shlex.quote(missing[0])}")


def _printing(options: dict[str, Any]) -> tuple[str, bool]:
    """Return how outputs are printed, and whether with tags."""
    given, ordered = options["output"], options["keep_order"]
    if ordered and given not in (None, "ordered"):
        raise UsageError(f"-k is --output ordered, and --output {given} was said too", hint="leave one out")
    output = given or ("ordered" if ordered else "none" if options["as_json"] else "grouped")
    check_printing(output, tag=options["tag"], as_json=options["as_json"])
    return output, options["tag"]


def _tags(values: Sequence[str], options: dict[str, Any]) -> Tags | None:
    """Return what lines of outputs begin with: what ``--tag`` wants, or the host where each has the job."""
    if options["tag"]:
        return Tags(lambda name: _tag(name, values))
    if options["per_host"] and not options["no_tag"] and not _is_folded(options):
        return Tags(_host_of, b": ", whole_lines=True)
    return None


def _host_of(name: str) -> str:
    """Return the host of a job, where each has it: no name of a command holds an @."""
    return name.partition("@")[2]


def _is_folded(options: dict[str, Any]) -> bool:
    """Tell whether equal outputs are put together: where each host has the job and a person looks on."""
    plain = options["output"] is None and not any(options[key] for key in ("keep_order", "tag", "no_tag", "as_json"))
    return bool(options["per_host"] and plain and sys.stdout.isatty())


def _expansion(words: Sequence[str], hosts: int, standard_input: StandardInput,
               options: dict[str, Any]) -> tuple[Arguments, Expansion]:
    from sshjobs.inputs.arguments import Arguments, Source, split_words
    from sshjobs.inputs.expansion import Expansion

    command, sources = split_words(words, [Source(file=file) for file in options["files_of_values"]])
    if not "".join(command).strip():
        raise UsageError("there is no command", hint="write: sshjobs exec -- COMMAND ::: VALUE…; where the values "
                                                     "are commands: sshjobs exec -- bash -c {} < FILE")
    if options["header"] not in (None, ":"):
        raise UsageError(f"--header takes : and nothing else, not {options['header'][:60]!r}", hint="write --header :")
    env, inherited = _environment(options["env"])
    given = None if options["stdin"] == "-" else options["stdin"]
    if not sources:
        texts = [*command, *options["send"], *env.values(), *(one for one in (given, options["cwd"]) if one)]
        sources = standard_input.sources(wanted=_has_placeholders(texts) or options["header"] is not None,
                                         per_host=options["per_host"])
    standard_input.check(sources)
    arguments = Arguments(sources, nul=options["nul"], columns=options["columns"], quoted=options["csv"],
                          header=options["header"] is not None, hosts=hosts if options["per_host"] else 1)
    return arguments, Expansion(command, arguments, _prototype({**inherited, **env}, options),
                                files=options["send"], stdin=given, cwd=options["cwd"], env=env)


def _has_placeholders(texts: Iterable[str]) -> bool:
    from sshjobs.inputs.placeholders import TextTemplate

    return any(TextTemplate(text).placeholders for text in texts)


def _environment(given: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables that ``--env`` gives values, which may hold placeholders, and those that are as here."""
    assigned, inherited = {}, {}
    for text in given:
        name, has_value, value = text.partition("=")
        if has_value:
            assigned[name] = value
            continue
        for one in text.split(","):
            if one not in os.environ:
                raise UsageError(f"--env {one}: there is no such variable here", hint=f"write --env {one}=VALUE")
            inherited[one] = os.environ[one]
    return assigned, inherited


def _prototype(env: Mapping[str, str], options: dict[str, Any]) -> JobSpec:
    """Return what all jobs have in common."""
    checked = ("cwd", "timeout", "lease", "output_limit", "retries", "nice")
    common = {key: options[key] for key in (*checked, "strict", "per_host")}
    if not env and all(options[key] in (None, 0) for key in checked):
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
