"""Frame: the lines of the live view, as many as fit. Pure: the same progress and clock give the same lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from heapq import nsmallest
from itertools import islice
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from sshjobs.errors import UsageError, printable
from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN
from sshjobs.store.rundir import RunPaths
from sshjobs.views import wording
from sshjobs.views.base import Event
from sshjobs.views.progress import HostView, Live, Progress
from sshjobs.views.wording import STATE_ORDER, duration, ending_of, told

#: What the screen leaves room for at most, however tall it is.
MAX_FAILURES, MAX_HOSTS = 5, 12
#: How many cells stand side by side at most, how wide one is at least for that, and the blanks between two.
MAX_COLUMNS, COLUMN, GAP = 4, 56, 2
#: How wide the column of a host is at least where several stand side by side; so much of it is the bar of its slots.
HOST_COLUMN, METER = 46, 10
#: Columns that the name of a run keeps beside what there is to say of its pace.
LEAST_NAME = 12
#: How many columns lengths of time get: `59 min 59 s`.
TIME = 11
#: Below so many columns lines have no host; from so many on they have words that are known by their colours too.
NARROW, WITH_WORDS = 36, 50
_STYLES = {STATE_DONE: "green", STATE_ERROR: "red", STATE_BUSY: "yellow", STATE_UNKNOWN: "magenta", STATE_FREE: "dim"}
_HOST_ORDER = {"blocked": 0, "away": 1, "closed": 2, "connecting": 3, "up": 4}


class Frame:
    """Turns the progress of a run into lines.

    :param monotonic: the clock of the progress
    """

    def __init__(self, progress: Progress, monotonic: Callable[[], float] = time.monotonic):
        self._progress, self._monotonic = progress, monotonic
        # What failed jobs said last is read once: the files of ended jobs do not change.
        self._last_words: dict[tuple[str, int], str] = {}

    def lines(self, width: int, height: int, *, ascii_only: bool = False, foot: Text | None = None) -> list[Text]:
        """Return at most ``height`` lines, for a screen of ``width`` columns; each is one line on it.

        :param foot: the last of them, where there is room for four more
        """
        progress = self._progress
        head = [self._title(width), self._bar(width, ascii_only), self._counts(width)]
        last = [_text(progress.notice, "bold yellow")] if progress.notice else []
        if foot and height > len(head) + len(last) + 1:
            last.append(foot)
        room = height - len(head) - len(last)
        failures = self._failures(width, min(MAX_FAILURES, room // 5)) if room >= 5 else []
        room -= len(failures)
        hosts = self._hosts(width, min(MAX_HOSTS, room // 3), ascii_only) if room >= 4 else []
        room -= len(hosts)
        jobs = self._jobs(width, room)
        lines = [*head, *hosts, *jobs, *failures]
        return [*lines[: max(1, height - len(last))], *last][: max(1, height)]

    def _title(self, width: int) -> Text:
        progress = self._progress
        took = duration(progress.elapsed() or 0.0)
        here = " on this machine" if list(progress.hosts) == ["localhost"] else ""
        facts = f"{here if width >= WITH_WORDS else ''}  {progress.over:,} of {progress.total:,}  {took}"
        if width < NARROW:
            facts = f" {progress.over}/{progress.total} {took}"
        facts += self._pace(width - len(facts) - min(LEAST_NAME, cell_len(printable(progress.run))))
        return _text(fit(progress.run, width - len(facts)), "bold").append(facts)

    def _pace(self, room: int) -> str:
        """Return how fast jobs end and when all will have, as far as there is room for it."""
        rate, left = self._progress.rate(), self._progress.left()
        if not self._progress.counts[STATE_FREE] + len(self._progress.live):
            return ""
        pace = ""
        if rate is not None:
            each, unit = (1, "s") if rate >= 1 else (60, "min") if rate >= 1 / 60 else (3600, "h")
            pace = f"  {each * rate:,.1f}/{unit}"
        expected = half = ""
        if left is not None:
            expected, half = f"  {wording.left(*left)}", f"  {wording.left(left[0])}"
        texts = (pace + expected, expected, pace + half, half, pace)
        return next((text for text in texts if text and len(text) <= room), "")

    def _bar(self, width: int, ascii_only: bool) -> Text:
        length = max(1, width)
        total, counts = max(1, self._progress.total), self._progress.counts
        bar, begin, seen = Text(no_wrap=True), 0, 0
        for state in STATE_ORDER:
            seen += counts[state]
            end = length if state == STATE_FREE else seen * length // total
            letter = ("-" if state == STATE_FREE else "#") if ascii_only else "━"
            bar.append(letter * (end - begin), style=_STYLES[state])
            begin = end
        return bar

    def _counts(self, width: int) -> Text:
        line = self._counted(width, lambda state: state)
        return line if line.cell_len <= width else self._counted(width, lambda state: state[0])

    def _counted(self, width: int, word: Callable[[str], str]) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        for state in STATE_ORDER:
            number = self._progress.counts[state]
            if number or (state != STATE_UNKNOWN and width >= NARROW):
                # What there is none of is nothing to look at.
                style = _STYLES[state] if number else "dim"
                line.append(f"{'  ' if line else ''}{number:,} {word(state)}", style=style)
        return line

    def _hosts(self, width: int, room: int, ascii_only: bool) -> list[Text]:
        """Return a line a host, those in trouble first, side by side where there is room; what does not fit is summed
        up in the last line."""
        hosts = self._progress.hosts
        if not hosts:
            return []
        columns = 1 if len(hosts) <= room else max(1, min(MAX_COLUMNS, (width + GAP) // (HOST_COLUMN + GAP)))
        number = len(hosts) if len(hosts) <= room * columns else (room - 1) * columns
        # Only those that are shown are looked at twice: there may be a thousand.
        shown = nsmallest(number, hosts.values(), key=_host_rank)
        cell_width = (width + GAP) // columns - GAP
        name_width = min(max(cell_len(printable(host.name)) for host in shown), max(8, cell_width // 3)) if shown else 0
        cells = [self._host(host, name_width, cell_width, ascii_only) for host in shown]
        lines = [_joined(cells[at : at + columns], cell_width) for at in range(0, len(cells), columns)]
        if len(hosts) > number:
            lines.append(_text(self._rest(number), "cyan"))
        return lines

    def _rest(self, shown: int) -> str:
        """Return what is to be said of all hosts, where only some are shown."""
        hosts = list(self._progress.hosts.values())
        well = [host for host in hosts if host.state == "up"]
        slots = sum(host.slots or 0 for host in well)
        text = f"{len(well):,} hosts up, {sum(host.running for host in well):,}/{slots:,} slots in use"
        if ahead := sum(host.launched for host in well):
            text += f", {ahead:,} launched"
        return text + (f"; {len(hosts) - len(well):,} not" if len(hosts) > len(well) else "")

    def _host(self, host: HostView, name_width: int, width: int, ascii_only: bool) -> Text:
        line = _text(padded(host.name, name_width), "cyan")
        if host.state != "up":
            for_how_long = duration(self._monotonic() - host.since)
            line.append(f"  {host.state} {for_how_long}", style="red" if host.state == "blocked" else "magenta")
            line.append(f"  {printable(host.reason.removeprefix(host.name + ': '))}" if host.reason else "")
            line.truncate(width, overflow="ellipsis")
            return line
        if width >= name_width + METER + 20:
            line.append("  ").append_text(_meter(host, ascii_only))
        slots = f"{host.running}/{host.slots}" if host.slots else str(host.running)
        line.append(f"  {slots:>7}", style="" if host.running else "dim")
        facts: list[tuple[str, str]] = []
        if host.drained:
            facts.append(("drained", "yellow"))
        if host.silent_since is not None:
            facts.append((f"silent for {duration(self._monotonic() - host.silent_since)}", "magenta"))
        if host.failed:
            facts.append((f"{host.failed:,} failed", "red"))
        if host.launched:
            facts.append((f"{host.launched} launched", "dim"))
        if host.done:
            facts.append((f"{host.done:,} done", "green"))
        for text, style in facts:
            if line.cell_len + len(text) + GAP <= width:
                line.append("  ").append(text, style=style)
        return line

    def _jobs(self, width: int, room: int) -> list[Text]:
        """Return the jobs that run in columns, the one that was launched first on top."""
        live = self._progress.live
        if room < 1 or not live:
            return []
        columns = 1 if len(live) <= room else max(1, min(MAX_COLUMNS, (width + GAP) // (COLUMN + GAP)))
        number = len(live) if len(live) <= room * columns else (room - 1) * columns
        some = list(islice(live.values(), number))
        cell_width = (width + GAP) // columns - GAP
        host_width = min(max((cell_len(printable(job.host)) for job in some), default=0), max(6, cell_width // 4))
        names = max((cell_len(printable(job.job)) for job in some), default=0)
        cells = [self._job(job, cell_width, host_width, names) for job in some]
        lines = [_joined(cells[at : at + columns], cell_width) for at in range(0, len(cells), columns)]
        if len(live) > number:
            lines.append(_text(f"and {len(live) - number:,} more", "dim"))
        return lines

    def _job(self, job: Live, width: int, host_width: int, longest: int) -> Text:
        """Return a job in so many columns: its name gives way to its host and its time.

        :param longest: columns that the longest of the names takes
        """
        took = duration(self._monotonic() - job.since)
        word, style = ("", "dim") if job.started else ("launched", "dim")
        if job.state == STATE_UNKNOWN:
            word, style = "unknown", "magenta"
        host = f"{padded(job.host, host_width)}  " if width >= NARROW else ""
        facts = f"{host}{took:>{TIME}}"
        if width >= WITH_WORDS:
            facts = f"{facts}  {word:<8}"
        name_width = max(1, min(longest, width - cell_len(facts) - GAP))
        line = _text(padded(job.job, name_width))
        return line.append(" " * GAP).append(facts.rstrip(), style=style)

    def _failures(self, width: int, number: int) -> list[Text]:
        """Return two lines for each of the last failures, and one for what it said, the newest at the bottom."""
        newest = list(self._progress.failures)[-number:] if number else []
        return [line for event in newest for line in self._failure(event, width)]

    def _failure(self, event: Event, width: int) -> Iterator[Text]:
        where = f" on {fit(event['host'], max(8, width // 4))}" if event["host"] else ""
        facts = f"{where} {printable(ending_of(event))}"
        yield _text(fit(event["job"], max(8, width - cell_len(facts))) + facts, "red")
        said = self._said(event)
        if said:
            yield _text(f"    {said}", "dim red")

    def _said(self, event: Event) -> str:
        key = event["job"], event["attempts"]
        if key not in self._last_words:
            root = Path(self._progress.directory)
            paths = RunPaths(root.parent, root.name)
            line = None
            # A store that somebody else has written may hold a name that no job can have: it wrote nothing here.
            with contextlib.suppress(UsageError):
                line = told(paths.stdout(event["job"]), paths.stderr(event["job"]))[0] if event["attempts"] else None
            while len(self._last_words) >= 2 * MAX_FAILURES:
                del self._last_words[next(iter(self._last_words))]
            self._last_words[key] = line or ""
        return self._last_words[key]


def fit(name: str, width: int) -> str:
    """Return a name in at most so many columns: from the middle of a long one goes what does not fit, because names of
    many jobs are alike at the beginning and tell which it is at the end."""
    name = printable(name)
    if cell_len(name) <= width or width < 2:
        return name if width >= 2 else name[: max(0, width)]
    front, back = (width - 1) // 2, width - 1 - (width - 1) // 2
    return f"{set_cell_size(name, front).rstrip()}…{_last_cells(name, back)}"


def padded(name: str, width: int) -> str:
    """Return a name in exactly so many columns."""
    return set_cell_size(fit(name, width), width)


def _last_cells(text: str, width: int) -> str:
    """Return the end of a text, in at most so many columns."""
    at = len(text)
    while at and cell_len(text[at - 1 :]) <= width:
        at -= 1
    return text[at:]


def _host_rank(host: HostView) -> tuple[int, bool, bool]:
    """Return what hosts are sorted by: those in trouble first, then those where jobs failed."""
    return (_HOST_ORDER[host.state], host.silent_since is None, not host.failed)


def _meter(host: HostView, ascii_only: bool) -> Text:
    """Return a bar of the slots in use."""
    used = min(METER, -(-host.running * METER // host.slots)) if host.slots else 0
    full, empty = ("#", "-") if ascii_only else ("━", "━")
    return Text(full * used, style="yellow").append(empty * (METER - used), style="dim")


def _joined(cells: list[Text], width: int) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for number, cell in enumerate(cells):
        if number:
            line.append(" " * GAP)
        line.append_text(cell)
        if number < len(cells) - 1:
            line.append(" " * max(0, width - cell.cell_len))
    return line


def _text(text: str, style: str = "") -> Text:
    # Appended, so that the style is not that of what will be appended further.
    return Text(no_wrap=True, overflow="ellipsis").append(printable(text), style=style)
