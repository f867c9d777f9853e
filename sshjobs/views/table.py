"""The table of ``sshjobs status``: coloured on a terminal, plain columns in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TextIO

from sshjobs.errors import printable
from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN, Outcome
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import AttemptRow, JobRow
from sshjobs.store.summary import Summary
from sshjobs.views import wording

#: Jobs that are listed unless all are wanted.
MAX_ROWS = 50
#: Jobs that are laid out together: their columns are as wide as the widest of them.
_PAGE = 500
_ORDER = (STATE_ERROR, STATE_UNKNOWN, STATE_BUSY, STATE_FREE, STATE_DONE)
_HEADINGS = ("JOB", "STATE", "HOST", "TRIES", "TIME", "")
_NAME, _STATE, _HOST, _TRIES, _WHY = 0, 1, 2, 3, 5
#: From how many columns on a terminal shows each of the columns but the last.
_FROM_WIDTH = (0, 0, 32, 60, 24)
#: Blanks between two columns; and columns that a reason gets before names do.
_GAP, _REASON = 2, 12
_COLOURS = {STATE_ERROR: "red", STATE_UNKNOWN: "magenta", STATE_BUSY: "yellow", STATE_DONE: "green"}
_HINTS = {
    "unattended": "its manager is gone, jobs may still run; go on with: sshjobs resume {}",
    "interrupted": "nothing runs; go on with: sshjobs resume {}",
}


class Table:
    """Prints where a run stands.

    :param word: what to type for the run
    :param stream: where to print; a terminal gets colours, and columns that fit it
    """

    def __init__(self, reader: RunReader, word: str, stream: TextIO):
        self._reader, self._word, self._stream = reader, word, stream
        self._tty = stream.isatty()
        self._now = time.time()
        hosts = list(reader.hosts())
        self._since = {row.host.name: row.since for row in hosts}
        #: Why hosts take jobs no more than they do: others hold something there, or they are closed.
        self._reasons = {row.host.name: row.reason for row in hosts if row.state in ("up", "closed")}

    def head(self, expected: tuple[float, float] | None = None) -> None:
        """Print what is to be said of the run itself, and of hosts that cannot be used.

        :param expected: in how many seconds it will have ended, half the time and nine times in ten
        """
        summary = self._reader.summary()
        self._line(f"{summary.run} {summary.state}: {wording.counts(summary.counts)} "
                   f"of {wording.count(summary.total, 'job')}{wording.rule(summary.options.get('ended_by'))}")
        self._line(f"began {wording.clock(summary.created, self._now)}, in {self._reader.paths.root}")
        if summary.state in _HINTS:
            self._line(_HINTS[summary.state].format(self._word))
            if cancelled := summary.outcomes.get(Outcome.CANCELLED, 0):
                self._line(wording.left_out(cancelled, self._word))
        elif summary.state == "running" and summary.manager is not None:
            self._line(f"managed by {summary.manager}")
        if expected is not None:
            self._line(wording.expected(*expected, self._now))
        if summary.options.get("paused") and not _is_over(summary):
            self._line(f"nothing is launched, paused by a person; to launch again: sshjobs unpause {self._word}")
        for row in self._reader.hosts():
            if row.state in ("away", "blocked", "closed") and not _is_over(summary):
                since = f" since {wording.clock(row.since, self._now)}" if row.since else ""
                name = "" if (row.reason or "").startswith(f"{row.host.name}:") else f"{row.host.name}: "
                self._line(f"host {row.state}{since}: {name}{row.reason}")
            elif row.state == "up" and row.reason and not _is_over(summary):
                self._line(f"host {row.reason}")

        self._tell_untold()

    def _tell_untold(self) -> None:
        """Say what people were to be told of the run and were not."""
        untold = [one for one in self._reader.notices() if one.delivered is None]
        if untold:
            tried = [f"; {one.recipient.shown()}: {one.error}" for one in untold if one.error is not None]
            self._line(f"{wording.count(len(untold), 'notice')} not told yet{''.join(tried[-1:])}; "
                       f"see: sshjobs notices {self._word}")

    def jobs(self, *, everything: bool, only: Sequence[JobRow] | None = None) -> None:
        """Print the jobs: failed ones, then those that are not over, then the others if they are few.

        :param everything: all of them, however many
        :param only: these, all of them
        """
        if only is not None:
            self._pages(iter(sorted(only, key=lambda job: _ORDER.index(job.state))))
            return
        counts = self._reader.summary().counts
        total, states = sum(counts.values()), list(_ORDER)
        if not everything and total > MAX_ROWS:
            states.remove(STATE_DONE)
        shown = self._pages(self._all(states) if everything else islice(self._first(states, counts), MAX_ROWS))
        if shown < total:
            self._line("")
            self._line(f"{wording.count(total - shown, 'job')} not listed; for all: sshjobs status {self._word} --all")

    def _pages(self, rows: Iterator[JobRow]) -> int:
        """Print jobs; return how many there were."""
        shown = 0
        while page := list(islice(rows, _PAGE)):
            self._page([self._cells(job, tries) for job, tries in self._with_attempts(page)], not shown)
            shown += len(page)
        return shown

    def _all(self, states: list[str]) -> Iterator[JobRow]:
        return (job for state in states for job in self._reader.jobs([state]))

    def _first(self, states: list[str], counts: dict[str, int]) -> Iterator[JobRow]:
        """Yield the same jobs, at most so many of a state as are listed. What a state has few of may be anywhere among
        a million jobs: those are looked for together, and no further than to the last of them."""
        rare = [state for state in states if 0 < counts[state] <= MAX_ROWS]
        found: dict[str, list[JobRow]] | None = None
        for state in states:
            if state not in rare:
                yield from self._reader.jobs([state], limit=MAX_ROWS) if counts[state] else ()
                continue
            if found is None:
                found = {one: [] for one in rare}
                for job in self._reader.jobs(rare, limit=sum(counts[one] for one in rare)):
                    found[job.state].append(job)
            yield from found[state]

    def _with_attempts(self, page: list[JobRow]) -> Iterator[tuple[JobRow, list[AttemptRow]]]:
        attempts = self._reader.attempts_of(job.number for job in page)
        return ((job, attempts[job.number]) for job in page)

    def _cells(self, job: JobRow, attempts: list[AttemptRow]) -> tuple[str, ...]:
        return tuple(map(printable, (job.name, job.state, job.host or job.only_host or "-", len(attempts) or "-",
                                     self._time(job, attempts), self._why(job, attempts))))

    def _time(self, job: JobRow, attempts: list[AttemptRow]) -> str:
        last = attempts[-1] if attempts else None
        if last is None or last.started is None or job.state == STATE_FREE:
            return "-"
        return wording.duration((last.ended or self._now) - last.started)

    def _why(self, job: JobRow, attempts: list[AttemptRow]) -> str:
        if attempts and attempts[-1].origin is not None:
            return f"from {attempts[-1].origin}"
        if job.state == STATE_UNKNOWN:
            since = self._since.get(job.host or "")
            return f"since {wording.clock(since, self._now)}: {job.host} cannot be asked" if since else "away"
        if job.state == STATE_BUSY and attempts and attempts[-1].started is None and not job.paused:
            reason = self._reasons.get(job.host or "")
            return f"not started yet: {reason}" if reason else "not started yet"
        if job.state == STATE_ERROR:
            return wording.ending(job.outcome, job.exit_status, job.signal, job.reason)
        return wording.standing(job.paused, job.reason, job.not_before)

    def _page(self, rows: list[tuple[str, ...]], first: bool) -> None:
        if self._tty:
            self._terminal_page(rows, first)
            return
        lines = [_HEADINGS, *rows] if first else rows
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self._stream.write("  ".join(cells).rstrip() + "\n")

    def _terminal_page(self, rows: list[tuple[str, ...]], first: bool) -> None:
        """Print a page for a terminal: no column is wrapped, long names give way to the facts, and a reason that does
        not fit beside them has lines of its own."""
        from rich.cells import cell_len
        from rich.console import Console
        from rich.text import Text

        from sshjobs.views.frame import padded

        console = Console(file=self._stream, highlight=False)
        columns = [n for n, least in enumerate(_FROM_WIDTH) if console.width >= least]
        lines = [_HEADINGS, *rows] if first else rows
        widths = {n: max(cell_len(line[n]) for line in lines) for n in columns}
        if _HOST in widths:
            widths[_HOST] = min(widths[_HOST], max(8, console.width // 4))
        # Most reasons are as short as "exit 3": for such there is room beside the facts.
        reason = min(_REASON, max(cell_len(line[_WHY]) for line in lines))
        reason = reason if console.width >= _FROM_WIDTH[_TRIES] else 0
        others = sum(widths.values()) - widths[_NAME] + _GAP * len(columns) + reason
        widths[_NAME] = min(widths[_NAME], max(8, console.width - others))
        left = console.width - others - widths[_NAME] + reason
        for number, line in enumerate(lines):
            text = Text(style="bold" if first and not number else "")
            for n in columns:
                text.append(padded(line[n], widths[n]), style=_COLOURS.get(line[n], "") if n == _STATE else "")
                text.append(" " * _GAP)
            beside = bool(line[_WHY]) and cell_len(line[_WHY]) <= left
            text.append(line[_WHY] if beside else "")
            text.rstrip()
            console.print(text, soft_wrap=True)
            if line[_WHY] and not beside:
                console.print(Text(f"    {line[_WHY]}"), soft_wrap=True)

    def _line(self, text: str) -> None:
        self._stream.write(printable(text) + "\n")


def _is_over(summary: Summary) -> bool:
    return not any(summary.counts[state] for state in (STATE_FREE, STATE_BUSY, STATE_UNKNOWN))
