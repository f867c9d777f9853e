"""``sshjobs``: finds the command, and turns every error into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import cast

import click

from sshjobs import __version__
from sshjobs.cli.examples import FIRST, with_examples
from sshjobs.cli.failures import complain, explain_unexpected, hush_pipe, watch_threads
from sshjobs.cli.streams import CannotPrintError, code_of
from sshjobs.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, InputError, LocalError, SshjobsError, UsageError
from sshjobs.model.similar import similar

#: Commands in the order of the help: (short help, module). A module is only imported for its command.
COMMANDS = {
    "run": ("Run the jobs of a jobfile on hosts, or on this machine.", "run"),
    "plan": ("Say what of a jobfile is new, changed or done.", "plan"),
    "init": ("Write a jobfile with comments to begin with.", "init"),
    "exec": ("Run one command for many values, and print what it writes.", "exec"),
    "queue": ("Keep a run open for jobs that are added to it.", "queue"),
    "add": ("Put further jobs into a run.", "add"),
    "withdraw": ("Take jobs out of a run that never started.", "withdraw"),
    "status": ("Show where a run and its jobs stand.", "status"),
    "why": ("Say why jobs failed, or what they wait for.", "why"),
    "logs": ("Print what jobs wrote.", "logs"),
    "grep": ("Find lines in what jobs wrote.", "grep"),
    "fetch": ("Fetch files of jobs that were not brought home.", "fetch"),
    "shell": ("Open a shell in the directory of a job.", "shell"),
    "table": ("Show parameters and results of jobs, one row a job.", "table"),
    "report": ("Write what came of a run into one HTML file.", "report"),
    "cancel": ("End jobs, and return when that is proved.", "cancel"),
    "resume": ("Take over a run whose manager is gone, and finish it.", "resume"),
    "retry": ("Try jobs again that ended without success.", "retry"),
    "attach": ("Watch a run that another process manages.", "attach"),
    "notices": ("Show what was to be told of a run, and to whom.", "notices"),
    "wait": ("Return when a run is over, with its exit code.", "wait"),
    "top": ("Look at a run on the whole terminal, and act on it.", "top"),
    "pause": ("Launch nothing more, or stop jobs where they are.", "pause"),
    "unpause": ("Launch again, or let paused jobs go on.", "unpause"),
    "serve": ("Show runs in a browser, and manage them there.", "serve"),
    "ls": ("List the runs.", "ls"),
    "rm": ("Remove runs from the disk.", "rm"),
    "verify": ("Say whether store, files and hosts agree.", "verify"),
    "gc": ("Remove what runs left on hosts and here.", "gc"),
    "hosts": ("Look at hosts, and change those of a run.", "hosts"),
    "cluster": ("Map functions over workers of gearman, ipython, zmq or dask.", "cluster"),
    "simulate": ("Show how long jobs would take on hosts.", "simulate"),
    "config": ("Show your settings, and where each comes from.", "config"),
    "completion": ("Have a shell complete what you type.", "completion_install"),
    "help": ("Explain states, exit codes, the jobfile, JSON.", "help"),
    "man": ("Show manual pages, or write them.", "man"),
    "demo": ("Show in a minute what sshjobs is for.", "demo"),
    "schema": ("Print what a jobfile may say, as JSON Schema.", "schema"),
    "version": ("Print the version.", "version"),
}


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"sshjobs.cli.{COMMANDS[cmd_name][1]}")
        return with_examples(cast(click.Command, module.command), cmd_name)

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word in COMMANDS or word.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = similar(word, COMMANDS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
        if word.endswith((".yaml", ".yml", ".json", ".jsonl")):
            hint = f"did you mean: sshjobs run {word}"
        raise UsageError(f"no command is called '{word}'", hint=hint)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (short, _) in COMMANDS.items()])
        with formatter.section("Examples"):
            formatter.write_text(FIRST)


@click.group(cls=Commands, no_args_is_help=False,
             context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="sshjobs %(version)s")
@click.option("--profile", metavar="NAME", help="Which profile of your settings holds: see sshjobs config.  "
                                                "[env var: SSHJOBS_PROFILE]")
@click.pass_context
def root(context: click.Context, profile: str | None) -> None:
    """Run many jobs on the machines that you can ssh to.

    Exit codes: 0 all is well, 1 some jobs are not done, 2 bad usage or input, 3 no host could be used, 130
    interrupted.
    """
    from sshjobs.cli.profiles import apply

    apply(context, profile)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with its words (``hosts check``)."""
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner, below in command.commands.items():
                yield f"{name} {inner}", below
        else:
            yield name, command


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line and return its exit code. Nothing escapes as a traceback.

    :param argv: the words after ``sshjobs``; ``None`` for those of the process
    """
    _be_tolerant()
    watch_threads()
    try:
        code = _carry_out(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except CannotPrintError as error:
        complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has closed it, as with `| head`.
        return hush_pipe()
    except OSError as error:
        # Where nobody expected it, too: it is this machine, and no mistake of sshjobs.
        complain(str(LocalError.of(error, "this machine refused what is needed", hint="see to that, then try again")))
        return LocalError.exit_code
    except Exception as error:  # noqa: BLE001 (the last resort: a line for the user, all of it for a bug report)
        return explain_unexpected(error)
    return code_of(code)


def _be_tolerant() -> None:
    """Have characters that the terminal's encoding lacks printed escaped, so that they do not end the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _carry_out(words: list[str]) -> int:
    try:
        if os.environ.get("_SSHJOBS_COMPLETE"):
            from sshjobs.cli.completion import prepare

            prepare()
            root.main(words, "sshjobs", complete_var="_SSHJOBS_COMPLETE")
        if not words:
            complain(root.get_help(click.Context(root, info_name="sshjobs")), prefix="")
            return EXIT_USAGE
        with root.make_context("sshjobs", words) as context:
            return int(root.invoke(context) or EXIT_OK)
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return EXIT_INTERRUPTED
    except click.UsageError as error:
        complain(_in_our_words(error))
        return EXIT_USAGE
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except InputError as error:
        complain(str(error), prefix="")
        return error.exit_code
    except SshjobsError as error:
        complain(str(error))
        return error.exit_code


def _in_our_words(error: click.UsageError) -> str:
    text = error.format_message().strip()
    text = text[:1].lower() + text[1:].rstrip(".")
    where = error.ctx.command_path if error.ctx is not None else "sshjobs"
    return f"{text}; see: {where} --help"
