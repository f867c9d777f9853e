"""Finds the jobs of a run that words mean: names, ``train[lr=0.1]``, and patterns such as ``fit-*``."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from sshjobs.errors import UsageError
from sshjobs.model.selection import Selection, selection_of
from sshjobs.model.similar import similar
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import JobRow
from sshjobs.store.setups import as_job, setup_name


def is_pattern(word: str) -> bool:
    """Return whether a word can be a pattern of names."""
    return any(letter in word for letter in "*?[")


def need_job(reader: RunReader, name: str, run: str | None = None) -> JobRow:
    """Return the job of that name.

    :param run: how to call the run in messages; ``None``: by its name
    :raises UsageError: there is none; the hint has similar names
    """
    job = reader.job(name)
    if job is None:
        near = reader.near_names(name)
        hint = f"did you mean {' or '.join(near)}?" if near else f"see: sshjobs status {run or reader.paths.name} --all"
        raise UsageError(f"no job is called '{name}'", where=reader.paths.name, hint=hint)
    return job


def named_jobs(reader: RunReader, words: Sequence[str], run: str | None = None) -> list[JobRow]:
    """Return the jobs that words mean, each once.

    A word is first taken as a name, so that a job called ``x[1]`` can be named.

    :param run: how to call the run in messages; ``None``: by its name
    :raises UsageError: a word matches no job
    """
    found: dict[str, JobRow] = {}
    for word in words:
        job = reader.job(word)
        if job is None and (selection := selection_of(word)) is not None:
            found.update((job.name, job) for job in _selected(reader, selection, run or reader.paths.name))
        elif job is None and is_pattern(word):
            matching = [job for job in reader.jobs() if fnmatchcase(job.name, word)]
            if not matching:
                raise UsageError(f"no job matches '{word}'", where=reader.paths.name,
                                 hint=f"see: sshjobs status {run or reader.paths.name} --all")
            found.update((job.name, job) for job in matching)
        else:
            found[word] = job or need_job(reader, word, run)
    return list(found.values())


def _selected(reader: RunReader, selection: Selection, run: str) -> list[JobRow]:
    known = reader.parameters()
    names = known.get(selection.entry)
    if names is None:
        near = similar(selection.entry, known, 1)
        raise UsageError(f"no entry with parameters is called '{selection.entry}'", where=reader.paths.name,
                         hint=f"did you mean {near[0]}?" if near else f"they are {', '.join(known)[:200]}" if known else
                         f"see: sshjobs status {run} --all")
    for name in selection.values:
        if name not in names:
            raise UsageError(f"the jobs of {selection.entry} have no parameter '{name}'", where=reader.paths.name,
                             hint=f"they have {', '.join(names)}")
    if not (found := reader.selected(selection)):
        values = ", ".join(f"{name}={value}" for name, value in selection.values.items())
        raise UsageError(f"no job of {selection.entry} has {values}", where=reader.paths.name,
                         hint=f"see: sshjobs status {run} --all")
    return found


def named_setups(reader: RunReader, word: str) -> list[JobRow]:
    """Return the setups of hosts that a word means, a name such as ``setup@gpu1`` or a pattern, as rows of jobs; none
    if the word means a job."""
    if not word.startswith(setup_name("")) or reader.job(word) is not None:
        return []
    found = {row.name: row for row in map(as_job, reader.setups())}
    return [found[word]] if word in found else [row for name, row in found.items() if fnmatchcase(name, word)]
