"""``sshjobs serve``."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import results_option
from sshjobs.errors import EXIT_OK, UsageError
from sshjobs.store.rundir import find_run


@click.command("serve")
@click.argument("runs", metavar="[RUN]...", shell_complete=candidates.runs, nargs=-1)
@results_option
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True,
              help="Listen there. Anything but this machine's own loopback needs --certfile, or --insecure.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=8181, show_default=True,
              help="Listen at this port; 0 takes any that is free.")
@click.option("--base-path", metavar="/PATH", default="", help="A proxy serves the pages below this path.")
@click.option("--allowed-host", "allowed_hosts", metavar="NAME", multiple=True,
              help="A further name that the pages are reached by, as behind a proxy. May be repeated.")
@click.option("--certfile", metavar="FILE", help="Serve https with this certificate, in PEM form.")
@click.option("--keyfile", metavar="FILE", help="Its private key, where it is not in the same file.")
@click.option("--hosts", "hosts_file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="When hosts are added in the browser, * and ? in a name stand for hosts of this file.")
@click.option("--read-only", is_flag=True, help="Show everything, let nobody change anything.")
@click.option("--insecure", is_flag=True, help="Serve without https to other machines.")
@click.option("--poll", metavar="SECONDS", type=click.FloatRange(min=0), default=10.0, show_default=True,
              help="How often a browser asks that cannot be told of changes; 0 for never.")
def command(runs: tuple[str, ...], results: Path, host: str, port: int, base_path: str, allowed_hosts: tuple[str, ...],
            certfile: str | None, keyfile: str | None, hosts_file: Path | None, read_only: bool, insecure: bool,
            poll: float) -> int:
    """Show runs in a browser and manage them there: each RUN, or all in the results directory.

    Prints the address. Everybody who has it may do what you may; it stays the same when the command is started again.
    """
    configure(0)
    from sshjobs.web.needs import check_installed

    check_installed()
    from sshjobs.web.server import Settings, WebServer
    from sshjobs.web.sources import Sources

    if not runs and results.exists() and not results.is_dir():
        raise UsageError("it is no directory of runs", where=str(results))
    named = [find_run(results, run) for run in runs]
    sources = Sources(None if named else results, named)
    server = WebServer(sources, Settings(host=host, port=port, base=base_path, allowed_hosts=allowed_hosts,
                                         certfile=certfile, keyfile=keyfile, read_only=read_only, insecure=insecure,
                                         poll_seconds=poll, hosts_file=hosts_file))
    server.serve(when_up=lambda: announce(server.login_url, host, server.port))
    return EXIT_OK


def announce(url: str, host: str, port: int) -> None:
    """Print the address to open and, where the user has logged in from elsewhere, how to reach it from there."""
    click.echo(url)
    if os.environ.get("SSH_CONNECTION") and host in ("127.0.0.1", "localhost"):
        complain(f"from your own machine: ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}, then open the address")
