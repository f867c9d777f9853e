"""``sshjobs gc``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer, json_option
from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import accepts_new_keys, hosts_of, new_keys_option, results_option, transport_option
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, StoreError, printable
from sshjobs.store.ownership import NotYoursError, check_own_results
from sshjobs.store.rundir import find_run, list_runs
from sshjobs.views.wording import count, only_some

if TYPE_CHECKING:
    from sshjobs.audit.garbage import KnownRun, Plan, Way
    from sshjobs.model.host import Host


@click.command("gc")
@click.argument("run", metavar="[RUN]", shell_complete=candidates.one_run, required=False)
@click.option("--hosts", multiple=True, metavar="HOSTS",
              help="Look on these hosts, not on those of the runs: a hosts file, or a list such as h1,node[01-16].")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--force", is_flag=True,
              help="Also outputs that were not collected, and processes that jobs keep on purpose.")
@click.option("--ssh-config", metavar="FILE", help="For --hosts: use this ssh configuration instead of your own.")
@transport_option("For --hosts: how to reach them.")
@new_keys_option
@click.option("-v", "--verbose", count=True, help="Say more.")
@json_option
@results_option
def command(run: str | None, hosts: tuple[str, ...], dry_run: bool, force: bool, ssh_config: str | None,
            transport: str | None, verbose: int, as_json: bool, results: Path) -> int:
    """Remove what runs that are over left on hosts and here; what RUN left only, if it is named.

    Nothing is lost: runs that are not over are left alone, and so is every output that is not here yet. What is
    kept is named with the reason. Exit codes: 0 nothing is left, 1 something is, or a host could not be asked.
    """
    configure(verbose)
    from sshjobs.audit.garbage import Way, look

    runs = _runs(results, run)
    places = _places(hosts, runs, Way(transport, ssh_config, accepts_new_keys()))
    plans = look(places, runs, only=run is not None, force=force)
    found = [] if run is not None else _litter(results)
    if dry_run:
        return _show(plans, found, as_json=as_json)
    return _remove(plans, runs, found, places, only=run is not None, force=force, as_json=as_json)


def _runs(results: Path, run: str | None) -> list[KnownRun]:
    from sshjobs.audit.garbage import known_run

    if run is not None:
        return [known_run(find_run(results, run))]
    check_own_results(results)
    known = []
    for paths in list_runs(results):
        try:
            known.append(known_run(paths))
        except (StoreError, NotYoursError) as error:
            complain(str(error))
    return known


def _places(hosts: Sequence[str], runs: Sequence[KnownRun], way: Way) -> list[tuple[Host, Way]]:
    if hosts:
        return [(host, way) for host in hosts_of(hosts)]
    found: dict[tuple[str, Way], Host] = {}
    for run in runs:
        for host in run.hosts:
            found.setdefault((host.name, run.way), host)
    return [(host, way) for (_, way), host in found.items()]


def _litter(results: Path) -> list[tuple[Path, str]]:
    from sshjobs.audit.litter import litter

    return list(litter(results))


def _show(plans: Sequence[Plan], found: Sequence[tuple[Path, str]], *, as_json: bool) -> int:
    code = EXIT_JOBS_FAILED if any(plan.error for plan in plans) else EXIT_OK
    runs = sum(len(plan.broom.directories) for plan in plans)
    files, processes = sum(plan.files for plan in plans) + len(found), sum(plan.processes for plan in plans)
    if as_json:
        answer("", {"dry_run": True, **_document(plans, found), "removed": None, "left": None}, as_json=True)
        return code
    for plan in plans:
        for line in only_some([f"{directory.base} on {plan.host.name}: {count(directory.files, 'file')}"
                          for directory, _ in plan.broom.directories], f"directories on {plan.host.name}"):
            click.echo(printable(f"would remove {line}"))
        if plan.inputs:
            click.echo(f"would remove {count(plan.inputs, 'input')} kept for later runs on {printable(plan.host.name)}")
        if plan.processes:
            click.echo(f"would end {_processes(plan.processes)} on {printable(plan.host.name)}")
        _tell_kept(plan)
    for path, what in found:
        click.echo(printable(f"would remove {path}: {what}"))
    click.echo(f"would remove {runs:,} director{'y' if runs == 1 else 'ies'}, {count(files, 'file')}, "
               f"{_processes(processes)} on {count(len(plans), 'host')}")
    return code


def _remove(plans: Sequence[Plan], runs: Sequence[KnownRun], found: Sequence[tuple[Path, str]],
            places: Sequence[tuple[Host, Way]], *, only: bool, force: bool, as_json: bool) -> int:
    from sshjobs.audit.garbage import clean, look
    from sshjobs.audit.litter import remove

    touched, files, processes = set[str](), 0, 0
    for plan, gone, removed, ended in clean(plans, runs):
        touched.update(directory.run for directory, _ in plan.broom.directories if gone)
        files, processes = files + removed, processes + ended
    files += sum(remove(path) for path, _ in found)
    # The exit code is for what the hosts have now, not for what we believe to have removed.
    left = look([place for place, plan in zip(places, _in_order(plans, places), strict=True) if plan.error is None],
                runs, only=only, force=force)
    asked = sum(plan.error is None for plan in left)
    remain = sum(plan.processes for plan in left), sum(plan.files for plan in left)
    if as_json:
        answer("", {"dry_run": False, **_document(plans, found),
                    "removed": {"runs": len(touched), "files": files, "processes": processes},
                    "left": {"processes": remain[0], "files": remain[1], "hosts": asked}}, as_json=True)
    else:
        for plan in plans:
            _tell_kept(plan)
        click.echo(f"removed {count(len(touched), 'run')}, {count(files, 'file')}, {_processes(processes)} on "
                   f"{count(len(plans), 'host')}; {_processes(remain[0])}, {count(remain[1], 'file')} left on "
                   f"{count(asked, 'host')}")
    return EXIT_JOBS_FAILED if any(remain) or asked < len(plans) else EXIT_OK


def _document(plans: Sequence[Plan], found: Sequence[tuple[Path, str]]) -> dict[str, Any]:
    """Return what was found as plain data: what is to go from each host, what is kept there, and what is to go here."""
    hosts = [{"host": plan.host.name, "reason": None if plan.error is None else str(plan.error),
              "directories": [{"directory": one.base, "files": one.files} for one, _ in plan.broom.directories],
              "inputs": plan.inputs, "processes": plan.processes, "kept": plan.kept} for plan in plans]
    return {"hosts": hosts, "here": [{"path": str(path), "what": what} for path, what in found]}


def _in_order(plans: Sequence[Plan], places: Sequence[tuple[Host, Way]]) -> list[Plan]:
    by_place = {(plan.host.name, plan.way): plan for plan in plans}
    return [by_place[host.name, way] for host, way in places]


def _tell_kept(plan: Plan) -> None:
    if plan.error is not None:
        complain(str(plan.error))
    for line in only_some(plan.kept, "things"):
        click.echo(printable(f"kept on {plan.host.name}: {line}"))


def _processes(number: int) -> str:
    return f"{number:,} process{'' if number == 1 else 'es'}"
