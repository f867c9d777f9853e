"""``sshjobs hosts install``: the ``gjob`` command on hosts, for those who want to type it there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from sshjobs import __version__
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import accepts_new_keys, hosts_of, hosts_option, new_keys_option, transport_option
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_NO_HOST, EXIT_OK, HostError, printable
from sshjobs.model.host import Host

#: Hosts at a time: a stock sshd, or a jump host, turns more logins at once away.
AT_ONCE = 8
#: Seconds for one host.
PATIENCE = 60.0

_WORDS = {"installed": "installed", "updated": "updated", "unchanged": "already there", "removed": "removed",
          "absent": "not there"}


@dataclass
class Answer:
    """What came of one host: what it said, or why it could not be used."""

    host: Host
    facts: dict[str, Any] | None
    error: str | None

    def text(self) -> str:
        """Return it in a line."""
        if self.facts is None:
            return (self.error or "").removeprefix(f"{self.host.name}: ")
        did, path = self.facts["did"], self.facts["path"]
        text = f"{_WORDS[did]}: {path}"
        if did == "updated":
            text += f" ({self.facts['old']} -> {self.facts['version']})"
        if did not in ("removed", "absent") and not self.facts["on_path"]:
            text += (f"; {path.rpartition('/')[0]} is not on the PATH of commands over ssh: put it there "
                     "(in .bashrc, before it returns for non-interactive shells), or use the whole path")
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"host": self.host.name, "ok": self.facts is not None, **(self.facts or {}), "reason": self.error}


@click.command("install")
@hosts_option(required=True)
@click.option("--remove", is_flag=True, help="Take it away again.")
@click.option("--force", is_flag=True, help="Replace a newer one, or another program of that name.")
@click.option("--ssh-config", metavar="FILE", help="Use this ssh configuration instead of your own.")
@transport_option("How to reach hosts; local: all are this machine.")
@new_keys_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per host.")
@click.option("-v", "--verbose", count=True, help="Say more.")
def install(hosts: tuple[str, ...], remove: bool, force: bool, ssh_config: str | None, transport: str | None,
            as_json: bool, verbose: int) -> int:
    """Put the gjob command on hosts as ~/.local/bin/gjob, one file that needs Python 3.6 or newer only.

    Running jobs does not need it: sshjobs and `gjob remote` bring along what they need. Exit codes: 0 done on all,
    1 not on some, 3 on none.
    """
    configure(verbose)
    from sshjobs.network.oneshot import ask_hosts

    chosen = hosts_of(hosts)
    request: dict[str, Any] = {"verb": "install", "size": None}
    body = b""
    if not remove:
        from sshjobs.gjob.ship import one_file

        body = one_file(__version__)
        request.update(size=len(body), version=__version__, force=force)
    told = asyncio.run(ask_hosts(chosen, lambda host: {**request, "python": host.python}, body,
                                 transport=transport, ssh_config=ssh_config,
                                 accept_new_host_keys=accepts_new_keys(), at_once=AT_ONCE, patience=PATIENCE))
    return _report([_answer(host, result) for host, result in zip(chosen, told, strict=True)], as_json)


def _answer(host: Host, result: tuple[int, bytes, bytes] | HostError) -> Answer:
    if isinstance(result, HostError):
        return Answer(host, None, str(result))
    from sshjobs.network.oneshot import read_answer
    from sshjobs.network.protocol.fields import NAME, PATH, Flag, Maybe, Record, Word

    form = Record({"did": Word(frozenset(_WORDS)), "path": PATH, "version": Maybe(NAME), "old": Maybe(NAME),
                   "on_path": Flag(), "python": NAME})
    status, out, err = result
    if status:
        return Answer(host, None, err.decode("utf-8", "replace").strip().removeprefix("gjob: ")[:1000])
    try:
        return Answer(host, read_answer(host, out, form.take), None)
    except HostError as error:
        return Answer(host, None, str(error))


def _report(answers: Sequence[Answer], as_json: bool) -> int:
    width = max(len(answer.host.name) for answer in answers)
    for answer in answers:
        if as_json:
            click.echo(json.dumps(answer.as_dict()))
        else:
            mark = "ok" if answer.facts is not None else "NO"
            click.echo(printable(f"{answer.host.name:<{width}}  {mark}  {answer.text()}"))
    good = sum(answer.facts is not None for answer in answers)
    return EXIT_OK if good == len(answers) else EXIT_JOBS_FAILED if good else EXIT_NO_HOST
