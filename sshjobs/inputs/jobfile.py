"""Reads a jobfile: YAML or JSON in, job specs out, and all mistakes at once, each with line and column."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import ValidationError

from sshjobs.errors import InputError, Problem, UsageError
from sshjobs.inputs import jsontree, yamlevents
from sshjobs.inputs.explain import complaints, place_in, problems_of, suggestion
from sshjobs.inputs.foreignjobs import recognise
from sshjobs.inputs.jobmodel import JOB_KEYS, JobEntry, Jobfile, RunKeys, Settings, jobfile_schema
from sshjobs.inputs.jobnames import Register, check_repeated, repeated
from sshjobs.inputs.jobpaths import PathChecker, same_place, sent_item
from sshjobs.inputs.jobstages import Given, awaited_of, not_awaited, not_awaited_files, stage_mistakes, unknown_names
from sshjobs.inputs.limits import MAX_JOB, too_large
from sshjobs.inputs.scalars import describe, is_plain_decimal
from sshjobs.inputs.source import read_input
from sshjobs.inputs.sweep import Mistakes, Sweep, read_sweep
from sshjobs.inputs.sweepentry import JobChecker, SweptJobs, look_at_placeholders, template_of
from sshjobs.inputs.validation import valid
from sshjobs.inputs.yamltree import Document, Map, Place, Seq
from sshjobs.model.fill import OPEN
from sshjobs.model.keys import KEYS, Tries, Variables, Whole
from sshjobs.model.retrying import grows
from sshjobs.model.sent import taken
from sshjobs.model.spec import JobSpec

__all__ = ["MAX_JOBS", "Entry", "checked_values", "jobfile_schema", "load_jobfile"]

#: A run may have at most so many jobs.
MAX_JOBS = 1_000_000
#: The reader for each kind of jobfile.
_LOADERS = {"yaml": yamlevents.load, "json": jsontree.load, "jsonl": jsontree.load_lines}
#: At most so many mistakes are shown one by one.
MAX_PROBLEMS = 1000

_SETTING_KEYS, _JOB_KEYS, _TOP_KEYS = (list(model.model_fields) for model in (Settings, JobEntry, Jobfile))
_JOB_KEYS = sorted(JOB_KEYS) + _SETTING_KEYS
#: Keys where a number means the text as written; keys where it means the number, which must be unambiguous.
_AS_WRITTEN = ("commands", "argv", "setup", *(name for name, key in KEYS.items() if key.kind.as_written))
_COUNTS = ("repeat", *(name for name, key in KEYS.items() if isinstance(key.kind, (Whole, Tries))))
#: Keys of a job that are merged with the defaults; any other key replaces them.
_MERGED = tuple(name for name, key in KEYS.items() if isinstance(key.kind, Variables))


@dataclass(slots=True)
class Entry:
    """One entry of a jobfile.

    :ivar spec: what to run; its name is the entry's own or ``job-<place in the list>``
    :ivar repeat: how often it, or each combination of its parameters, is run; may be 0
    :ivar line: its line in the file, from 1
    :ivar swept: its jobs, if it has parameters
    """

    spec: JobSpec
    repeat: int
    line: int
    swept: SweptJobs | None = None

    @property
    def count(self) -> int:
        """How many jobs it makes."""
        return self.repeat if self.swept is None else self.swept.count()

    def specs(self) -> Iterator[JobSpec]:
        """Yield the spec of each job; the specs share their content."""
        if self.swept is not None:
            yield from self.swept.specs(self.spec)
            return
        if self.repeat != 1:
            self.spec.entry = self.spec.entry_name
        for name, index in repeated(self.spec.entry_name, self.repeat):
            yield self.spec.named(name, index)


@dataclass(slots=True)
class _Named:
    """The names of an entry's jobs.

    :ivar name: of the entry
    :ivar repeats: names of the jobs, if they differ from ``name``, each with its number of repeats
    """

    name: str
    place: Place
    repeats: Callable[[], Iterable[tuple[str, int]]]
    swept: bool = False


class Entries(list[Entry]):
    """The entries of a jobfile.

    :ivar run: the keys for the run as a whole
    """

    def __init__(self) -> None:
        super().__init__()
        self.run: dict[str, Any] = {}


def load_jobfile(path: str | Path, data: bytes | None = None, known: Collection[str] = (), *,
                 most: int = MAX_JOBS) -> Entries:
    """Return the entries of a jobfile in order, with at least one job.

    Relative ``files`` and ``stdin`` are relative to the directory of the jobfile, or to the current one for standard
    input. Checks these files, and starts nothing.

    :param path: the jobfile; ``-`` for standard input. ``.json`` is JSON, ``.jsonl`` has a job in JSON on each line
    :param data: its content, if it was read already
    :param known: names of further entries for which jobs may wait
    :param most: how many jobs are allowed
    :raises InputError: every mistake, all at once
    """
    file = "<stdin>" if str(path) == "-" else str(path)
    if data is None:
        limit = yamlevents.MAX_BYTES
        data = sys.stdin.buffer.read(limit + 1) if file == "<stdin>" else read_input(path, limit)
    base_dir = os.getcwd() if file == "<stdin>" else os.path.dirname(os.path.abspath(path))
    with yamlevents.collector_paused():
        return _Reader(file, base_dir, known, most).read(data)


class _Reader:
    def __init__(self, file: str, base_dir: str, known: Collection[str], most: int) -> None:
        self.file, self.base_dir, self.known, self.most = file, base_dir, known, most
        self.problems: list[Problem] = []
        self.paths = PathChecker(base_dir)
        self.defaults: dict[str, Any] = {}
        self.entries = Entries()
        self.names: list[_Named] = []
        self.total = 0
        #: The place of ``after`` in each entry that has it, by its index in the list of entries.
        self.waiting: dict[int, Place] = {}
        #: Files of other entries among the ``files`` of entries.
        self.given: list[Given] = []
        #: What entries with mistakes wait for, and where they say so.
        self.broken: list[tuple[list[str], Place]] = []

    def read(self, data: bytes) -> Entries:
        self.kind = jsontree.kind_of(self.file, data)
        document = _LOADERS[self.kind](data, self.file)
        if self.kind == "yaml" and (document.broken or not isinstance(document.root, Map)) and (
                found := recognise(data.decode("utf-8", "replace"), self.file)) is not None:
            raise InputError([Problem(self.file, 1, 1, found)])
        self.problems += document.problems
        if not document.broken:
            jobs = self._top(document)
            for n, item in enumerate(jobs or ()):
                self._item(item, jobs, n)
                jobs[n] = None  # free it: two copies of a large file need not be in memory
            self._names()
            self._stages()
            if jobs and not self.total and not self.problems:
                self._problem(jobs.place, "no jobs: every entry has repeat: 0, or only changes the defaults")
        self._raise()
        return self.entries

    def _problem(self, place: Place, message: str) -> None:
        self.problems.append(Problem(self.file, *place, message))

    def _raise(self) -> None:
        found = sorted(self.problems, key=lambda one: (one.file != self.file, one.file, one.line, one.column))
        if len(found) > MAX_PROBLEMS:
            more = Problem(self.file, 0, 0, f"{len(found) - MAX_PROBLEMS:,} more mistakes; correct these first")
            found = [*found[:MAX_PROBLEMS], more]
        if found:
            raise InputError(found)

    def _top(self, document: Document) -> Any:
        """Check the top of the file, take its defaults and return its list of jobs."""
        top = document.root
        if top is None and document.source is None:
            if not document.problems:
                self._problem((0, 0), "no jobs (the file is empty); write jobs: and a list")
            return None
        if not isinstance(top, Map):
            hint = "write jobs: above it" if isinstance(top, Seq) else "write jobs: and a list"
            hint = hint if self.kind == "yaml" else 'write {"jobs": […]}'
            got = describe(top, document.source)
            self._problem(document.place, f"a jobfile is a mapping with the key jobs, got {got}; {hint}")
            return None
        for key in top:
            if key not in _TOP_KEYS:
                self._problem(top.key_place(key), f"unknown key '{key[:60]}'; {suggestion(key, _TOP_KEYS)}")
        if not top.keys().isdisjoint(RunKeys.model_fields):  # else the model need not even be built
            self.entries.run = self._validated(RunKeys, top, _TOP_KEYS) or {}
        if "defaults" in top:
            self._change_defaults(top)
        jobs = top.get("jobs")
        if not isinstance(jobs, Seq) or not jobs:
            got = "got an empty list" if isinstance(jobs, Seq) else f"got {describe(jobs, None)}"
            got = got if "jobs" in top else "there is no key jobs"
            hint = "write jobs: and a list"
            if isinstance(jobs, Map) and jobs and all(isinstance(job, Map) for job in jobs.values()):
                hint = f"write each as an item of a list: - name: {next(iter(jobs))[:60]}"
            self._problem(top.value_place("jobs"), f"no jobs: {got}; {hint}")
            return None
        return jobs

    def _item(self, item: Any, jobs: Seq, n: int) -> None:
        if not isinstance(item, Map):
            hint = "write - commands: …" if isinstance(item, str) else "write - name: … and commands: …"
            got = describe(item, (jobs.sources or {}).get(n))
            self._problem(jobs.value_place(n), f"a job is a mapping, got {got}; {hint}")
        elif "defaults" not in item:
            self._job(item)
        elif len(item) == 1:
            self._change_defaults(item)
        else:
            other = next(key for key in item if key != "defaults")
            message = f"an entry changes the defaults or is a job, not both, got '{other[:60]}' too; make it two"
            self._problem(item.key_place(other), message)

    def _change_defaults(self, holder: Map) -> None:
        found = holder["defaults"]
        if not isinstance(found, Map):
            got = describe(found, (holder.sources or {}).get("defaults"))
            self._problem(holder.value_place("defaults"), f"defaults must be a mapping, got {got}; write key: value")
            return
        settings = self._validated(Settings, found, _SETTING_KEYS)
        self._look_at_files(found)
        if settings is not None:
            self.defaults = _merged(self.defaults, settings)

    def _validated(self, model: type[Settings | RunKeys], data: Map, keys: Sequence[str]) -> dict[str, Any] | None:
        """Return the values with the right types; ``None`` after mistakes."""
        try:
            made = valid(model, _as_written(data))
        except ValidationError as error:
            self.problems += problems_of(error, self.file, data, keys)
            return None
        values = made.__dict__
        return {key: values[key] for key in made.model_fields_set}

    def _look_at_files(self, data: Map) -> None:
        """Check the files that an entry sends, whatever else is wrong with it."""
        files, stdin = data.get("files"), data.get("stdin")
        if isinstance(files, Seq):
            for n, file in enumerate(files):
                one = None if OPEN in str(file) else sent_item(file)
                if one is not None and (complaint := self.paths.complaint_of(one)):
                    self._problem(file.value_place("path") if isinstance(file, Map) else files.value_place(n),
                                  f"files: {complaint}")
            if twice := same_place(files):
                self._problem(files.value_place(twice[0]), f"files: {twice[1]}; rename one")
        self._look_at_used(data.get("uses"))
        if _is_path(stdin) and (complaint := self.paths.complaint(stdin, directories=False)):
            self._problem(data.value_place("stdin"), f"stdin: {complaint}")

    def _look_at_used(self, used: Any) -> None:
        for item in used if isinstance(used, Seq) else ():
            path = item.get("path") if isinstance(item, Map) else None
            if _is_path(path) and (complaint := self.paths.complaint_of_used(path)):
                self._problem(item.value_place("path"), f"uses: {complaint}")

    def _job(self, data: Map) -> None:
        own, told = self._validated(JobEntry, data, _JOB_KEYS), Mistakes()
        self._look_at_files(data)
        # Mistakes in the parameters are reported, too, whatever else is wrong.
        sweep, sweeps = None, "matrix" in data or "rows" in data
        if isinstance(data.get("rows"), Seq):
            told.say(["rows"], "rows must be the path of a table, got a list; write rows: params.csv")
        matrix, rows = (data[key] if key in data and isinstance(data[key], kind) and data[key] else None
                        for key, kind in (("matrix", Map), ("rows", str)))
        if matrix is not None or rows is not None:
            sweep = read_sweep(matrix, rows, self.base_dir, self.most, told)
        if "commands" in data and "argv" in data:
            self._problem(data.key_place("argv"), "commands and argv exclude each other; keep one")
            own = None
        elif own is not None and "commands" not in own and "argv" not in own:
            self._problem(data.place, "nothing to run; add commands or argv")
            own = None
        if own is not None and (sweep is not None or not sweeps):
            self._entry(data, own, sweep, told)
        else:
            if (names := told.names if sweeps else ()) is not None:
                look_at_placeholders(data, names, told)
            self._broken(data, sweeps)
        self.problems += told.problems
        for path, of_key, message in told.told:
            self._problem(place_in(data, path, of_key) if path[0] in data else data.place, message)

    def _entry(self, data: Map, own: dict[str, Any], sweep: Sweep | None, told: Mistakes) -> None:
        values = {key: value for key, value in _merged(self.defaults, own).items() if key not in ("matrix", "rows")}
        repeat = values.pop("repeat", 1)
        template = template_of(values, sweep.names if sweep else (), told)
        if not self._look_at_taken(data, values):
            self._broken(data, sweep is not None, values.get("after", {}))
            return
        try:
            spec = template.spec(sweep, self.base_dir)
        except UsageError as error:  # keys that do not go together
            self._problem(data.place, str(error))
            self._broken(data, sweep is not None, values.get("after", {}))
            return
        if spec.timeout is None and grows(spec.retries, "timeout"):
            place = data.value_place("retries") if "retries" in data else data.place
            self._problem(place, "retries would raise timeout, and the job has none; say how long it may take at "
                                 "first: timeout: 1h")
        swept = None if sweep is None else SweptJobs(sweep, repeat, template.name)
        entry = Entry(spec, repeat, data.place[0], swept)
        if too_large(spec):
            message = f"commands, argv and env together have more than {MAX_JOB:,} bytes; put text into files"
            self._problem(data.place, message)
        if spec.name:
            self.names.append(_named(entry, data.value_place("name")))
            try:
                check_repeated(spec.name, entry.count if template.name is None else 1)
            except UsageError as error:
                self._problem(data.value_place("name"), str(error))
        self._count(entry, data)
        if swept is not None and not told and self.total <= self.most:
            JobChecker(template, swept, self.paths, told).check(spec)
        if spec.after:
            self.waiting[len(self.entries)] = data.value_place("after") if "after" in data else data.place
        self.entries.append(entry)

    def _look_at_taken(self, data: Map, values: Mapping[str, Any]) -> bool:
        """Check the files that an entry gets from other entries; return whether it waits for all of those."""
        right, files = True, data.get("files")
        items = [item for item in files if isinstance(item, Map) and "from" in item] if isinstance(files, Seq) else []
        for n, one in enumerate(taken(values.get("files", ()))):
            place = items[n].value_place("from") if n < len(items) else data.place
            if one.entry not in values.get("after", {}):
                right = False
                self._problem(place, not_awaited(one.entry))
            self.given.append(Given(one.entry, one.path, place))
        return right

    def _broken(self, data: Map, swept: bool, after: Mapping[str, Any] | None = None) -> None:
        """Note the name of an entry that has mistakes, and look at which other entries it names.

        :param after: those that it waits for, where its files were looked at
        """
        if after is None:
            after = awaited_of(data.get("after", self.defaults.get("after", {})))
            for place, text in not_awaited_files(data.get("files"), after):
                self._problem(place, text)
        self.broken.append((list(after or ()), data.value_place("after") if "after" in data else data.place))
        if isinstance(name := data.get("name"), str):
            self.names.append(_Named(name, data.value_place("name"), lambda: () if swept else [(name, 1)]))

    def _count(self, entry: Entry, data: Map) -> None:
        """Count the jobs before any are made."""
        before, self.total = self.total, self.total + entry.count
        if before <= self.most < self.total:
            message = f"this would make {self.total:,} jobs, the limit is {self.most:,}; lower repeat, or use more runs"
            key = next((key for key in ("repeat", "matrix", "rows") if key in data), "repeat")
            self._problem(data.value_place(key), message)

    def _names(self) -> None:
        """Report names that occur twice, and give names to entries without one."""
        if self.total > self.most:
            return
        register = Register()
        for n, named in enumerate(self.names):
            for name, repeat in named.repeats():
                register.add(name, repeat, n)
        for later, first, name in register.clashes():
            message = f"the name '{name}' is taken (first on line {self.names[first].place[0]}); choose another"
            self._problem(self.names[later].place, message)
        entries: dict[str, _Named] = {}
        for named in self.names:
            first_one = entries.setdefault(named.name, named)
            if first_one is not named and (named.swept or first_one.swept):
                message = f"an entry is called '{named.name}' already (on line {first_one.place[0]}); choose another"
                self._problem(named.place, message)
        for n, entry in enumerate(self.entries):
            if not entry.spec.name:
                entry.spec.name = register.free_name(n + 1, entry.count)

    def _stages(self) -> None:
        """Report entries that wait for unknown entries or in a circle, or get files that no job leaves."""
        names = [named.name for named in self.names]
        for place, text in (*stage_mistakes(self.entries, self.waiting, self.given, names, self.known),
                            *unknown_names(self.broken, {*names, *self.known})):
            self._problem(place, text)


def _is_path(value: Any) -> TypeGuard[str]:
    """Return whether a value is a path without placeholders, which can be checked now."""
    return isinstance(value, str) and value != "" and OPEN not in value


def _named(entry: Entry, place: Place) -> _Named:
    """Return the names of the jobs of an entry that has a name."""
    name, swept, repeat = entry.spec.entry_name, entry.swept, entry.repeat
    if swept is None or (swept.name is None and swept.count() > 1):
        return _Named(name, place, lambda: [(name, entry.count)], swept is not None)
    if swept.name is None:
        return _Named(name, place, lambda: [(f"{name}-1", entry.count)], True)
    return _Named(name, place, lambda: ((one, repeat) for one in swept.titles()), True)


def checked_values(values: Mapping[str, Any], where: str | None = None) -> dict[str, Any]:
    """Return the values of one job that a program passed, with the right types; files are not looked at.

    :param where: the name of the job for the message
    :raises UsageError: a mistake, the first of them
    """
    try:
        made = valid(JobEntry, values)
    except ValidationError as error:
        raise UsageError(complaints(error, values, _JOB_KEYS, quote=False)[0][2], where=where) from None
    for key, value in values.items():
        if any("\0" in text for text in _texts(value)):
            raise UsageError(f"{key} cannot hold a NUL byte", where=where, hint="take it out")
    return {key: made.__dict__[key] for key in made.model_fields_set}


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        yield from (one for one in value if isinstance(one, str))
        yield from (one for one in (value.values() if isinstance(value, dict) else ()) if isinstance(one, str))


def _merged(defaults: Mapping[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the job's own values with the defaults for the others; ``env`` is merged variable by variable."""
    values = {**defaults, **own}
    for key in _MERGED:
        if key in own and key in defaults:
            values[key] = {**defaults[key], **own[key]}
    return values


def _as_written(data: Map) -> Mapping[str, Any]:
    """Return an entry in which numbers are replaced by the text that was written, where that is meant.

    ``0755``, ``1:30`` and ``1e3`` are numbers in YAML; in a command, an argument or a variable they are meant as text.
    As a count they become text, too, and are so refused: 0755 is 493 in YAML.
    """
    changed: dict[str, Any] = {}
    for key, source in (data.sources or {}).items():
        value = data[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if key in _AS_WRITTEN or (key in _COUNTS and not is_plain_decimal(source)):
            changed[key] = source
    for key in _AS_WRITTEN:
        found = data.get(key)
        sources = found.sources if isinstance(found, (Map, Seq)) else None
        if found is not None and sources:
            copy: Any = dict(found) if isinstance(found, Map) else list(found)
            for place, source in sources.items():
                if isinstance(found[place], (int, float)) and not isinstance(found[place], bool):
                    copy[place] = source
            changed[key] = copy
    return {**data, **changed} if changed else data
