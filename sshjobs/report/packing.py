"""Packing: the attempts and the table of a run, small enough to be part of a page. What has no room is counted."""

from __future__ import annotations

import base64
import heapq
import json
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

from sshjobs.errors import printable
from sshjobs.store.index import JobIndex
from sshjobs.store.timeline import Span
from sshjobs.tables.sheet import Sheet, text_of

#: Attempts that are drawn one by one; of more than that it is drawn how busy each host was.
MOST_SPANS = 150_000
#: Bytes of a packed part of a page: with what base64 adds a page stays below 3 MB.
MOST_TIMELINE, MOST_TABLE = 900_000, 1_100_000
#: Hosts that are drawn, and bins of time where attempts are not drawn one by one.
MOST_HOSTS, BINS = 1_000, 400
#: Parts of the whole time that are told apart.
PARTS = 1 << 24
#: Columns of the table, and characters of a cell.
MOST_COLUMNS, WIDEST = 60, 200
#: Digits of a number that is no whole one.
_DIGITS = 6
#: How an attempt is drawn, by its outcome: as one that succeeded, that failed, whose end says nothing, or that runs.
SUCCEEDED, FAILED, NOBODYS, RUNNING = range(4)
_NOBODYS = ("cancelled", "lost", "never_started", "skipped")


class Packed(NamedTuple):
    """A part of a page.

    :ivar head: what the page has to know to unpack it
    :ivar data: the rest, packed, as text
    :ivar left_out: what had no room, in a sentence; empty where all of it had
    """

    head: dict[str, Any]
    data: str
    left_out: str


def pack_timeline(index: JobIndex, running: Sequence[Span]) -> Packed:
    """Return the attempts of a run: each in a slot of its host, or, of very many, how many ran at a time on each host.

    :param running: those that have not ended, up to now
    """
    span = index.timeline.span
    spans = [*([span] if span else ()), *((one.started, one.ended) for one in running)]
    if not spans:
        return Packed({"kind": "nothing"}, "", "")
    begin, end = min(first for first, _ in spans), max(last for _, last in spans)
    end = end if end > begin else begin + 1.0
    hosts = sorted(range(len(index.hosts)), key=lambda code: _natural(index.hosts[code]))
    shown = hosts[:MOST_HOSTS]
    left_out = f"Of {len(hosts):,} hosts the first {MOST_HOSTS:,} are drawn." if len(hosts) > len(shown) else ""
    head = {"begin": begin, "end": end, "hosts": [printable(index.hosts[code]) for code in shown]}
    places = {code: place for place, code in enumerate(shown)}
    all_of_them = sorted((one for one in (*index.timeline.within(begin, end), *running) if one.host in places),
                         key=attrgetter("started")) if len(index.timeline) <= MOST_SPANS else []
    if all_of_them:
        lanes, numbers = _lanes(all_of_them, len(index.hosts))
        data = _packed_spans(all_of_them, numbers, places, begin, end, index, frozenset(running))
        if len(data) <= MOST_TIMELINE:
            return Packed({**head, "kind": "slots", "n": len(all_of_them), "lanes": [lanes[code] for code in shown]},
                          _text(data), left_out)
    binned = index.timeline.binned(begin, end, BINS, shown, running)
    bins = len(next(iter(binned.values()))[0])
    # A tenth of a job is finer than a page can show.
    busy = array("H", (min(65535, round(10 * value)) for code in shown for value in binned[code][0]))
    failed = array("H", (min(65535, value) for code in shown for value in binned[code][1]))
    told = (f"The run has {len(index.timeline):,} attempts, too many to draw them one by one: it is drawn how many "
            f"ran at a time on each host. {left_out}")
    return Packed({**head, "kind": "bins", "bins": bins}, _text(zlib.compress(_bytes(busy) + _bytes(failed), 9)),
                  told.strip())


def _lanes(spans: Sequence[Span], hosts: int) -> tuple[list[int], array[int]]:
    """Return how many lanes each host needs so that none overlap, and the lane of each attempt, in their order."""
    counts = [0] * hosts
    ends: list[list[tuple[float, int]]] = [[] for _ in range(hosts)]
    free: list[list[int]] = [[] for _ in range(hosts)]
    numbers = array("H")
    for one in spans:
        taken, idle = ends[one.host], free[one.host]
        while taken and taken[0][0] <= one.started:
            heapq.heappush(idle, heapq.heappop(taken)[1])
        if idle:
            lane = heapq.heappop(idle)
        else:
            lane = counts[one.host]
            counts[one.host] = min(65535, lane + 1)
        heapq.heappush(taken, (one.ended, lane))
        numbers.append(lane)
    return counts, numbers


def _packed_spans(spans: Sequence[Span], lanes: array[int], places: dict[int, int], begin: float, end: float,
                  index: JobIndex, running: frozenset[Span]) -> bytes:
    """Return starts and lengths, as parts of the whole time, jobs, hosts, lanes and kinds. Starts and jobs are told by
    what they are more than the one before: small numbers need little room."""
    scale = PARTS / (end - begin)
    starts = [round((one.started - begin) * scale) for one in spans]
    lengths = array("I", (round(max(0.0, one.ended - one.started) * scale) for one in spans))
    jobs = [one.job for one in spans]
    kinds = bytes(RUNNING if one in running else _kind(index.outcome(one.outcome)) for one in spans)
    parts = (array("I", _steps(starts)), lengths, array("i", _steps(jobs)),
             array("H", (places[one.host] for one in spans)), lanes)
    return zlib.compress(b"".join(map(_bytes, parts)) + kinds, 9)


def _kind(outcome: str | None) -> int:
    return SUCCEEDED if outcome == "succeeded" else NOBODYS if outcome is None or outcome in _NOBODYS else FAILED


def _steps(values: Sequence[int]) -> Iterable[int]:
    yield from values[:1]
    yield from (later - earlier for earlier, later in pairwise(values))


def pack_table(sheet: Sheet, states: Sequence[str], numbers: Sequence[int], total: int) -> Packed:
    """Return the table of a run, those that failed first where there is no room for all.

    :param states: of the jobs, in the order of the rows; ``numbers`` likewise
    :param total: how many jobs there are; more than rows where not all were read
    """
    names = sheet.shown[:MOST_COLUMNS]
    chosen = sheet.with_columns(names)
    order: Sequence[int] = range(len(chosen.rows))
    data = _packed_rows(chosen, order, numbers)
    kept = len(order)
    while len(data) > MOST_TABLE and kept > 1:
        kept = max(1, int(kept * MOST_TABLE / len(data) * 0.95))
        failed = [at for at, state in enumerate(states) if state == "error"][:max(1, kept // 2)]
        others = set(failed)
        rest = [at for at in range(len(chosen.rows)) if at not in others][:kept - len(failed)]
        order = sorted((*failed, *rest))
        data = _packed_rows(chosen, order, numbers)
    told = []
    if len(order) < total:
        told.append(f"The table holds {len(order):,} of {total:,} jobs: those that failed come before others.")
    if left := sheet.left_out + len(sheet.shown) - len(names):
        told.append(f"{left:,} columns are left out.")
    return Packed({"columns": [printable(name) for name in names], "n": len(order)}, _text(data), " ".join(told))


def _packed_rows(sheet: Sheet, order: Sequence[int], numbers: Sequence[int]) -> bytes:
    """Return the rows column by column: what is alike stands together and is packed well. The last column says which
    jobs the rows are of; it is empty where they are the first of all jobs."""
    columns = [[_cell(sheet.rows[at][place]) for at in order] for place in range(len(sheet.names))]
    of = [numbers[at] for at in order]
    columns.append([] if of == list(range(1, len(of) + 1)) else of)
    return zlib.compress(json.dumps(columns, separators=(",", ":"), allow_nan=False).encode("ascii"), 9)


def _cell(value: Any) -> Any:
    """Return a value as the page shows it: a number, or text that is cut where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if value - value == 0 else str(value)
    if value is None or isinstance(value, int):
        # Larger ones are none for a browser.
        return value if value is None or abs(value) < 2 ** 53 else str(value)
    text = printable(text_of(value))
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}…"


def _natural(name: str) -> tuple[Any, ...]:
    """Return what puts ``gpu-2`` before ``gpu-10``."""
    parts: list[tuple[int, int, str]] = []
    word = ""
    for letter in f"{name}\0":
        if word and letter.isdecimal() != word[-1].isdecimal():
            parts.append((0, int(word), word) if word.isdecimal() and len(word) < 20 else (1, 0, word))
            word = ""
        word += letter
    return tuple(parts)


def _bytes(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = array(numbers.typecode, numbers)
        numbers.byteswap()
    return numbers.tobytes()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
