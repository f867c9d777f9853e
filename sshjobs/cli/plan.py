"""``sshjobs plan``."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import hosts_option, max_jobs_option, results_option
from sshjobs.errors import EXIT_OK, printable
from sshjobs.model.given import MAX_SLOTS

if TYPE_CHECKING:
    from sshjobs.cli.dryrun import Places
    from sshjobs.model.host import Host
    from sshjobs.planning.comparison import Comparison, Standing
    from sshjobs.planning.earlier import Earlier
    from sshjobs.planning.estimate import Estimate
    from sshjobs.store.rundir import RunPaths

#: What each standing is called, in the order in which they are told.
_WORDS = {"new": "new", "changed": "changed", "failed": "failed before", "waiting": "not run yet", "running": "running",
          "done": "done"}


@click.command("plan")
@click.argument("jobfile", metavar="JOBFILE")
@click.option("--against", multiple=True, metavar="RUN", shell_complete=candidates.runs,
              help="Compare with RUN, an earlier run; may be repeated, the newest counts first.  "
                   "[default: the newest that is called <jobfile's name>-<n>]")
@hosts_option()
@click.option("-j", "--slots", type=click.IntRange(1, MAX_SLOTS), metavar="N",
              help="Jobs at a time on a host whose line says nothing about it.  [default: its cores]")
@max_jobs_option
@click.option("--list", "listed", is_flag=True, help="List every job, with what differs and where it may run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a job and one at the end.")
@results_option
def command(jobfile: str, against: tuple[str, ...], hosts: tuple[str, ...], slots: int | None, max_jobs: int,
            listed: bool, as_json: bool, results: Path) -> int:
    """Say what `sshjobs run JOBFILE --continue RUN` would run, and start nothing.

    Each job of JOBFILE is new, changed (with what differs), failed before, not run yet, running, or done; orphaned are
    jobs of RUN that JOBFILE does not ask for. The exit code is 0 whatever there is to run.
    """
    from sshjobs.cli.dryrun import Places
    from sshjobs.cli.run import read
    from sshjobs.network.staging.inputs import Staging
    from sshjobs.planning.comparison import compare
    from sshjobs.planning.earlier import Earlier
    from sshjobs.running.forms import EMBEDDED, runs_from
    from sshjobs.running.stages import check_stages
    from sshjobs.scheduling.naming import jobs_from
    from sshjobs.store.rundir import job_directory_name

    _, given, chosen = read(jobfile, hosts, max_jobs)
    specs = given.specs
    chosen = chosen or EMBEDDED
    runs = runs_from(results, against) if against else _newest(results, jobfile)
    jobs, places = list(jobs_from(specs, chosen)), Places(chosen, slots)
    check_stages(job.spec for job in jobs)
    for job in jobs:
        job_directory_name(job.name)
        places.of(job)
    staging = Staging()
    with ExitStack() as opened:
        comparison = compare(jobs, [opened.enter_context(Earlier(paths, staging)) for paths in runs], staging)
        report = _Report(comparison, staging, places, _slots(chosen, comparison.runs, slots))
        if as_json:
            report.print_json()
        else:
            report.print_text(jobfile, hosts, listed)
    return EXIT_OK


def _newest(results: Path, jobfile: str) -> list[RunPaths]:
    """Return the newest run that a run of the jobfile's name makes, if there is one."""
    from sshjobs.store.rundir import list_runs

    stem = "stdin" if jobfile == "-" else Path(jobfile).stem
    found = [paths for paths in list_runs(results)
             if paths.name.startswith(f"{stem}-") and paths.name[len(stem) + 1:].isdigit()]
    return found[-1:]


def _slots(hosts: Sequence[Host], runs: Sequence[Earlier], slots: int | None) -> int | None:
    """Return how many jobs run at a time on all hosts together; ``None`` where nobody knows."""
    cores: dict[str, int] = {}
    for run in reversed(runs):
        cores.update((row.host.name, int(row.facts["cores"])) for row in run.reader.hosts()
                     if row.facts and row.facts.get("cores"))
    total = 0
    for host in hosts:
        found = host.slots or slots or cores.get(host.name) or (os.cpu_count() if host.local else None)
        if found is None:
            return None
        total += found
    return total


class _Report:
    def __init__(self, comparison: Comparison, staging: Any, places: Places, slots: int | None):
        from sshjobs.planning.comparison import Standing
        from sshjobs.planning.estimate import estimate

        self._comparison, self._staging, self._places = comparison, staging, places
        self._to_run = list(comparison.standing(Standing.NEW, Standing.CHANGED, Standing.FAILED, Standing.WAITING))
        self._estimate: Estimate | None = estimate(
            (comparison.jobs[place] for place in self._to_run), comparison.runs, slots)

    # -- in words ------------------------------------------------------------------------------------------------

    def print_text(self, jobfile: str, hosts: Sequence[str], listed: bool) -> None:
        """Print how many jobs stand where, then, where that is wanted, every job."""
        from sshjobs.cli.words import handle
        from sshjobs.views.wording import count, duration

        comparison = self._comparison
        against = ", ".join(run.name for run in comparison.runs) or "no earlier run"
        click.echo(printable(f"{count(len(comparison.jobs), 'job')}, compared with {against}:"))
        counts: list[tuple[str, int]] = [(_WORDS[standing], n) for standing, n in comparison.counts().items() if n]
        counts += [("orphaned", len(comparison.orphans))] if comparison.orphans else []
        width = max((len(f"{number:,}") for _, number in counts), default=0)
        for word, number in counts:
            click.echo(f"  {number:>{width},} {word}{_explained(word)}")
        for line in self._notes():
            click.echo(printable(line))
        told = self._estimate
        text = f"{count(len(self._to_run), 'job')} to run"
        if told is not None:
            text += f", {duration(told.work)} of work" if told.seconds is None else f", about {duration(told.seconds)}"
            if told.known < len(self._to_run):
                text += f" (earlier runs tell of {told.known:,} of them)"
        click.echo(text)
        if listed:
            self._list()
        else:
            words = [word for run in comparison.runs for word in ("--against", handle(run.paths))]
            words += [word for value in hosts for word in ("--hosts", value)]
            click.echo(printable(f"every job: {shlex.join(['sshjobs', 'plan', '--list', *words, jobfile])}"))

    def _notes(self) -> list[str]:
        notes = []
        for number, run in enumerate(self._comparison.runs):
            if run.live:
                notes.append(f"{run.name} is at work: what ends there from now on is not counted")
            if broken := self._comparison.broken[number]:
                are = "1 job of it does" if broken == 1 else f"{broken:,} jobs of it do"
                notes.append(f"{run.name}: {are} not count as done, because what it wrote is not whole; "
                             f"see: sshjobs verify {run.paths.root} --no-hosts")
        return notes

    def _list(self) -> None:
        from sshjobs.cli.dryrun import shown_params

        comparison = self._comparison
        for place, job in enumerate(comparison.jobs):
            standing = comparison.standings[place]
            why = self._why(place, standing)
            where = f" {self._places.text(self._places.of(job))}" if standing not in ("done", "running") else ""
            name = f"{job.name}{shown_params(job.spec)}"
            click.echo(printable(f"{_WORDS[standing]:<13} {name}{where}{': ' if why else ''}{'; '.join(why)}"))
        for source in comparison.orphans:
            click.echo(printable(f"{'orphaned':<13} {source.name}: in {comparison.runs[source.run].name}"))

    def _why(self, place: int, standing: Standing) -> list[str]:
        """Return what there is to say of why a job stands where it does."""
        from sshjobs.planning.differences import differences
        from sshjobs.views.wording import ending

        source = self._comparison.sources.get(place)
        if source is None:
            return []
        if standing == "changed":
            return differences(self._comparison, place, self._staging)
        run = self._comparison.runs[source.run]
        if standing != "failed":
            return [f"in {run.name}"]
        row = run.reader.work(source.number)
        return [f"{ending(row.outcome, row.exit_status, row.signal, row.reason)} in {run.name}"]

    # -- for programs --------------------------------------------------------------------------------------------

    def print_json(self) -> None:
        """Print an object a job, one for each that is orphaned, and one with all counts."""
        comparison = self._comparison
        for place, job in enumerate(comparison.jobs):
            standing, source = comparison.standings[place], comparison.sources.get(place)
            click.echo(json.dumps({
                "event": "planned", "job": job.name, "standing": standing.value, "hosts": self._places.of(job),
                "run": None if source is None else comparison.runs[source.run].name,
                "was": None if source is None else source.name,
                "why": self._why(place, standing) if standing.value in ("changed", "failed") else []}))
        for source in comparison.orphans:
            click.echo(json.dumps({"event": "orphaned", "job": source.name, "run": comparison.runs[source.run].name}))
        told = self._estimate
        click.echo(json.dumps({
            "event": "plan", "runs": [run.name for run in comparison.runs], "jobs": len(comparison.jobs),
            "counts": {standing.value: number for standing, number in comparison.counts().items()},
            "orphaned": len(comparison.orphans), "to_run": len(self._to_run),
            "work": None if told is None else round(told.work, 3),
            "seconds": None if told is None or told.seconds is None else round(told.seconds, 3)}))


def _explained(word: str) -> str:
    return {"orphaned": ": done or tried before, and not in the jobfile",
            "running": ": run --continue refuses until they have ended"}.get(word, "")
