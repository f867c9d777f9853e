"""Completes RUN, JOB and HOST on a command line. It offers few candidates and never fails."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.errors import SshjobsError, hidden_in
from sshjobs.store.rundir import RunPaths, find_run, list_runs, names_run

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: How many names are offered at most.
MOST = 200
#: How many bytes a file may have in which hosts are looked for.
_MOST_BYTES = 1 << 20
_HOST_LINE = r"(?im)^\s*host[\s=]+(.+)$"


def runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the runs."""
    return _items(_runs(_results(context)), incomplete)


def one_run(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the runs where none is named yet."""
    return [] if _given(context) else runs(context, parameter, incomplete)


def jobs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the jobs of the run that is named, or of the newest one and all runs."""
    return _in_run(context, incomplete, _jobs)


def hosts_of_run(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the hosts of the run that is named, or of the newest one and all runs."""
    return _in_run(context, incomplete, lambda paths, start: _hosts_in(paths))


def hosts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer hosts that are known here: of the newest run, of the usual hosts, and of the user's ssh configuration."""
    before, comma, last = incomplete.rpartition(",")
    found: list[tuple[str, str]] = []
    with contextlib.suppress(SshjobsError, OSError):
        found += _hosts_in(find_run(_results(context)))
    usual = os.environ.get("SSHJOBS_HOSTS", "")
    text = _text(Path(usual)) if usual else ""
    found += [(words[0], "") for line in text.splitlines() if (words := line.split()) and words[0][0] not in "#["]
    with contextlib.suppress(RuntimeError):
        for line in re.findall(_HOST_LINE, _text(Path.home() / ".ssh" / "config")):
            found += [(word, "") for word in line.split() if not set(word) & set("*?!\"")]
    if not comma and incomplete and (os.path.exists(incomplete) or not any(name.startswith(last) for name, _ in found)):
        return []
    return _items(((before + comma + name, about) for name, about in found), incomplete)


def _in_run(context: click.Context, incomplete: str,
            names: Callable[[RunPaths, str], list[tuple[str, str]]]) -> list[CompletionItem]:
    results, given = _results(context), _given(context)
    with contextlib.suppress(SshjobsError, OSError):
        if given and names_run(results, given[0]):
            return _items(names(find_run(results, given[0]), incomplete), incomplete)
        here = names(find_run(results), incomplete)
        return _items(here if given else here + _runs(results), incomplete)
    return []


def _items(names: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    # Our names have no control characters; a store from elsewhere may have such names.
    found = {name: about for name, about in names if name.startswith(incomplete) and not hidden_in(name)}
    return [CompletionItem(name, help=about or None) for name, about in list(found.items())[:MOST]]


def _results(context: click.Context) -> Path:
    chosen = context.params.get("results")
    return chosen if isinstance(chosen, Path) else Path(os.environ.get("SSHJOBS_RESULTS") or "results")


def _given(context: click.Context) -> list[str]:
    """Return the words that stand before, of a command that takes several."""
    words = context.params.get("words") or context.params.get("runs") or ()
    return [words] if isinstance(words, str) else [word for word in words if isinstance(word, str)]


def _runs(results: Path) -> list[tuple[str, str]]:
    with contextlib.suppress(SshjobsError, OSError):
        return [(paths.name, "run") for paths in reversed(list_runs(results))]
    return []


def _jobs(paths: RunPaths, start: str) -> list[tuple[str, str]]:
    from sshjobs.store.reader import RunReader

    with RunReader.open(paths) as reader:
        return [(name, "") for name in reader.names_from(start, MOST)]


def _hosts_in(paths: RunPaths) -> list[tuple[str, str]]:
    from sshjobs.store.reader import RunReader

    with RunReader.open(paths) as reader:
        return [(row.host.name, row.state or "") for row in reader.hosts()]


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

