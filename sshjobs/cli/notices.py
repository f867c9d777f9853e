"""``sshjobs notices``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option
from sshjobs.cli.words import say_owner
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, printable
from sshjobs.model.telling import Notice
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import find_run
from sshjobs.views.wording import clock, count


@click.command("notices")
@click.argument("run", metavar="[RUN]", shell_complete=candidates.one_run, required=False)
@click.option("--again", is_flag=True, help="Tell now what nobody was told yet, where no manager does.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a notice.")
@results_option
def command(run: str | None, again: bool, as_json: bool, results: Path) -> int:
    """Show what was to be told of RUN by its on_done, on_failure, on_host_lost and notify, and what became of that; of
    the newest run if it is left out.

    A manager tries what failed again, with growing pauses. The exit code is 1 where something is told to nobody yet.
    """
    paths = find_run(results, run)
    say_owner(paths)
    if again:
        from sshjobs.running.telling import tell_again

        told, left = tell_again(paths, complain)
        click.echo(f"{count(told, 'notice')} told, {left:,} not")
        return EXIT_JOBS_FAILED if left else EXIT_OK
    with RunReader.open(paths) as reader:
        notices = reader.notices()
    for notice in notices:
        click.echo(json.dumps(_document(notice)) if as_json else printable(_line(notice)))
    if not notices and not as_json:
        click.echo(f"nothing was to be told of {paths.name}")
    return EXIT_JOBS_FAILED if any(notice.delivered is None for notice in notices) else EXIT_OK


def _document(notice: Notice) -> dict[str, object]:
    return {"id": notice.id, "event": notice.event, "to": notice.recipient.shown(), "made": notice.made,
            "tries": notice.tries, "delivered": notice.delivered, "error": notice.error, "about": dict(notice.about)}


def _line(notice: Notice) -> str:
    where = ("told" if notice.delivered is not None else "not told yet" if notice.error is None else
             f"not told, tried {count(notice.tries, 'time')}: {notice.error}")
    return (f"{notice.id}  {clock(notice.made)}  {notice.event}  {notice.recipient.shown()}  {where}  "
            f"({notice.about.get('message', '')})")
