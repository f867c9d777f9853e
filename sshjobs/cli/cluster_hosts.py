"""``sshjobs cluster up``, ``status``, ``scale`` and ``down``: engine clusters over ssh."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sshjobs.cli.clustertype import kind_of, which_options
from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import accepts_new_keys, hosts_of, hosts_option, new_keys_option, setup_of
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, SshjobsError, UsageError, printable
from sshjobs.model.states import STATE_BUSY
from sshjobs.network.transport import TRANSPORTS

if TYPE_CHECKING:
    from sshjobs.cluster.enginecluster import EngineCluster
    from sshjobs.model.host import Host
    from sshjobs.pools.facts import WorkerFacts


@click.command("up")
@click.argument("words", metavar="[HOST...]", nargs=-1)
@which_options
@click.option("--hostfile", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
              help="A hosts file: the same as --hosts FILE.")
@hosts_option()
@click.option("--nworkers", type=click.IntRange(1, 512), default=1, show_default=True, metavar="N",
              help="Worker processes on each host.")
@click.option("--nthreads", type=click.IntRange(1, 4096), metavar="N",
              help="Calls that a worker works on at a time.  [default: the slots or cores of its host, shared]")
@click.option("--memory-limit", metavar="SIZE", help="Memory of each worker, as dask takes it: 4GB, 0.5, auto.")
@click.option("--remote-python", metavar="PATH",
              help="The interpreter on hosts whose line names none.  [default: python3]")
@click.option("--nohost", is_flag=True,
              help="Workers listen where they reach the scheduler from, not where ssh came in.")
@click.option("--address", metavar="ADDR",
              help="Address of the first host, where it is another than the one that ssh reaches.")
@click.option("--setup", metavar="JOBFILE", help="Have each host run the setup of a jobfile first.")
@click.option("--log-directory", type=click.Path(path_type=Path), default=Path("results"), envvar="SSHJOBS_RESULTS",
              show_default=True, metavar="DIR", help="Where what they write comes to, a directory for each.")
@click.option("--ssh-config", metavar="FILE", help="Use this ssh configuration instead of your own.")
@click.option("--transport", type=click.Choice(list(TRANSPORTS)),
              help="How to reach hosts; local: all of them are this machine.")
@new_keys_option
@click.option("-v", "--verbose", count=True, help="Say more; twice for everything.")
def up(words: tuple[str, ...], kind: str | None, name: str | None, hostfile: str | None, hosts: tuple[str, ...],
       setup: str | None, log_directory: Path, verbose: int, **options: Any) -> int:
    """Launch an engine cluster on hosts: the broker or scheduler on the first, workers on each.

    Returns when every worker has registered or failed, and says host by host which; the exit code is 1 if one failed.
    """
    configure(verbose)
    from sshjobs.cluster.enginecluster import EngineCluster
    from sshjobs.cluster.signals import as_ctrl_c

    script = None if setup is None else setup_of(setup)
    cluster = EngineCluster(kind_of({"kind": kind, "config_file": ""}), _hosts(words, hostfile, hosts), name=name,
                            setup=script, log_directory=log_directory, accept_new_host_keys=accepts_new_keys(),
                            say=complain, **options)
    with as_ctrl_c():
        cluster.up()
    for worker in sorted(cluster.jobs()):
        click.echo(f"{printable(worker)} registered")
    for what, why in cluster.failures.items():
        complain(f"{printable(what)}: {why}")
    click.echo(f"{cluster.type} cluster '{cluster.name}' is up at {cluster.address}; "
               f"to end it: sshjobs cluster down --name {cluster.name}")
    return EXIT_JOBS_FAILED if cluster.failures else EXIT_OK


def _hosts(words: Sequence[str], hostfile: str | None, options: Sequence[str]) -> list[Host]:
    """:raises UsageError: none is named, or they cannot be understood"""
    given = [*([hostfile] if hostfile is not None else []), *words]
    if given and click.get_current_context().get_parameter_source("hosts") is click.core.ParameterSource.ENVIRONMENT:
        options = ()
    chosen = hosts_of([*given, *options])
    if not chosen:
        raise UsageError("no hosts are named", hint="name them, or a hosts file by --hostfile")
    return chosen


@click.command("status")
@which_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else.")
def status(kind: str | None, name: str | None, as_json: bool) -> int:
    """Show an engine cluster that is up: its workers, where their jobs stand, and whether they answer.

    The exit code is 1 if one does not.
    """
    configure(0)
    from sshjobs.cluster.enginecluster import EngineCluster

    cluster = EngineCluster.attach(kind, name)
    jobs, trouble = cluster.jobs(), None
    answers: dict[str, WorkerFacts] = {}
    try:
        answers = {facts.name: facts for facts in cluster.workers() if facts.name is not None}
    except SshjobsError as error:
        trouble = str(error)
    rows = [{"worker": job, "host": job.partition("@")[2], "state": state, "answers": job in answers,
             "pid": answers[job].pid if job in answers else None} for job, state in sorted(jobs.items())]
    if as_json:
        click.echo(json.dumps({"name": cluster.name, "type": cluster.type, "address": cluster.address,
                               "logs": str(cluster.logs), "attended": cluster.attended, "workers": rows}))
    else:
        _show(cluster, rows)
    if trouble is not None:
        complain(trouble)
    if not cluster.attended:
        complain("its manager on this machine is gone, so a host that restarts gets no worker again; go on with: "
                 f"sshjobs resume -d {cluster.logs.parent}")
    return EXIT_OK if jobs and all(row["answers"] for row in rows) else EXIT_JOBS_FAILED


def _show(cluster: EngineCluster, rows: Sequence[dict[str, Any]]) -> None:
    click.echo(f"{cluster.type} cluster '{cluster.name}' at {cluster.address}; what they write: {cluster.logs}")
    width = max((len(row["worker"]) for row in rows), default=0)
    for row in rows:
        said = f"answers, pid {row['pid']}" if row["answers"] else (
            "does not answer" if row["state"] == STATE_BUSY else row["state"])
        click.echo(f"{printable(row['worker']):<{width}}  {said}")


@click.command("scale")
@click.argument("number", metavar="N", type=click.IntRange(0))
@which_options
def scale(number: int, kind: str | None, name: str | None) -> int:
    """Have N workers in all, spread evenly over the hosts of an engine cluster that is up."""
    configure(0)
    from sshjobs.cluster.enginecluster import EngineCluster

    cluster = EngineCluster.attach(kind, name)
    came = cluster.scale(number)
    for worker in came.workers:
        click.echo(f"{printable(worker)} registered")
    for what, why in came.failures.items():
        complain(f"{printable(what)}: {why}")
    click.echo(f"{cluster.type} cluster '{cluster.name}' has {len(cluster.jobs())} workers")
    return EXIT_JOBS_FAILED if came.failures else EXIT_OK


@click.command("down")
@which_options
def down(kind: str | None, name: str | None) -> int:
    """Take an engine cluster down, and say what its hosts have left of it: nothing.

    Without options it is the one that was brought up last.
    """
    configure(0)
    from sshjobs.cluster.enginecluster import EngineCluster
    from sshjobs.views import wording

    cluster = EngineCluster.attach(kind, name)
    called, logs = cluster.name, cluster.logs
    receipt = cluster.down()
    click.echo(f"'{called}' is down; what it wrote is in {logs}")
    for line in wording.receipt(receipt.as_dict()):
        click.echo(printable(line))
    return EXIT_JOBS_FAILED if receipt.processes or receipt.files or receipt.unasked else EXIT_OK


COMMANDS = (up, status, scale, down)
