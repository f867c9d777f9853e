"""``sshjobs hosts add``, ``drain``, ``undrain``, ``remove`` and ``set``: the hosts of a run that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer_of_run, json_option
from sshjobs.cli.options import hosts_of, results_option
from sshjobs.cli.words import handle, open_run, run_and_hosts
from sshjobs.errors import EXIT_OK, UsageError
from sshjobs.model.given import MAX_SLOTS
from sshjobs.store.rundir import RunPaths
from sshjobs.views.acts import names as listed
from sshjobs.views.wording import count


@click.command("add")
@click.argument("words", metavar="[RUN] HOST...", shell_complete=candidates.hosts_of_run, nargs=-1)
@json_option
@results_option
def add(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Let RUN use further hosts; the newest run that is not over if it is left out.

    HOST is a hosts file, or a list such as h1,node[01-16].
    """
    from sshjobs.running.requests import host_data

    paths, values = _run_and_hosts(results, words)
    from sshjobs.running.unattended import carry_out

    told = carry_out(paths, {"do": "hosts-add", "hosts": [host_data(host) for host in hosts_of(values)]})
    hosts = told.answer["hosts"]
    answer_of_run(paths, f"{listed(hosts)} added to {paths.name}", live=told.live, as_json=as_json, hosts=hosts)
    return EXIT_OK


@click.command("drain")
@click.argument("words", metavar="[RUN] HOST...", shell_complete=candidates.hosts_of_run, nargs=-1)
@json_option
@results_option
def drain(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Start nothing more on hosts of RUN; what runs there goes on."""
    paths, names = _run_and_names(results, words)
    live = _ask(paths, {"do": "hosts-drain", "hosts": names})
    answer_of_run(paths, f"{listed(names)} of {paths.name} drained: nothing more starts there", live=live,
                  as_json=as_json, hosts=names)
    return EXIT_OK


@click.command("undrain")
@click.argument("words", metavar="[RUN] HOST...", shell_complete=candidates.hosts_of_run, nargs=-1)
@json_option
@results_option
def undrain(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Use hosts of RUN again that were drained, or that are about to leave."""
    paths, names = _run_and_names(results, words)
    live = _ask(paths, {"do": "hosts-undrain", "hosts": names})
    answer_of_run(paths, f"{listed(names)} of {paths.name} used again", live=live, as_json=as_json, hosts=names)
    return EXIT_OK


@click.command("remove")
@click.argument("words", metavar="[RUN] HOST...", shell_complete=candidates.hosts_of_run, nargs=-1)
@json_option
@results_option
def remove(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Take hosts out of RUN as soon as what runs there has ended.

    Nothing more starts there. Jobs that may run nowhere else are skipped then.
    """
    paths, names = _run_and_names(results, words)
    live = _ask(paths, {"do": "hosts-remove", "hosts": names})
    verb = "leaves" if len(names) == 1 else "leave"
    answer_of_run(paths, f"{listed(names)} {verb} {paths.name} when nothing of it runs there", live=live,
                  as_json=as_json, hosts=names)
    return EXIT_OK


@click.command("lost")
@click.argument("words", metavar="[RUN] HOST...", shell_complete=candidates.hosts_of_run, nargs=-1)
@json_option
@results_option
def lost(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Say that hosts of RUN will not come back: what was launched there counts as lost, and is run elsewhere.

    Only you can know it. Should such a host come back after all, what still runs there is ended.
    """
    paths, names = _run_and_names(results, words)
    from sshjobs.running.unattended import carry_out

    told = carry_out(paths, {"do": "hosts-lost", "hosts": names})
    jobs = told.answer["jobs"]
    answer_of_run(paths, f"{count(len(jobs), 'job')} on {listed(names)} taken for lost", live=told.live,
                  as_json=as_json, hosts=names, jobs=jobs)
    return EXIT_OK


@click.command("set")
@click.argument("words", metavar="[RUN] HOST... slots=N", shell_complete=candidates.hosts_of_run, nargs=-1)
@json_option
@results_option
def set_(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Change how many jobs hosts of RUN take at a time; what runs there is left alone."""
    settings = [word for word in words if word.startswith("slots=")]
    if len(settings) != 1:
        raise UsageError("say once what to set", hint="write: sshjobs hosts set HOST slots=4")
    text = settings[0].removeprefix("slots=")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_SLOTS):
        raise UsageError(f"slots cannot be '{text}'", hint=f"use 1 to {MAX_SLOTS}")
    paths, names = _run_and_names(results, [word for word in words if word not in settings])
    live = _ask(paths, {"do": "hosts-slots", "hosts": names, "slots": int(text)})
    verb = "takes" if len(names) == 1 else "take"
    answer_of_run(paths, f"{listed(names)} of {paths.name} {verb} {count(int(text), 'job')} at a time", live=live,
                  as_json=as_json, hosts=names, slots=int(text))
    return EXIT_OK


def _run_and_hosts(results: Path, words: Sequence[str]) -> tuple[RunPaths, list[str]]:
    paths, names = run_and_hosts(results, words, newest=open_run)
    if not names:
        raise UsageError("no host was named", hint=f"write: sshjobs hosts drain {handle(paths)} HOST")
    return paths, names


def _run_and_names(results: Path, words: Sequence[str]) -> tuple[RunPaths, list[str]]:
    """Return the run and the names of the hosts, ranges written out."""
    from sshjobs.inputs.hostfile import read_host_lines

    paths, values = _run_and_hosts(results, words)
    return paths, [host.name for host in read_host_lines(values, "hosts")]


def _ask(paths: RunPaths, request: dict[str, Any]) -> bool:
    from sshjobs.running.unattended import carry_out

    return carry_out(paths, request).live


COMMANDS = (add, drain, undrain, remove, lost, set_)
