"""Frame: the lines of the live view, as many as fit. Pure: the same progress and clock give the same lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from rich.text import Text

from sshjobs.errors import printable
from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN
from sshjobs.store.rundir import RunPaths
from sshjobs.views.base import Event
from sshjobs.views.progress import HostView, Live, Progress
from sshjobs.views.wording import STATE_ORDER, duration, ending_of, told

#: What the screen leaves room for at most, however tall it is.
MAX_FAILURES, MAX_HOSTS = 5, 12
_STYLES = {STATE_DONE: "green", STATE_ERROR: "red", STATE_BUSY: "yellow", STATE_UNKNOWN: "magenta", STATE_FREE: "dim"}
_HOST_ORDER = {"blocked": 0, "away": 1, "connecting": 2, "up": 3}


class Frame:
    """Turns the progress of a run into lines.

    :param monotonic: the clock of the progress
    """

    def __init__(self, progress: Progress, monotonic: Callable[[], float] = time.monotonic):
        self._progress, self._monotonic = progress, monotonic
        # What failed jobs said last is read once: the files of ended jobs do not change.
        self._last_words: dict[tuple[str, int], str] = {}

    def lines(self, width: int, height: int, *, ascii_only: bool = False) -> list[Text]:
        """Return at most ``height`` lines, for a screen of ``width`` columns; each is one line on it."""
        progress = self._progress
        head = [self._title(width), self._bar(width, ascii_only), self._counts(width)]
        foot = [_text(progress.notice, "bold yellow")] if progress.notice else []
        room = height - len(head) - len(foot)
        failures = self._failures(min(MAX_FAILURES, room // 5)) if room >= 5 else []
        room -= len(failures)
        hosts = self._hosts(min(MAX_HOSTS, room // 3)) if room >= 4 else []
        room -= len(hosts)
        jobs = self._jobs(width, room)
        return [*head, *hosts, *jobs, *failures, *foot][: max(1, height)]

    def _title(self, width: int) -> Text:
        took = duration(self._progress.elapsed() or 0.0)
        total = f" of {self._progress.total:,}" if width >= 40 else ""
        over = self._progress.counts[STATE_DONE] + self._progress.counts[STATE_ERROR]
        line = _text(self._progress.run, "bold")
        return line.append(f"  {over:,}{total}  {took}" if width >= 40 else f" {took}")

    def _bar(self, width: int, ascii_only: bool) -> Text:
        length = max(1, min(width, 80))
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
        line = Text(no_wrap=True, overflow="ellipsis")
        for state in STATE_ORDER:
            number = self._progress.counts[state]
            if number or (state != STATE_UNKNOWN and width >= 60):
                word = state if width >= 40 else state[0]
                line.append(f"{'  ' if line else ''}{number:,} {word}", style=_STYLES[state])
        return line

    def _hosts(self, room: int) -> list[Text]:
        """Return a line per host, those in trouble first; what does not fit is summed up in the last one."""
        hosts = sorted(self._progress.hosts.values(), key=lambda host: _HOST_ORDER[host.state])
        if len(hosts) <= room:
            return [self._host(host) for host in hosts]
        shown = [self._host(host) for host in hosts[: room - 1] if host.state != "up"]
        rest = hosts[len(shown) :]
        up = [host for host in rest if host.state == "up"]
        slots = sum(host.slots or 0 for host in up)
        text = f"{len(up):,} hosts up, {sum(host.running for host in up):,}/{slots:,} slots in use"
        if ahead := sum(host.launched for host in up):
            text += f", {ahead:,} launched"
        if len(rest) > len(up):
            text += f"; {len(rest) - len(up):,} more not"
        return [*shown, _text(text, "cyan")]

    def _host(self, host: HostView) -> Text:
        line = _text(host.name, "cyan")
        if host.state == "up":
            slots = f"/{host.slots}" if host.slots else ""
            ahead = f" and {host.launched} launched" if host.launched else ""
            return line.append(f"  {host.running}{slots}{ahead}", style="dim")
        for_how_long = duration(self._monotonic() - host.since)
        line.append(f"  {host.state} {for_how_long}", style="red" if host.state == "blocked" else "magenta")
        return line.append(f"  {printable(host.reason.removeprefix(host.name + ': '))}" if host.reason else "")

    def _jobs(self, width: int, room: int) -> list[Text]:
        """Return a line per job that runs, the one that was launched first on top."""
        live = self._progress.live
        if room < 1 or not live:
            return []
        some = list(islice(live.values(), room if len(live) <= room else room - 1))
        lines = [self._job(job, width) for job in some]
        if len(live) > len(some):
            lines.append(_text(f"and {len(live) - len(some):,} more", "dim"))
        return lines

    def _job(self, job: Live, width: int) -> Text:
        took = duration(self._monotonic() - job.since)
        line = _text(job.job)
        word = "" if job.started or job.state == STATE_UNKNOWN else " launched"
        line.append(f" on {printable(job.host)}{word} {took}" if width >= 40 else f" {took}", style="dim")
        if job.state == STATE_UNKNOWN:
            line.append(" unknown: its host is away", style="magenta")
        return line

    def _failures(self, number: int) -> list[Text]:
        """Return two lines for each of the last failures, and one for what it said, the newest at the bottom."""
        newest = list(self._progress.failures)[-number:] if number else []
        return [line for event in newest for line in self._failure(event)]

    def _failure(self, event: Event) -> Iterator[Text]:
        where = f" on {event['host']}" if event["host"] else ""
        yield _text(f"{event['job']}{where} {ending_of(event)}", "red")
        said = self._said(event)
        if said:
            yield _text(f"    {said}", "dim red")

    def _said(self, event: Event) -> str:
        key = event["job"], event["attempts"]
        if key not in self._last_words:
            root = Path(self._progress.directory)
            paths = RunPaths(root.parent, root.name)
            line = told(paths.stdout(event["job"]), paths.stderr(event["job"]))[0] if event["attempts"] else None
            while len(self._last_words) >= 2 * MAX_FAILURES:
                del self._last_words[next(iter(self._last_words))]
            self._last_words[key] = line or ""
        return self._last_words[key]


def _text(text: str, style: str = "") -> Text:
    # Appended, so that the style is not that of what will be appended further.
    return Text(no_wrap=True, overflow="ellipsis").append(printable(text), style=style)
