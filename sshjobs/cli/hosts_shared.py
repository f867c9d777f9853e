"""``sshjobs hosts who`` and ``sshjobs hosts usage``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import accepts_new_keys, hosts_of, hosts_option, new_keys_option, transport_option
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_NO_HOST, EXIT_OK, HostError, printable

if TYPE_CHECKING:
    from sshjobs.model.host import Host
    from sshjobs.network.sharing import Shares, Usage

_Function = TypeVar("_Function", bound=Callable[..., Any])
_HEADINGS = ("HOST", "PERSON", "RUN", "JOBS", "SLOTS", "MEMORY", "GPUS", "SINCE")
_USED = ("HOST", "PERSON", "RUN", "JOBS", "SLOT HOURS", "GIB HOURS", "GPU HOURS")
_HOUR = 3600.0


def _asking(function: _Function) -> _Function:
    """Add what says which hosts are asked, and how."""
    function = click.option("-v", "--verbose", count=True, help="Say more.")(function)
    function = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per host.")(function)
    function = new_keys_option(function)
    function = transport_option("How to reach hosts; local: all are this machine.")(function)
    function = click.option("--ssh-config", metavar="FILE",
                            help="Use this ssh configuration instead of your own.")(function)
    return hosts_option()(function)


@click.command("who")
@_asking
def who(hosts: tuple[str, ...], ssh_config: str | None, transport: str | None, as_json: bool, verbose: int) -> int:
    """Show who holds what of hosts: the runs of all persons there, and who waits.

    Exit codes: 0 all have answered, 1 some have not, 3 none has.
    """
    configure(verbose)
    from sshjobs.network.sharing import who as ask

    chosen = _chosen(hosts)
    told = ask(chosen, transport=transport, ssh_config=ssh_config, accept_new_host_keys=accepts_new_keys())
    return _report(chosen, told, _HEADINGS, _shares_rows, _shares_data, as_json)


@click.command("usage")
@_asking
@click.option("--since", "seconds", metavar="TIME", default="7d", callback=lambda _, __, value: _time(value),
              help="How far back: 12h, 7d.  [default: 7d]")
def usage(hosts: tuple[str, ...], ssh_config: str | None, transport: str | None, as_json: bool, verbose: int,
          seconds: float) -> int:
    """Sum up what the runs of all persons have used of hosts lately.

    A host knows this since it was booted, as far as its log reaches. Exit codes as of `hosts who`.
    """
    configure(verbose)
    from sshjobs.network.sharing import usage as ask

    chosen = _chosen(hosts)
    told = ask(chosen, seconds, transport=transport, ssh_config=ssh_config, accept_new_host_keys=accepts_new_keys())
    return _report(chosen, told, _USED, _usage_rows, _usage_data, as_json)


def _time(text: str) -> float:
    from sshjobs.inputs.timespans import parse_duration

    return parse_duration(text)


def _chosen(hosts: Sequence[str]) -> list[Host]:
    return hosts_of(hosts or ("localhost",))


_T = TypeVar("_T")


def _report(hosts: Sequence[Host], told: Sequence[_T | HostError], headings: Sequence[str],
            rows: Callable[[str, _T], list[tuple[str, ...]]], data: Callable[[_T], dict[str, Any]],
            as_json: bool) -> int:
    """Print what hosts have told, and return the exit code."""
    lines = [tuple(headings)]
    silent = list[HostError]()
    for host, one in zip(hosts, told, strict=True):
        if isinstance(one, HostError):
            silent.append(one)
        if as_json:
            more = {"reason": str(one)} if isinstance(one, HostError) else data(one)
            click.echo(json.dumps({"host": host.name, "ok": not isinstance(one, HostError), **more}))
        elif not isinstance(one, HostError):
            lines += rows(host.name, one)
    if not as_json:
        if len(silent) < len(hosts):
            _table(lines)
        for error in silent:
            click.echo(printable(str(error)), err=True)
    return EXIT_OK if not silent else EXIT_JOBS_FAILED if len(silent) < len(hosts) else EXIT_NO_HOST


def _table(lines: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(line[at]) for line in lines if len(line) > at) for at in range(max(map(len, lines)))]
    for line in lines:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False)).rstrip())


def _shares_rows(host: str, told: Shares) -> list[tuple[str, ...]]:
    from sshjobs.model.needs import shown_size
    from sshjobs.views.wording import clock

    if told.why is not None:
        return [(host, "-", printable(told.why))]
    rows = [_cells(host, _person(one.uid, one.user), one.run, one.jobs, one.slots,
                   shown_size(one.memory) if one.memory else "-", " ".join(one.units) or "-", clock(one.since))
            for one in told.holders]
    rows += [_cells(host, _person(one.uid, one.user), "(waits)", "-", one.slots, "-", "-", clock(one.since))
             for one in told.waits]
    return rows or [(host, "-", "nobody holds anything")]


def _usage_rows(host: str, told: Usage) -> list[tuple[str, ...]]:
    rows = [_cells(host, _person(one.uid, one.user), one.run, one.jobs,
                   *(f"{amount / _HOUR:.2f}" for amount in (one.slots, one.memory, one.units))) for one in told.used]
    return rows or [(host, "-", "nothing was used")]


def _cells(*values: object) -> tuple[str, ...]:
    return tuple(printable(str(value)) for value in values)


def _person(uid: int, user: str | None) -> str:
    return user or f"user {uid}"


def _shares_data(told: Shares) -> dict[str, Any]:
    return {"why": told.why, "holders": _dicts(told.holders), "waits": _dicts(told.waits)}


def _usage_data(told: Usage) -> dict[str, Any]:
    return {"first": told.first, "used": _dicts(told.used)}


def _dicts(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [row._asdict() for row in rows]
