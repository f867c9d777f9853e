"""Options and view of commands that print what jobs write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar, cast

import click

from sshjobs.cli.failures import complain
from sshjobs.cli.follow import Sink
from sshjobs.cli.screen import redraws, still
from sshjobs.cli.streams import write_all
from sshjobs.cli.words import handle
from sshjobs.errors import UsageError
from sshjobs.views.base import Output, View

if TYPE_CHECKING:
    from sshjobs.views.ticker import Ticker

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: What ``--output`` takes. A test compares it with ``sshjobs.views.output.WAYS``.
OUTPUTS = ("none", "grouped", "ordered", "line")


def printing_options(default: str) -> Callable[[_Function], _Function]:
    """Add ``--output``, ``--tag`` and ``--raw``.

    :param default: the value of ``--output`` where it is left out, for the help
    """
    def add(function: _Function) -> _Function:
        function = click.option("--raw", is_flag=True,
                                help="Let control characters of outputs through to a terminal.")(function)
        function = click.option("--tag", is_flag=True,
                                help="Begin each line of an output with what it is of.")(function)
        return click.option(
            "--output", type=click.Choice(OUTPUTS),
            help="Print outputs whole as jobs end (grouped), whole and in the order of the jobs (ordered), line by "
                 f"line as they come (line), or not at all (none).  [default: {default}]")(function)
    return add


def check_printing(output: str, *, tag: bool, as_json: bool) -> None:
    """Make sure that what was asked for goes together.

    :raises UsageError: it does not
    """
    if as_json and output != "none":
        raise UsageError("--json prints events, and no outputs", hint="leave out --output, or --json")
    if tag and output == "none":
        raise UsageError("--tag belongs to lines of outputs, and none are printed", hint="say --output too")


class Tags(NamedTuple):
    """What lines of outputs begin with.

    :ivar of: returns it for a job
    :ivar between: what stands between it and the line
    :ivar whole_lines: the last line of each output is ended, too
    """

    of: Callable[[str], str]
    between: bytes = b"\t"
    whole_lines: bool = False


def outputs_view(output: str, tags: Tags | None, *, raw: bool, verbose: int, quiet: bool, folded: bool = False,
                 host_of: Callable[[str], str] | None = None) -> View:
    """Return a view that prints outputs on our own streams, and all else on standard error.

    :param verbose: what there is to say of jobs that do well, too
    :param quiet: no ticker
    :param folded: print equal outputs once, under their hosts
    :param host_of: returns the one host that a job may run on, where each has one
    """
    from sshjobs.views.lines import Lines
    from sshjobs.views.output import Layout, OutputsView
    from sshjobs.views.perhost import Folded

    sinks = [Sink(cast(BinaryIO, _Raw(stream.fileno())), escape=stream.isatty() and not raw)
             for stream in (sys.stdout, sys.stderr)]
    messages = Lines(Output(sys.stderr, complain), handle=handle, quiet=not verbose, verbose=verbose > 1, brief=True,
                     host_of=host_of, still=None if quiet else still())
    return OutputsView((sinks[0], sinks[1]), messages, complain, way=output,
                       layout=Layout(*tags) if tags else Layout(whole_lines=folded), printer=Folded if folded else None,
                       ticker=None if quiet or verbose else _ticker())


def _ticker() -> Ticker | None:
    """Return a ticker where standard error is a terminal on which a line can be written over."""
    if not redraws(sys.stderr):
        return None
    import shutil

    from sshjobs.views.ticker import Ticker

    output = Output(sys.stderr, complain)
    return Ticker(output.write, lambda: shutil.get_terminal_size().columns, output.in_front)


class _Raw:
    """One of our streams, without a buffer."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Write all of it."""
        write_all(self._descriptor, data)

    def flush(self) -> None:
        """Everything is printed at once: nothing is left to print."""
