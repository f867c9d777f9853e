"""``sshjobs wait``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer
from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option, seconds_of
from sshjobs.cli.words import handle, named_runs, open_run, say_owner
from sshjobs.errors import EXIT_INTERRUPTED, EXIT_OK, RunNotFoundError, RunTimeoutError, UsageError
from sshjobs.store.rundir import RunPaths

#: Seconds between two looks at a run; and until it is said that one is waited for which is not there.
INTERVAL, PATIENCE = 0.2, 2.0
#: Most jobs that can be waited for.
_MOST = 1_000_000_000


def _started(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return how many jobs are to have started."""
    if value is None:
        return None
    word, equals, number = value.partition("=")
    if word != "started" or (equals and not (number.isascii() and number.isdigit() and 1 <= int(number[:20]) <= _MOST)):
        raise UsageError(f"--until cannot be {value!r:.60}", hint="write --until started, or --until started=8")
    return int(number) if equals else 1


@click.command("wait")
@click.argument("runs", metavar="[RUN]...", shell_complete=candidates.runs, nargs=-1)
@click.option("--until", metavar="started[=N]", callback=_started,
              help="Return as soon as one job of RUN has started, or so many of them, or it is over.")
@click.option("--timeout", metavar="TIME", callback=seconds_of, help="Wait no longer than that, such as 2h.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run: how it stands now.")
@results_option
def command(runs: tuple[str, ...], until: int | None, timeout: float | None, as_json: bool, results: Path) -> int:
    """Return when RUN is over, and say nothing; the newest that is not over if it is left out.

    The exit code is that of the run: 0 all jobs are done, 1 some are not. Where nobody manages it any more it is 130
    at once, and a line says so. Of several runs all are waited for, and the highest code counts. Nothing happens to a
    run that is waited for in vain.

    With --until a RUN that is named may still have to come. The exit code is 0 once so many jobs have started,
    whatever has become of them since; how often one was tried does not count.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    if until is not None:
        for word in runs:
            _wait_for_run(results, word, deadline)
    chosen = named_runs(results, runs) if runs else [open_run(results)]
    return max(_wait(paths, until, deadline, as_json=as_json) for paths in chosen)


def _wait_for_run(results: Path, word: str, deadline: float | None) -> None:
    """Return when there is such a run; say after a moment that this is waited for."""
    speak_at = time.monotonic() + PATIENCE
    while True:
        try:
            named_runs(results, [word])
            return
        except RunNotFoundError:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise
            if now >= speak_at:
                complain(f"waiting for a run called {word}")
                speak_at = float("inf")
            time.sleep(INTERVAL)


def _wait(paths: RunPaths, until: int | None, deadline: float | None, *, as_json: bool) -> int:
    from sshjobs.cli.watching import code_of
    from sshjobs.store.lengths import LengthReader

    say_owner(paths)
    with LengthReader.open(paths) as reader:
        while (state := reader.summary().state) == "running":
            if until is not None and reader.started(until) >= until:
                break
            if deadline is not None and time.monotonic() >= deadline:
                what = "is not over yet" if until is None else f"has started {reader.started(until):,} jobs so far"
                raise RunTimeoutError(f"{paths.name} {what}", hint="it goes on")
            time.sleep(INTERVAL)
        reached = until is not None and reader.started(until) >= until
    code = EXIT_OK if reached else code_of(state)
    if as_json:
        answer("", {"run": paths.name, "state": state, "exit_code": code}, as_json=True)
    if code == EXIT_INTERRUPTED:
        complain(f"nobody manages {paths.name}, which is not over; to go on: sshjobs resume {handle(paths)}")
    return code
