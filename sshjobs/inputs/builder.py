"""Builder: puts job specs together, from Python or from jobfiles."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sshjobs.errors import InputError, UsageError
from sshjobs.inputs.jobfile import MAX_JOBS, Entry, checked_values, load_jobfile
from sshjobs.inputs.jobnames import check_repeated
from sshjobs.inputs.limits import MAX_JOB, MOST_JOBS, too_large
from sshjobs.inputs.sweep import Mistakes, read_sweep
from sshjobs.inputs.sweepentry import JobChecker, SweptJobs, template_of
from sshjobs.model.given import check, check_number, check_path
from sshjobs.model.keys import KEYS, KeysGiven, Variables, spelled_out
from sshjobs.model.spec import JobSpec

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: The name of a job without one; the manager makes names unique.
NAMELESS = "job"


class Builder:
    """Provides a builder syntax for lists of job specs.

    :ivar repeat: how many jobs a later :meth:`AddJob` without ``repeat`` makes
    :ivar job_specs: the specs made so far, one a job
    :ivar run_keys: what jobfiles have said of the run as a whole, such as ``max_failures``
    """

    def __init__(self) -> None:
        self.repeat = 1
        self.job_specs: list[JobSpec] = []
        self.run_keys: dict[str, Any] = {}

    @spelled_out
    def AddJob(self, commands: str | Sequence[str] = (),
               files: Sequence[str | os.PathLike[str] | Mapping[str, Any]] = (),
               name: str | None = None, repeat: int | None = None, *, argv: Sequence[str] | None = None,
               base_dir: str | Path | None = None, matrix: Mapping[str, Any] | None = None,
               rows: str | os.PathLike[str] | Sequence[Mapping[str, Any]] | None = None,
               **keys: Unpack[KeysGiven]) -> Builder:
        """Add a job; with ``repeat`` above 1, as many jobs called ``name-1``, ``name-2`` and so on. With ``matrix`` or
        ``rows``, a job for each combination of parameters; ``${{ lr }}`` in a text stands for the value of ``lr``.

        Arguments are copied. Files are not looked at before they are sent.

        :param commands: lines of a script; a string is one line
        :param files: files and directories to send, relative to ``base_dir``
        :param repeat: how many jobs to make, 0 included; ``None`` for what :meth:`SetRepeat` said
        :param argv: a program and its arguments, instead of ``commands``
        :param base_dir: what relative paths are relative to; ``None`` is the current directory
        :param matrix: lists of values, by the names of parameters, as in a jobfile (docs/jobfile.md, "Parameters")
        :param rows: the path of a table, or mappings of parameters to values, one a combination
        :param keys: what a jobfile says under the same names (docs/jobfile.md). Times are seconds, or text such as
            ``2h30m``; ``env`` takes numbers, too; ``None`` means the default
        :return: the builder itself
        :raises UsageError: nothing to run, a value of the wrong type or out of its limits, or too many jobs;
            nothing was added
        """
        given: dict[str, Any] = {
            "commands": commands, "files": files, "name": name, "repeat": self.repeat if repeat is None else repeat,
            "argv": argv, "matrix": matrix, "rows": rows, **keys,
        }
        where = name[:60] if isinstance(name, str) else None
        values = checked_values(_plain(given), where=where)
        values.setdefault("name", NAMELESS)
        check_path("base_dir", base_dir, none=True)
        entry = _entry(values, os.path.abspath(base_dir or "."), where)
        if too_large(entry.spec):
            raise UsageError(f"commands, argv and env together have more than {MAX_JOB:,} bytes",
                             where=values["name"], hint="put text into files")
        self._make_room(entry.count)
        self.job_specs += entry.specs()
        return self

    def SetRepeat(self, repeat: int) -> Builder:
        """Set how many jobs each later :meth:`AddJob` without ``repeat`` makes.

        :return: the builder itself
        :raises UsageError: not a whole number from 0 up
        """
        self.repeat = checked_values({"repeat": repeat})["repeat"]
        return self

    def AddJobFile(self, path: str | Path, *, data: bytes | None = None, known: Collection[str] = (),
                   max_jobs: int = MAX_JOBS) -> Builder:
        """Add the jobs of a YAML jobfile. :meth:`SetRepeat` has no effect on them.

        :param path: the jobfile; ``-`` for standard input
        :param data: its content, if it was read already
        :param known: names of further entries for which its jobs may wait, beside its own and those added before
        :param max_jobs: how many jobs are allowed, with those added before
        :return: the builder itself
        :raises InputError: every mistake in the file, all at once; nothing was added
        """
        check_path("the jobfile", path)
        check("data", data, bytes, none=True)
        check_number("max_jobs", max_jobs, 1, MOST_JOBS, whole=True)
        entries = load_jobfile(path, data, {*known, *(spec.entry_name for spec in self.job_specs)}, most=max_jobs)
        self._make_room(sum(entry.count for entry in entries), max_jobs)
        self.run_keys.update(entries.run)
        for entry in entries:
            self.job_specs += entry.specs()
        return self

    def MakeJobSpecs(self) -> list[JobSpec]:
        """Return a new list of the specs of all calls before, one for each job, in order."""
        return list(self.job_specs)

    def _make_room(self, count: int, most: int = MAX_JOBS) -> None:
        total = len(self.job_specs) + count
        if total > most:
            raise UsageError(f"this would make {total:,} jobs, the limit is {most:,}", hint="lower repeat")


def _entry(values: dict[str, Any], base_dir: str, where: str | None) -> Entry:
    """Return an entry with these values, after checking each of its jobs.

    :raises UsageError: a mistake, the first of them
    """
    told = Mistakes()
    repeat, matrix, rows = (values.pop(key, None) for key in ("repeat", "matrix", "rows"))
    sweep = None
    if matrix is not None or rows is not None:
        sweep = read_sweep(matrix, rows, base_dir, MAX_JOBS, told)
        _raise_first(told, where)
    template = template_of(values, sweep.names if sweep else (), told)
    _raise_first(told, where)
    template.values["name"] = template.values["name"] or NAMELESS
    spec = template.spec(sweep, base_dir)
    entry = Entry(spec, repeat, 0, None if sweep is None else SweptJobs(sweep, repeat, template.name))
    if entry.swept is not None:
        # Files are checked when they are sent.
        JobChecker(template, entry.swept, None, told).check(spec)
        _raise_first(told, where)
    check_repeated(spec.entry_name, entry.count if template.name is None else 1)
    return entry


def _raise_first(told: Mistakes, where: str | None) -> None:
    if told.problems:
        raise InputError(told.problems)
    if told.told:
        raise UsageError(told.told[0][2], where=where)


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies of the arguments with the types that a jobfile has, without those that are ``None``."""
    plain: dict[str, Any] = {}
    for key, value in given.items():
        if value is None or (key == "commands" and given["argv"] is not None and not value):
            continue
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif key in KEYS and isinstance(KEYS[key].kind, Variables) and isinstance(value, Mapping):
            value = {name: str(one) if type(one) in (int, float) else one for name, one in value.items()}
        elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            value = [_plain_item(one) for one in value]
        plain[key] = value
    return plain


def _plain_item(one: Any) -> Any:
    if isinstance(one, Mapping):
        return {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in one.items()}
    return os.fspath(one) if isinstance(one, os.PathLike) else one
