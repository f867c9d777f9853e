"""``sshjobs attach``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import output_options, results_option
from sshjobs.cli.words import handle, open_run, say_owner
from sshjobs.errors import EXIT_INTERRUPTED, EXIT_OK
from sshjobs.store.rundir import find_run


@click.command("attach")
@click.argument("run", metavar="[RUN]", shell_complete=candidates.one_run, required=False)
@results_option
@output_options
def command(run: str | None, results: Path, quiet: bool, as_json: bool, verbose: int) -> int:
    """Watch RUN, which another process manages, until it ends; the newest that is not over if it is left out.

    Ctrl-C and the key q end the watching, not the run. The exit code is that of the run.
    """
    configure(verbose)
    from sshjobs.cli.carry import make_view
    from sshjobs.cli.watching import Watcher
    from sshjobs.running.unattended import carry_out
    from sshjobs.store.reader import RunReader

    paths = open_run(results) if run is None else find_run(results, run)
    say_owner(paths)
    view = make_view(quiet=quiet, as_json=as_json, verbose=verbose)
    with RunReader.open(paths) as reader:
        try:
            view.steer(lambda asked: carry_out(paths, asked).answer, lambda: os.kill(os.getpid(), signal.SIGINT),
                       paused=bool(reader.summary().options.get("paused")))
            code = Watcher(reader, view).follow()
        except KeyboardInterrupt:
            view.close()
            complain(f"{paths.name} goes on; to watch it again: sshjobs attach {handle(paths)}")
            return EXIT_OK if view.left else EXIT_INTERRUPTED
        finally:
            view.close()
    if code == EXIT_INTERRUPTED:
        from sshjobs.running.detach import LOG, last_words

        said = last_words(paths.root / LOG)
        complain("nobody manages it" + (f"; the last words of its manager: {said}" if said else ""))
    return code
