"""A jobfile compared with earlier runs: what of it is done, runs, has failed, has changed, or is new."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from sshjobs.errors import SshjobsError
from sshjobs.model.after import afters_of
from sshjobs.model.spec import Job
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.earlier import DONE, FAILED, RUNNING, WAITING, Earlier
from sshjobs.planning.identity import Identities, Work, awaited_by_entry, in_order, reads
from sshjobs.scheduling.dependencies import group_key, matched_names
from sshjobs.store.works import WorkRow


class Standing(str, Enum):
    """What earlier runs say about a job of a jobfile. All jobs but those that are done or running are to run."""

    NEW = "new"
    CHANGED = "changed"
    FAILED = "failed"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"

    def __str__(self) -> str:
        return self.value


_STANDINGS = {DONE: Standing.DONE, RUNNING: Standing.RUNNING, FAILED: Standing.FAILED, WAITING: Standing.WAITING}


class Source(NamedTuple):
    """A job of an earlier run.

    :ivar run: the run, by its place among the runs (0 is the newest)
    :ivar number: the job's number in that run
    """

    run: int
    number: int
    name: str


class _Candidate(NamedTuple):
    """A job of an earlier run that may be equal to one of the file. ``rank`` is :data:`DONE` and so on."""

    rank: int
    run: int
    number: int
    name: str


class _Wanted:
    """The jobs of the file that have one identity, by their places, and the jobs of earlier runs that have it."""

    __slots__ = ("found", "places")

    def __init__(self, place: int):
        # Most identities have one job here and one there, and a list that grows takes room for four.
        self.places: tuple[int, ...] = (place,)
        self.found: tuple[_Candidate, ...] = ()


class _Left(NamedTuple):
    """A job of an earlier run that is equal to none of the file, with what it may be paired by.

    :ivar entry: its entry, where that has several jobs, and its number within the repeat
    """

    source: Source
    entry: tuple[str, int] | None


@dataclass
class Comparison:
    """What a jobfile asks for, compared with earlier runs. A job's place is its position in the file.

    :ivar jobs: all jobs of the file
    :ivar runs: the earlier runs, the newest first; they have to be open as long as this is used
    :ivar standings: the standing of each job, by its place
    :ivar sources: by place, the job of an earlier run that the job is equal to, or that it was before it changed
    :ivar inputs: the digests of what the jobs read, by the paths that they give
    :ivar orphans: jobs of the runs that the file does not ask for
    :ivar follows: for jobs that ran and count as changed only because a job that they wait for is to run: that job's
        name, by place
    :ivar broken: by run, how many jobs do not count because their output is not whole
    """

    jobs: Sequence[Job]
    runs: Sequence[Earlier]
    inputs: InputsHere
    standings: list[Standing] = field(default_factory=list)
    sources: dict[int, Source] = field(default_factory=dict)
    orphans: list[Source] = field(default_factory=list)
    follows: dict[int, str] = field(default_factory=dict)
    broken: Counter[int] = field(default_factory=Counter)

    def counts(self) -> dict[Standing, int]:
        """Return how many jobs have each standing, 0 included."""
        found = Counter(self.standings)
        return {standing: found[standing] for standing in Standing}

    def standing(self, *which: Standing) -> Iterator[int]:
        """Yield the places of the jobs with one of these standings, in the order of the file."""
        return (place for place, standing in enumerate(self.standings) if standing in which)


class InputsHere:
    """The inputs of the jobs of a jobfile, as they are on this machine now."""

    def __init__(self, staging: Staging):
        self._staging = staging
        self._digests: dict[object, str | None] = {}

    def work(self, job: Job) -> Work:
        """Return what a job's identity is computed from.

        :raises SshjobsError: an input cannot be read
        """
        if not reads(job.spec):
            return Work(job.spec, job.only_host, "")
        key = self._staging.key(job.spec)
        if key not in self._digests:
            try:
                inputs = self._staging.manifest(job.spec).inputs
            except SshjobsError as error:
                raise SshjobsError(error.what, where=error.where, why=error.why,
                                   hint="see to it, then try again") from error
            self._digests[key] = None if inputs is None else inputs.digest
        return Work(job.spec, job.only_host, self._digests[key])


def compare(jobs: Sequence[Job], runs: Sequence[Earlier], staging: Staging) -> Comparison:
    """Compare jobs with those of earlier runs.

    :param runs: in any order; of equal jobs in several runs the one in the newest run counts
    :raises SshjobsError: an input of a job cannot be read here, or a run cannot be read
    """
    newest_first = sorted(runs, key=lambda run: (run.created, run.name), reverse=True)
    return _Comparer(Comparison(jobs, newest_first, InputsHere(staging))).compare()


class _Comparer:
    def __init__(self, result: Comparison):
        self._result = result
        self._wanted: dict[bytes, _Wanted] = {}
        #: By the run in which a job was executed and its identity: how many such jobs were seen.
        self._known = Counter[tuple[str, bytes]]()
        #: Jobs of the runs that are equal to no job of the file.
        self._left: list[_Left] = []

    def compare(self) -> Comparison:
        result = self._result
        result.standings = [Standing.NEW] * len(result.jobs)
        if result.runs:
            self._identify()
            for number, run in enumerate(result.runs):
                self._read(number, run)
            self._match()
            self._follow()
            self._pair()
        return result

    def _identify(self) -> None:
        jobs, work_of = self._result.jobs, self._result.inputs.work
        identities = Identities(lambda: map(work_of, jobs))
        for place, work in enumerate(map(work_of, jobs)):
            if (identity := identities.identity(work)) is None:
                continue
            if (wanted := self._wanted.get(identity)) is None:
                self._wanted[identity] = _Wanted(place)
            else:
                wanted.places += (place,)

    def _read(self, number: int, run: Earlier) -> None:
        """Read the jobs of a run. A job that was carried over into a newer run is counted once."""
        here, several = Counter[tuple[str, bytes]](), len(self._result.runs) > 1
        for row, identity in run.jobs():
            wanted = None if identity is None else self._wanted.get(identity)
            if identity is None or wanted is None:
                self._leave(number, row)
                continue
            if several:
                made = row.origin or run.name, identity
                here[made] += 1
                if here[made] <= self._known[made]:
                    continue
            rank = run.rank(row)
            if rank == DONE and row.exit_status and not self._is_success(row.exit_status, wanted):
                rank = FAILED
            if rank == DONE and not self._was_brought(row, wanted):
                self._leave(number, row)
            elif rank == DONE and not run.whole(row):
                self._result.broken[number] += 1
                self._leave(number, row)
            else:
                wanted.found += (_Candidate(rank, number, row.number, row.name),)

        self._known |= here

    def _was_brought(self, row: WorkRow, wanted: _Wanted) -> bool:
        """Tell whether the earlier job was to bring all the files that the jobs of the file are to bring."""
        return all(row.spec.outputs.keys() >= self._result.jobs[place].spec.outputs.keys() for place in wanted.places)

    def _is_success(self, status: int, wanted: _Wanted) -> bool:
        """Tell whether an exit status that was a success in an earlier run is one for the jobs of the file."""
        return all(status in (self._result.jobs[place].spec.ok_exit or ()) for place in wanted.places)

    def _leave(self, run: int, row: WorkRow) -> None:
        entry = None if row.spec.entry is None else (row.spec.entry, row.spec.index)
        self._left.append(_Left(Source(run, row.number, row.name), entry))

    def _match(self) -> None:
        """Match each job of the file with an earlier one of the same identity, as far as there are enough: the best
        first, and of equally good ones that of the same name."""
        for wanted in self._wanted.values():
            if len(wanted.found) == len(wanted.places) == 1:
                self._give(wanted.places[0], wanted.found[0])
            elif wanted.found:
                self._match_several(wanted)
        self._wanted.clear()

    def _match_several(self, wanted: _Wanted) -> None:
        jobs, number = self._result.jobs, len(wanted.places)
        names = {jobs[place].name for place in wanted.places}
        best = sorted(wanted.found, key=lambda one: (one.rank, one.run, one.name not in names, one.number))
        chosen = best[:number]
        self._left += [_Left(Source(*one[1:]), None) for one in best[number:]]
        by_name = {one.name: one for one in reversed(chosen)}
        same = {place: one for place in wanted.places if (one := by_name.get(jobs[place].name)) is not None}
        given = {id(one) for one in same.values()}
        others = iter([one for one in chosen if id(one) not in given])
        for place in wanted.places:
            found = same.get(place) or next(others, None)
            if found is not None:
                self._give(place, found)

    def _give(self, place: int, found: _Candidate) -> None:
        self._result.standings[place] = _STANDINGS[found.rank]
        self._result.sources[place] = Source(*found[1:])

    def _follow(self) -> None:
        """Let no job count as done that waits for a job which is to run."""
        result = self._result
        awaits = awaited_by_entry(job.spec for job in result.jobs)
        if not awaits:
            return
        places: dict[str, list[int]] = defaultdict(list)
        for place, job in enumerate(result.jobs):
            places[job.spec.entry_name].append(place)
        to_run: dict[tuple[str, tuple[str, ...]], dict[object, str]] = {}
        for entry in in_order(awaits):
            for place in places[entry] if entry in awaits else ():
                if result.standings[place] is Standing.DONE and (name := self._runs_before(place, places, to_run)):
                    result.standings[place] = Standing.CHANGED
                    result.follows[place] = name

    def _runs_before(self, place: int, places: dict[str, list[int]],
                     to_run: dict[tuple[str, tuple[str, ...]], dict[object, str]]) -> str | None:
        """Return the name of a job that the given one waits for and that is to run; ``None`` where there is none."""
        spec = self._result.jobs[place].spec
        for after in afters_of(spec.after):
            members = places[after.entry]
            known = self._result.jobs[members[0]].spec.param_names if members else ()
            names = tuple(name for name in matched_names(spec, after) if name in known)
            if (after.entry, names) not in to_run:
                to_run[after.entry, names] = {
                    group_key(names, self._result.jobs[one].spec.params): self._result.jobs[one].name
                    for one in members if self._result.standings[one] is not Standing.DONE}
            if (found := to_run[after.entry, names].get(group_key(names, spec.params))) is not None:
                return found
        return None

    def _pair(self) -> None:
        """Find what new jobs were before they were changed: a job of the same name, else the next of the same entry."""
        result, left = self._result, self._left
        new = {job.name: place for place, job in enumerate(result.jobs) if result.standings[place] is Standing.NEW}
        in_file, newer = {job.name for job in result.jobs} if len(result.runs) > 1 else set(), set[str]()
        seen, unpaired = 0, list[_Left]()
        for one in sorted(left, key=lambda one: one.source):
            source = one.source
            while seen < source.run:
                newer.update(row.name for row in result.runs[seen].reader.jobs())
                seen += 1
            if (place := new.pop(source.name, None)) is not None:
                result.standings[place], result.sources[place] = Standing.CHANGED, source
            elif source.run == 0 or (source.name not in newer and source.name not in in_file):
                unpaired.append(one)
        by_entry: dict[tuple[str, int], list[int]] = defaultdict(list)
        for place in reversed(new.values()):
            spec = result.jobs[place].spec
            by_entry[spec.entry_name, spec.index].append(place)
        for one in unpaired:
            if one.entry is not None and (waiting := by_entry.get(one.entry)):
                place = waiting.pop()
                result.standings[place], result.sources[place] = Standing.CHANGED, one.source
            else:
                result.orphans.append(one.source)
