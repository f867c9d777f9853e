"""Options and view of commands that print what jobs write."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

import click

from sshjobs.cli.failures import complain
from sshjobs.cli.follow import Sink
from sshjobs.cli.words import handle
from sshjobs.errors import UsageError
from sshjobs.views.base import Output, View

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: What ``--output`` takes. A test holds it against ``sshjobs.views.output.WAYS``.
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


def outputs_view(output: str, tag: Callable[[str], str] | None, *, raw: bool, verbose: int) -> View:
    """Return a view that prints outputs on our own streams, and all else on standard error.

    :param tag: returns what each line of a job begins with
    :param verbose: what there is to say of jobs that do well, too
    """
    from sshjobs.views.lines import Lines
    from sshjobs.views.output import OutputsView

    sinks = [Sink(cast(BinaryIO, _Raw(stream.fileno())), escape=stream.isatty() and not raw)
             for stream in (sys.stdout, sys.stderr)]
    messages = Lines(Output(sys.stderr, complain), handle=handle, quiet=not verbose, verbose=verbose > 1)
    return OutputsView((sinks[0], sinks[1]), messages, complain, way=output, tag=tag)


class _Raw:
    """A descriptor to write bytes on, past the buffers of Python, which nobody may hold when the process ends."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view):]
            except BlockingIOError:
                # Whoever shares the descriptor with us made it so.
                select.select([], [self._descriptor], [])

    def flush(self) -> None:
        """Nothing is held back."""
