"""JobIndex: an index of a run's jobs in memory, some 60 bytes a job, that follows the store and answers web pages."""

from __future__ import annotations

import re
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import compress, groupby, islice
from operator import itemgetter
from sys import byteorder

from sshjobs.model.selection import Selection
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_UNKNOWN, STATES, Outcome
from sshjobs.store.indexrows import IndexAttempt, IndexJob
from sshjobs.store.paging import ranges
from sshjobs.store.parameters import Parameters
from sshjobs.store.reader import RunReader
from sshjobs.store.timeline import Timeline

#: So many jobs are read at a time.
PAGE = 5_000
#: A search stops counting at so many jobs: a person with more hits needs other words, not more pages.
MOST_FOUND = 10_000
#: The store is asked about so many jobs more than are shown.
MOST_CHECKED = 1_000

#: Durations above so many seconds count as equal when jobs are sorted by duration.
_LONGEST = 4_000_000.0
#: So many jobs are sorted at a time.
SORTED_AT_ONCE = 50_000
#: While a run goes on, an order is computed again after one second for each so many jobs.
ORDERED_ANEW = 100_000

#: The code in place of a state for numbers of withdrawn jobs.
_NO_JOB = 255
_OUTCOMES: tuple[str | None, ...] = (None, *(outcome.value for outcome in Outcome))
_STATE_CODES = {state: code for code, state in enumerate(STATES)}
_ON_A_HOST = frozenset(_STATE_CODES[state] for state in (STATE_BUSY, STATE_UNKNOWN))
_OUTCOME_CODES = {outcome: code for code, outcome in enumerate(_OUTCOMES)}
_SUCCEEDED = _OUTCOME_CODES[Outcome.SUCCEEDED.value]
#: Outcomes that do not count as failures.
_NOBODYS = frozenset(_OUTCOME_CODES[word] for word in (Outcome.CANCELLED.value, Outcome.NEVER_STARTED.value))


@dataclass
class HostFigures:
    """Figures of one host from the attempts on it.

    :ivar busy: jobs there now, even if the host cannot be asked
    :ivar done: attempts that succeeded; ``failed`` those that ended otherwise, cancelled ones left out
    :ivar cpu: seconds of CPU of all attempts; ``seconds``: their durations; ``ended``: how many have a start and an end
    :ivar output: bytes that they wrote
    """

    busy: int = 0
    done: int = 0
    failed: int = 0
    cpu: float = 0.0
    seconds: float = 0.0
    ended: int = 0
    output: int = 0


class JobIndex:
    """The index of one run. :meth:`follow` reads what is new; everything else answers from memory.

    Belongs to one thread at a time, as its reader does.
    """

    def __init__(self) -> None:
        self._states, self._outcomes = bytearray(), bytearray()
        #: Number of the newest attempt's host: one more than its place in ``hosts``; 0 if there was none.
        self._hosts = array("H")
        #: How many attempts of each job are counted in the figures already.
        self._counted = bytearray()
        self._names, self._offsets = bytearray(b"\n"), array("I")
        self._lengths = array("f")
        self.parameters = Parameters()
        self._commit = -1
        #: Names of hosts by number.
        self.hosts: list[str] = []
        self._host_codes: dict[str, int] = {}
        self.figures: list[HostFigures] = []
        self.timeline = Timeline(harmless=frozenset((_SUCCEEDED, *_NOBODYS)))
        #: The run that it follows.
        self._reader: RunReader | None = None
        #: By sort key: the commit of the order, when it was computed, and the places of all jobs in it.
        self._orders: dict[str, tuple[int, float, array[int]]] = {}
        #: The last host that jobs were selected by, and its mask, until something is read.
        self._host_masked: tuple[str, bytes | None] | None = None
        #: It was level with the store once, so that all of it is from one moment.
        self.complete = False

    def __len__(self) -> int:
        return len(self._states)

    @property
    def commit(self) -> int:
        """Number of the newest commit that is in it."""
        return self._commit

    # -- following -----------------------------------------------------------------------------------------------

    def follow(self, reader: RunReader, pages: int | None = None) -> bool:
        """Read what was committed since the last call.

        :param pages: at most so many pages of jobs; ``None`` for all there is
        :return: whether the index is level with the store now
        """
        self._reader, self._host_masked = reader, None
        with reader.snapshot():
            if self._commit < 0:
                self._commit = reader.newest_commit()
            newest, changed = (self._commit, []) if not self.complete else reader.changed_since(self._commit)
            for _ in range(10**9 if pages is None else pages):
                rows = reader.index_page(len(self), PAGE)
                for row in rows:
                    self._append(row.number, row.name)
                self.parameters.read(rows)
                self._update(reader, [(row.number, row.state, row.outcome, row.host) for row in rows])
                if len(rows) < PAGE:
                    break
            else:
                return False
            for at in range(0, len(changed), PAGE):
                page = sorted({row.number: row for row in changed[at:at + PAGE]}.items())
                self._update(reader, [(number, row.state, row.outcome, row.host) for number, row in page])
            if reader.summary().total != len(self) - self._states.count(_NO_JOB):
                self._drop_withdrawn(reader)
            self._commit = newest
        if self.complete:
            return True
        # The pages were read at different moments: read what has changed meanwhile.
        self.complete = True
        return self.follow(reader)

    def _drop_withdrawn(self, reader: RunReader) -> None:
        """Forget withdrawn jobs, of which the store has no rows any more."""
        there = bytearray(len(self))
        for number in reader.numbers():
            if number <= len(self):
                there[number - 1] = 1
        for found in re.finditer(b"\x00", there):
            self._states[found.start()] = _NO_JOB

    def _append(self, number: int, name: str) -> None:
        while len(self) < number - 1:
            self._add(_NO_JOB, "")
        self._add(0, name)

    def _add(self, state: int, name: str) -> None:
        self._states.append(state)
        self._outcomes.append(0)
        self._hosts.append(0)
        self._counted.append(0)
        self._lengths.append(-1.0)
        self._offsets.append(len(self._names))
        self._names += name.encode("utf-8", "replace") + b"\n"

    def _update(self, reader: RunReader, rows: Sequence[tuple[int, str, str | None, str | None]]) -> None:
        attempts: dict[int, list[IndexAttempt]] = {}
        for first, last in ranges([row[0] for row in rows if row[3] is not None]):
            attempts.update((job, list(group))
                            for job, group in groupby(reader.index_attempts(first, last), itemgetter(0)))
        for number, state, outcome, host in rows:
            self._set(number - 1, _STATE_CODES[state], _OUTCOME_CODES[outcome], host)
            if number in attempts:
                self._count(number, attempts[number])

    def _set(self, at: int, state: int, outcome: int, host: str | None) -> None:
        if self._states[at] in _ON_A_HOST and self._hosts[at]:
            self.figures[self._hosts[at] - 1].busy -= 1
        self._states[at], self._outcomes[at] = state, outcome
        self._hosts[at] = 0 if host is None else self._host(host) + 1
        if state in _ON_A_HOST and host is not None:
            self.figures[self._hosts[at] - 1].busy += 1

    def _host(self, name: str) -> int:
        code = self._host_codes.get(name)
        if code is None:
            code = self._host_codes[name] = len(self.hosts)
            self.hosts.append(name)
            self.figures.append(HostFigures())
        return code

    def _count(self, number: int, attempts: list[IndexAttempt]) -> None:
        """Count the attempts of a job that have ended since the last time."""
        for attempt in attempts[self._counted[number - 1]:]:
            if attempt.state not in FINAL_STATES or self._counted[number - 1] == 255:
                return
            self._counted[number - 1] += 1
            host, outcome = self._host(attempt.host), _OUTCOME_CODES[attempt.outcome]
            figures = self.figures[host]
            figures.done += outcome == _SUCCEEDED
            figures.failed += outcome != _SUCCEEDED and outcome not in _NOBODYS
            figures.output += attempt.size
            if attempt.started is not None and attempt.ended is not None:
                figures.cpu += attempt.cpu or 0.0
                figures.seconds += max(0.0, attempt.ended - attempt.started)
                figures.ended += 1
                self._lengths[number - 1] = attempt.ended - attempt.started
                self.timeline.add(number, host, attempt.started, attempt.ended, outcome)

    # -- asking --------------------------------------------------------------------------------------------------

    def outcome(self, code: int) -> str | None:
        """Return the outcome that the timeline names by a number."""
        return _OUTCOMES[code]

    def host(self, name: str) -> int:
        """Return the number of a host here and on the timeline."""
        return self._host(name)

    def name(self, number: int) -> str:
        """Return the name of a job."""
        begin = self._offsets[number - 1]
        return self._names[begin:self._names.index(b"\n", begin)].decode("utf-8", "replace")

    def select(self, *, states: Iterable[str] = (), outcomes: Iterable[str] = (), host: str | None = None,
               params: Selection | None = None, search: str = "", sort: str = "number", descending: bool = False,
               offset: int = 0, limit: int = 100) -> tuple[int, bool, list[int]]:
        """Return how many jobs match, whether there are more than were counted, and the numbers of one page of them.

        :param states: any of these; none means all; ``outcomes`` likewise
        :param host: the host of the newest attempt
        :param params: values of parameters; of the entry ``""``: in any entry
        :param search: a part of the name, in any case
        :param sort: ``number``, ``name``, ``state``, ``host`` or ``seconds``
        :raises UsageError: no job has such a parameter
        """
        wanted = list(states) or (STATES if _NO_JOB in self._states else [])
        masks = [mask for mask in (_mask(self._states, [_STATE_CODES[state] for state in wanted]),
                                   _mask(self._outcomes, [_OUTCOME_CODES[outcome] for outcome in outcomes]),
                                   self._host_mask(host)) if mask is not None]
        mask, more = _and(masks), False
        if params is not None:
            mask, more = self._with_values(params, mask)
        if search:
            mask, unseen = self._matching(search, mask)
            more = more or unseen
        if mask is None:
            order = self._order(sort)
            # Neither copied nor walked through: there may be a million.
            first = max(0, len(order) - offset - limit) if descending else offset
            page = order[first:max(0, len(order) - offset) if descending else offset + limit]
            return len(self), more, [at + 1 for at in (page[::-1] if descending else page)]
        if sort == "number":
            fitting: Iterable[int] = _ones_down(mask) if descending else _ones(mask)
        else:
            order = self._order(sort)
            order = order[::-1] if descending else order
            fitting = compress(order, map(mask.__getitem__, order))
        return mask.count(1), more, [at + 1 for at in islice(fitting, offset, offset + limit)]

    def of_entry(self, entry: str, states: Iterable[str], params: Mapping[str, str], most: int) -> list[IndexJob]:
        """Return at most so many jobs of an entry in some states, whose values equal those in ``params`` for every
        parameter that both have."""
        if self._reader is None:
            return []
        of_it = bytearray(self.parameters.entry_mask(entry, len(self)))
        if (alone := self._reader.job(entry)) is not None and alone.number <= len(self):
            of_it[alone.number - 1] = 1
        mask = _and([bytes(of_it), _mask(self._states, [_STATE_CODES[state] for state in states]) or b""]) or b""
        first = self._reader.index_jobs([at + 1 for at in islice(_ones(mask), 1)])
        shared = {name: params[name] for job in first for name in job.names if name in params}
        mask = _and([mask, *self.parameters.possible(shared, len(self))]) or b""
        numbers = [at + 1 for at in islice(_ones(mask), most + MOST_CHECKED)]
        # Where several values share a byte, the store says which it is.
        return [job for job in self._reader.index_jobs(numbers)
                if entry == (job.entry or job.name) and Selection(entry, shared).selects(job.params)][:most]

    def prepare(self, sort: str) -> None:
        """Compute an order of the jobs ahead, so that the first page that needs it does not wait."""
        self._order(sort)

    def _order(self, sort: str) -> Sequence[int]:
        """Return the places of all jobs in an order; for a large running run it may be some seconds old."""
        if sort == "number":
            return range(len(self))
        known = self._orders.get(sort)
        if known is not None and len(known[2]) == len(self) and (
                # Names do not change.
                sort == "name" or known[0] == self._commit
                or time.monotonic() - known[1] < len(self) / ORDERED_ANEW):
            return known[2]
        order = {"name": self._name_order, "state": self._state_order, "host": self._host_order,
                 "seconds": self._seconds_order}[sort]()
        self._orders[sort] = self._commit, time.monotonic(), order
        return order

    def _name_order(self) -> array[int]:
        order = array("I")
        if self._reader is not None:
            order.extend(number - 1 for number in self._reader.numbers_by_name() if number <= len(self))
        # Withdrawn jobs come last, and appear in no list.
        order.extend(found.start() for found in re.finditer(re.escape(bytes([_NO_JOB])), self._states))
        return order if len(order) == len(self) else array("I", range(len(self)))

    def _state_order(self) -> array[int]:
        order = array("I")
        for code in (*range(len(STATES)), _NO_JOB):
            order.extend(found.start() for found in re.finditer(re.escape(bytes([code])), self._states))
        return order

    def _host_order(self) -> array[int]:
        places: dict[int, array[int]] = {}
        for at, code in enumerate(self._hosts):
            places.setdefault(code, array("I")).append(at)
        order = array("I")
        for code in sorted(places, key=lambda code: (bool(code), self.hosts[code - 1] if code else "")):
            order += places[code]
        return order

    def _seconds_order(self) -> array[int]:
        # Sorted in pieces: a million numbers at once would take 70 MB for a second.
        scaled = (int(max(0.0, min(length + 1.0, _LONGEST)) * 1000.0) << 32 | at
                  for at, length in enumerate(self._lengths))
        pieces: list[array[int]] = []
        while piece := sorted(islice(scaled, SORTED_AT_ONCE)):
            pieces.append(array("Q", piece))
        return array("I", (both & 0xFFFFFFFF for both in merge(*pieces)))

    def _host_mask(self, host: str | None) -> bytes | None:
        if host is None:
            return None
        wanted = self._host_codes.get(host, -1) + 1
        if not wanted:
            return bytes(len(self))
        if self._host_masked is None or self._host_masked[0] != host:
            self._host_masked = host, self._masked(wanted)
        return self._host_masked[1]

    def _masked(self, host: int) -> bytes | None:
        # By the two bytes of each code: takes an eighth of the time of comparing each code.
        codes, halves = self._hosts.tobytes(), host.to_bytes(2, byteorder)
        return _and([codes[n::2].translate(bytes(half == one for one in range(256))) for n, half in enumerate(halves)])

    def _with_values(self, wanted: Selection, mask: bytes | None) -> tuple[bytes, bool]:
        masks, certain = self.parameters.masks(wanted, len(self))
        found = _and(masks if mask is None else [*masks, mask]) or b""
        if certain or self._reader is None:
            return found, False
        # Where several values share a byte, the store says which it is.
        numbers = [at + 1 for at in islice(_ones(found), MOST_FOUND + 1)]
        fitting = bytearray(len(self))
        for job in self._reader.index_jobs(numbers[:MOST_FOUND]):
            fitting[job.number - 1] = wanted.entry in ("", job.entry) and wanted.selects(job.params)
        return bytes(fitting), len(numbers) > MOST_FOUND

    def _matching(self, search: str, mask: bytes | None) -> tuple[bytes, bool]:
        # Names are joined by line ends, which no name contains.
        wanted = search.partition("\n")[0].encode("utf-8", "replace").lower() or b"\n\n"
        names, found, count, at = self._names.lower(), bytearray(len(self)), 0, 0
        while (at := names.find(wanted, at)) >= 0:
            number = bisect_right(self._offsets, at)
            at = names.find(b"\n", at)
            if number and (mask is None or mask[number - 1]):
                if count == MOST_FOUND:
                    return bytes(found), True
                found[number - 1] = 1
                count += 1
        return bytes(found), False


def _ones(mask: bytes) -> Iterator[int]:
    """Return the places of a mask that are 1."""
    return compress(range(len(mask)), mask) if _is_dense(mask) else _found(mask)


def _ones_down(mask: bytes) -> Iterator[int]:
    """Return the same places, last first."""
    return compress(range(len(mask) - 1, -1, -1), mask[::-1]) if _is_dense(mask) else _found_down(mask)


def _is_dense(mask: bytes) -> bool:
    """Return whether looking at each place is faster than searching for each 1."""
    return mask.count(1) * 16 > len(mask)


def _found(mask: bytes) -> Iterator[int]:
    at = mask.find(1)
    while at >= 0:
        yield at
        at = mask.find(1, at + 1)


def _found_down(mask: bytes) -> Iterator[int]:
    at = mask.rfind(1)
    while at >= 0:
        yield at
        at = mask.rfind(1, 0, at)


def _mask(codes: bytearray, wanted: list[int]) -> bytes | None:
    """Return a mask with 1 for each job whose code is wanted; ``None`` if all are."""
    if not wanted:
        return None
    table = bytearray(256)
    for code in wanted:
        table[code] = 1
    return bytes(codes.translate(bytes(table)))


def _and(masks: Sequence[bytes]) -> bytes | None:
    if not masks:
        return None
    both = int.from_bytes(masks[0], "big")
    for mask in masks[1:]:
        both &= int.from_bytes(mask, "big")
    return both.to_bytes(len(masks[0]), "big")
