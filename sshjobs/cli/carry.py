"""Carries a run to its end while the user watches: what ``run`` and ``resume`` share."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from sshjobs.cli.failures import complain
from sshjobs.cli.screen import redraws, still
from sshjobs.cli.words import handle
from sshjobs.errors import EXIT_INTERRUPTED, EXIT_JOBS_FAILED, EXIT_OK, SshjobsError, printable
from sshjobs.views.base import Output, View

if TYPE_CHECKING:
    from sshjobs.cli.printing import Tags
    from sshjobs.running.run import Run
    from sshjobs.store.rundir import RunPaths


def make_view(*, quiet: bool, as_json: bool, verbose: int) -> View:
    """Return the view that fits where standard output goes: JSON if wanted, live on a terminal, else lines."""
    output = Output(sys.stdout, complain)
    if as_json:
        from sshjobs.views.jsonlines import JsonLines

        return JsonLines(output)
    if not quiet and redraws(sys.stdout):
        from sshjobs.views.live import LiveView

        return LiveView(output, handle=handle, expect=_expected)
    from sshjobs.views.lines import Lines

    return Lines(output, handle=handle, quiet=quiet, verbose=bool(verbose), still=None if quiet else still())


def _expected(paths: RunPaths) -> tuple[float, float] | None:
    """Return in how many seconds a run is expected to end, half the time and nine times in ten."""
    from sshjobs.planning.expected import expected_of

    try:
        found = expected_of(paths)
    except SshjobsError:
        # Who watches hears of a store that cannot be read from whom it keeps from going on.
        return None
    return None if found is None else (found.p50, found.p90)


def carry(start: Callable[[View], Run], *, quiet: bool, as_json: bool, verbose: int, output: str = "none",
          tags: Tags | None = None, raw: bool = False, folded: bool = False,
          host_of: Callable[[str], str] | None = None, web: Sequence[str] | None = None) -> int:
    """Start a run and see it through.

    :param start: makes the run, with the view to tell its events to
    :param output: how outputs are printed (``--output``)
    :param tags: what each line of an output begins with; ``None`` for nothing
    :param folded: equal outputs of hosts are printed once
    :param host_of: returns the one host that a job may run on, where each has one
    :param web: the run is shown in a browser too, by a process of its own, until it ends; further options of it
    :param raw: outputs go to a terminal as they are
    :return: the run's exit code, but for 0 where outputs that were to be printed were not
    """
    if output == "none":
        view = make_view(quiet=quiet, as_json=as_json, verbose=verbose)
    else:
        from sshjobs.cli.printing import outputs_view

        view = outputs_view(output, tags, raw=raw, verbose=verbose, quiet=quiet, folded=folded,
                            host_of=host_of)
    try:
        run = start(view)
        view.steer(run.request, partial(_leave, run), paused=run.manager.schedule.paused)
        with contextlib.nullcontext() if web is None else shown_in_browsers(run, web, view):
            code = run.process()
    finally:
        view.close()
    if view.left and code != EXIT_INTERRUPTED and _goes_on(run):
        from sshjobs.cli.detached import hand_over

        return hand_over(run.paths, quiet=False, as_json=False)
    return code or (EXIT_JOBS_FAILED if view.lost else EXIT_OK)


def _leave(run: Run) -> None:
    """Have the manager in this process leave; what was launched goes on."""
    from sshjobs.running.control import ManagerGoneError

    with contextlib.suppress(ManagerGoneError):
        run.request({"do": "leave"})


def _goes_on(run: Run) -> bool:
    from sshjobs.store.reader import summary_of

    return summary_of(run.paths).state not in ("done", "failed", "cancelled")


@contextlib.contextmanager
def shown_in_browsers(run: Run, options: Sequence[str], view: View) -> Iterator[None]:
    """Serve the pages of a run during the block, by a process that the run does not depend on.

    :param view: is told the address, and what else the server says
    """
    command = [sys.executable, "-m", "sshjobs", "serve", "--results", str(run.paths.root.parent), "--port", "0"]
    with subprocess.Popen([*command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True, encoding="utf-8",
                          errors="replace") as server:
        assert server.stdout is not None
        over = threading.Event()
        teller = threading.Thread(target=_pass_on, args=(server.stdout, view, over), name="sshjobs-web", daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            server.terminate()
            teller.join()


def _pass_on(said: Iterable[str], view: View, over: threading.Event) -> None:
    """Print what a server says, and its end before that of the run.

    :param over: the run has ended
    """
    for line in said:
        _say(line.rstrip("\n"), view)
    if not over.is_set():
        _say("the pages of the run have ended, and the run goes on; to show them again: sshjobs serve", view)


def _say(line: str, view: View) -> None:
    """Print a line to standard error: standard output may be what a program reads."""
    if not view.say(line):
        with contextlib.suppress(OSError, ValueError):
            click.echo(printable(line), err=True)
