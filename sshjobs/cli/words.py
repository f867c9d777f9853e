"""Tells which words of a command line are RUN and which are JOB."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from sshjobs.cli.failures import complain
from sshjobs.errors import RunNotFoundError, StoreError, UsageError
from sshjobs.model.selection import selection_of
from sshjobs.store import named
from sshjobs.store.ownership import owner_of
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import JobRow
from sshjobs.store.rundir import RunPaths, find_run, list_runs, names_run

#: The value of ``--results`` when it is left out.
DEFAULT_RESULTS = "results"


def say_owner(paths: RunPaths) -> None:
    """Warn where a run belongs to another user."""
    owner = owner_of(paths)
    if owner is not None:
        complain(f"{paths.name} belongs to user {owner}: what it says is theirs, and it can be looked at only")


def run_and_job(results: Path, words: Sequence[str]) -> tuple[RunPaths, str]:
    """Return the run and the name of the job that ``[RUN] JOB`` mean.

    :raises UsageError: there are too many words, the job is missing, or a word can mean two things
    """
    paths, jobs = run_and_jobs(results, words, one=True)
    if not jobs:
        raise UsageError(f"{paths.name} is a run, and no job of it was named",
                         hint=f"write: sshjobs logs {handle(paths)} JOB")
    if len(jobs) > 1:
        # The first word was taken for a job, because no run has that name.
        find_run(results, words[0])
        raise UsageError("one job at a time, please", why=f"got {', '.join(jobs)}")
    return paths, jobs[0]


def run_and_jobs(results: Path, words: Sequence[str], *, one: bool = False,
                 newest: Callable[[Path], RunPaths] = find_run) -> tuple[RunPaths, list[str]]:
    """Return the run and the names that ``[RUN] [JOB…]`` mean. Whether such jobs exist is not checked.

    The first word is a run if it names one or holds a ``/``, else a job of the newest run.

    :param one: at most one job can follow, so that the first of two words is certainly a run
    :param newest: returns the run that is meant when none is named
    :raises UsageError: the first word can mean a run as well as a job
    :raises RunNotFoundError: there is no such run, or none at all
    """
    return _split(results, words, "job", lambda reader, word: reader.job(word) is not None, one=one, newest=newest)


def jobs_of_some_run(results: Path, words: Sequence[str]) -> tuple[RunPaths, list[str]]:
    """Return what ``[RUN] [JOB…]`` mean for a command that mostly gets a run alone: for a word that is neither a run
    nor a job, the error says that there is no such run.

    :raises RunNotFoundError: there is no such run, or none at all
    """
    paths, names = run_and_jobs(results, words)
    if len(words) == len(names) == 1 and not named.is_pattern(words[0]):
        with RunReader.open(paths) as reader:
            if reader.job(words[0]) is None:
                find_run(results, words[0])
    return paths, names


def run_and_hosts(results: Path, words: Sequence[str], *,
                  newest: Callable[[Path], RunPaths] = find_run) -> tuple[RunPaths, list[str]]:
    """Return the run and the words that ``[RUN] HOST…`` mean, as :func:`run_and_jobs`."""
    return _split(results, words, "host", lambda reader, word: any(row.host.name == word for row in reader.hosts()),
                  newest=newest)


def _split(results: Path, words: Sequence[str], noun: str, known: Callable[[RunReader, str], bool], *,
           one: bool = False, newest: Callable[[Path], RunPaths]) -> tuple[RunPaths, list[str]]:
    # A value of a parameter may contain a slash; the name of a run contains no bracket.
    if not words or selection_of(words[0]) is not None or not names_run(results, words[0]):
        return newest(results), list(words)
    paths, names = find_run(results, words[0]), list(words[1:])
    if "/" not in words[0] and not (one and names):
        other = newest(results)
        with RunReader.open(other) as reader:
            if known(reader, words[0]):
                raise UsageError(
                    f"'{words[0]}' is a run and also a {noun}",
                    why=f"the run {paths.root} and the {noun} {words[0]} of run {other.name}",
                    hint=f"for the run write {_as_path(paths)}, for the {noun} {_as_path(other)} {words[0]}",
                )
    return paths, names


def open_run(results: Path) -> RunPaths:
    """Return the newest run that is not over, or the newest of all where all are over: the run that people mean who act
    on a run without naming it.

    :raises RunNotFoundError: there is none
    """
    for paths in reversed(list_runs(results)):
        with contextlib.suppress(StoreError), RunReader.open(paths) as reader:
            if reader.summary().state not in ("done", "failed", "cancelled"):
                return paths
    return find_run(results)


def named_jobs(reader: RunReader, words: Sequence[str]) -> list[JobRow]:
    """Return the jobs that words of a command line mean, see :func:`sshjobs.store.named.named_jobs`.

    :raises UsageError: no job has such a name or such parameters, or matches a pattern
    """
    return named.named_jobs(reader, words, handle(reader.paths))


def named_runs(results: Path, words: Sequence[str]) -> list[RunPaths]:
    """Return the runs that words of a command line mean, each once: names, paths, and patterns such as ``exec-*``.

    :raises RunNotFoundError: no run has such a name, or a pattern matches none
    """
    found: dict[Path, RunPaths] = {}
    for word in words:
        if named.is_pattern(word) and not names_run(results, word):
            matching = [paths for paths in list_runs(results) if fnmatchcase(paths.name, word)]
            if not matching:
                raise RunNotFoundError(f"no run matches '{word}'", where=str(results), hint="see: sshjobs ls")
        else:
            matching = [find_run(results, word)]
        found.update((paths.root.absolute(), paths) for paths in matching)
    return list(found.values())


def handle(paths: RunPaths) -> str:
    """Return what to type for a run: its name where the default directory has it, else its path."""
    results = os.environ.get("SSHJOBS_RESULTS") or DEFAULT_RESULTS
    if os.path.abspath(results) == os.path.abspath(paths.root.parent):
        return paths.name
    return _as_path(paths)


def _as_path(paths: RunPaths) -> str:
    relative = os.path.relpath(paths.root)
    return str(paths.root) if relative.startswith("..") else f"./{relative}" if "/" not in relative else relative
