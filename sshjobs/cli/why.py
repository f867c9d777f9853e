"""``sshjobs why``."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import results_option
from sshjobs.errors import EXIT_OK, printable

if TYPE_CHECKING:
    from sshjobs.store.failed import FailureReader

#: Jobs that are told of unless all are to be.
MOST_JOBS = 20


@click.command("why")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("-a", "--all", "everything", is_flag=True,
              help="Tell of every kind of failure, or of every JOB, and read the last words of all that failed.")
@results_option
def command(words: tuple[str, ...], as_json: bool, everything: bool, results: Path) -> int:
    """Say why jobs of RUN failed, a line for each kind of failure; the newest run if it is left out. With JOB all that
    is known of it: the cause of each attempt and what shows it, or what the job waits for. A JOB is a name, a pattern
    such as 'fit-*', or parameters as in 'train[lr=0.1]'; 'setup@HOST' is the setup of a host.

    A cause is said to be probable where only the last lines of what the job wrote tell it.
    """
    from sshjobs.cli.words import jobs_of_some_run, say_owner
    from sshjobs.store.failed import FailureReader

    paths, names = jobs_of_some_run(results, words)
    say_owner(paths)
    with FailureReader.open(paths) as reader:
        if names:
            _tell_jobs(reader, names, as_json, everything)
        else:
            _tell_run(reader, as_json, everything)
    return EXIT_OK


def _tell_run(reader: FailureReader, as_json: bool, everything: bool) -> None:
    from sshjobs.cli.words import handle
    from sshjobs.diagnosis.blame import in_common
    from sshjobs.diagnosis.groups import kinds_of
    from sshjobs.diagnosis.onejob import told_setup
    from sshjobs.diagnosis.setups import FailedSetups
    from sshjobs.views import reasons, wording

    with reader.snapshot():
        summary, found = reader.summary(), kinds_of(reader, everything=everything)
        kinds = found.all()
        shown = kinds if everything else kinds[:reasons.MOST_KINDS]
        common = in_common(reader, shown)
        setups = [told_setup(reader, one) for one in FailedSetups(reader).rows.values()]
    if as_json:
        print(json.dumps({
            "version": reasons.VERSION, "run": summary.run, "state": summary.state, "counts": summary.counts,
            "kinds": reasons.kinds_document(shown, common),
            "more": {"kinds": len(kinds) - len(shown), "failures": sum(kind.number for kind in kinds[len(shown):]),
                     "unread": found.unread.total()},
            "setups": [reasons.attempt_document(one) for one in setups]}))
        return
    word = handle(reader.paths)
    print(printable(f"{summary.run} {summary.state}: {wording.counts(summary.counts)} of "
                    f"{wording.count(summary.total, 'job')}{wording.rule(summary.options.get('ended_by'))}"))
    for setup in setups:
        for line in reasons.attempt_lines(setup):
            print(printable(line))
    for kind, shared in zip(shown, common, strict=True):
        print(reasons.kind_line(kind, shared))
    if len(kinds) > len(shown):
        print(f"and {wording.count(len(kinds) - len(shown), 'kind')} more: sshjobs why {word} --all")
    for ending, number in found.unread.most_common():
        print(f"{number:,} × {ending}, whose last words were not read: sshjobs why {word} --all")
    if not kinds and not setups:
        print("nothing has failed" if summary.unfinished else "nothing failed")
    elif kinds:
        print(f"for one of them: sshjobs why {word} JOB")


def _tell_jobs(reader: FailureReader, words: list[str], as_json: bool, everything: bool) -> None:
    from sshjobs.cli.words import handle, named_jobs
    from sshjobs.diagnosis.onejob import JobTold, told_of, told_setup
    from sshjobs.store.named import named_setups
    from sshjobs.store.setups import setup_name
    from sshjobs.views import reasons

    setups = {row.name for word in words for row in named_setups(reader, word)}
    others = [word for word in words if not named_setups(reader, word)]
    rows = named_jobs(reader, others) if others else []
    newest = {setup_name(one.host): one for one in reader.setups()}
    told_setups = [told_setup(reader, newest[name]) for name in sorted(setups)]
    told: list[JobTold] = [told_of(reader, row) for row in islice(rows, None if everything else MOST_JOBS)]
    word = handle(reader.paths)
    if as_json:
        print(json.dumps({"version": reasons.VERSION, "run": reader.paths.name,
                          "jobs": list(map(reasons.job_document, told)), "more": len(rows) - len(told),
                          "setups": list(map(reasons.attempt_document, told_setups))}))
        return
    for setup in told_setups:
        for line in reasons.attempt_lines(setup):
            print(printable(line))
    for one in told:
        for line in reasons.job_lines(one, word):
            sys.stdout.write(line + "\n")
    if len(rows) > len(told):
        print(f"and {len(rows) - len(told):,} more jobs: say --all")
